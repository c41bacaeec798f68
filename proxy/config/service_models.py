"""Sections of routing.yaml for what runs beside the requests: shadow, reports, shared state, notices, docs pages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, SecretStr, field_validator, model_validator

from proxy.config.field_types import (
    Count,
    Duration,
    HostName,
    Memory,
    Path,
    Share,
    Size,
    Switch,
    Text,
    read_endpoint,
    read_mongodb_url,
    read_off,
    read_page_url,
    read_secret,
    split_list,
)
from proxy.config.key_sources import read_header_name
from proxy.config.section import Section
from proxy.types import BasisPoints


class Server(Section):
    """How long the listeners wait for their clients, in seconds; the first three are those of Node's HTTP server.

    `keep_alive` is the time between an answer and the next request, `header_timeout` the time for a head and
    `request_timeout` the time for a whole request, body included. `min_rate` is in bytes a second, for a body on its
    way in and an answer on its way out: a client that stays behind it for `legacy.timeouts.idle` is closed. A WebSocket
    is sent a ping each `websocket_ping_interval` and is closed after `websocket_ping_timeout` without a sign of life.
    `proxy_protocol`: connections of trusted proxies to the public listener begin with a PROXY header.
    """

    keep_alive: Duration = 5.0
    header_timeout: Duration = 60.0
    request_timeout: Duration = 300.0
    min_rate: Size = 1024
    websocket_ping_interval: Duration = 20.0
    websocket_ping_timeout: Duration = 20.0
    proxy_protocol: Switch = False


class Ops(Section):
    """The ops listener.

    `hosts` are names by which people reach its pages, besides addresses and `localhost`; `url` is the address of the
    pages for links in webhook messages and JUnit files. `trust_header` is the header in which a trusted proxy sends the
    name of a person it has signed in; `operators` are the names that may change shares.
    """

    hosts: tuple[HostName, ...] = ()
    url: Annotated[str, BeforeValidator(read_page_url)] = ""

    trust_header: Annotated[str, BeforeValidator(read_header_name)] | None = None
    operators: tuple[Text, ...] = ()

    _listed = field_validator("hosts", "operators", mode="before")(split_list)


class ShadowWorkerSettings(Section):
    """How requests run on the other side, for all routes; of each process.

    `deadline` bounds one answer of the shadow backend, `dry_run_timeout` the time that the caller of a write waits for
    its dry run. `noise` is the share of compared reads that are sent to legacy a second time, to find the fields it
    does not repeat. `max_cpu_wait` is the share of its time for which the gateway may wait for a processor; beyond it,
    fewer requests run in the shadow. A shadow process with more resident memory than `max_memory` is restarted.
    """

    concurrency: Count = 8
    queue: Count = 256
    deadline: Duration = 10.0
    dry_run_timeout: Duration = 0.25
    max_body: Size = 256 * 1024
    max_memory: Memory = 512 * 1024 * 1024
    noise: Share = BasisPoints(100)
    max_cpu_wait: Share = BasisPoints(200)


class ReportSettings(Section):
    """What is kept of comparisons. `samples` are those of each route, field and kind of difference.

    `key` keys the digests of values; without one each process draws its own, and digests compare within a sample only.
    `redact`: `full` stores names that the contract or native's code knows, `values` all names, `off` values as well,
    which needs `staging`: that these are no patients' data.
    """

    retention: Duration = 30 * 86_400.0
    samples: Count = 5
    key: Annotated[SecretStr, BeforeValidator(read_secret)] = SecretStr("")
    redact: Annotated[Literal["full", "values", "off"], BeforeValidator(read_off)] = "full"
    staging: Switch = False

    @model_validator(mode="after")
    def _unredacted_in_staging_only(self) -> ReportSettings:
        if self.redact == "off" and not self.staging:
            raise ValueError("redact: off stores the data of answers in plain text; it needs `staging: true` beside it")
        return self


class MongoSettings(Section):
    """Where replicas share what they must: reports, caps, stages. `url` is empty where nothing is shared."""

    url: Annotated[SecretStr, BeforeValidator(read_mongodb_url)] = SecretStr("")
    database: Text = "scribe_proxy"


class BreakerSettings(Section):
    """When legacy counts as down: so many connection faults in a row; `pause` until one request probes it again."""

    failures: Count = 5
    pause: Duration = 1.0


class HealthSettings(Section):
    """A request that native is asked regularly, and that must not be answered with a 5xx."""

    path: Path = "/"
    interval: Duration = 5.0
    failures: Count = 3


class WebhookSettings(Section):
    """A webhook for caps, promotions, refused files and differences; `secret` signs what it is sent."""

    url: Annotated[SecretStr, BeforeValidator(read_endpoint)]
    secret: Annotated[SecretStr, BeforeValidator(read_secret)] = SecretStr("")
    format: Literal["standard", "slack", "teams"] = "standard"


class DocsSettings(Section):
    """Pages that show the API: where each is served. `native` is where the native app answers its own OpenAPI."""

    swagger: Path = "/docs"
    redoc: Path = "/redoc"
    openapi: Path = "/openapi.json"
    native: Path | None = None
