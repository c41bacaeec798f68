"""Sections of routing.yaml for background services: shadow, reports, shared state, webhook, docs pages."""

from typing import Annotated, Literal, Self

from pydantic import SecretStr, field_validator, model_validator

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
    read_page_url,
    read_secret,
    split_list,
)
from proxy.config.key_sources import read_header_name
from proxy.config.parsed_by import ParsedBy
from proxy.config.section import Section, section_default
from proxy.types import BasisPoints


class Server(Section):
    """Timeouts of the listeners in seconds; the first three are those of Node's HTTP server.

    `keep_alive`: from an answer to the next request. `header_timeout`: for the head of a request. `request_timeout`:
    for a whole request with its body. `min_rate`: bytes per second of a request or answer body; a connection that is
    slower for `legacy.timeouts.idle` is closed. `drain_timeout`: at a shutdown, for the next request of an idle client.
    `websocket_ping_interval`: between two pings. `websocket_ping_timeout`: for any data after a ping. `proxy_protocol`:
    connections of trusted proxies to the public listener begin with a PROXY header.
    """

    keep_alive: Duration = 5.0
    header_timeout: Duration = 60.0
    request_timeout: Duration = 300.0
    min_rate: Size = 1024
    drain_timeout: Duration = 1.0
    websocket_ping_interval: Duration = 20.0
    websocket_ping_timeout: Duration = 20.0
    proxy_protocol: Switch = False


class Ops(Section):
    """The ops listener.

    `hosts`: names for the pages besides addresses and `localhost`. `url`: the address of the pages, for links in
    webhook messages and JUnit files. `trust_header`: the header with the name of a person whom a trusted proxy has
    signed in. `operators`: the names that may change shares.
    """

    hosts: tuple[HostName, ...] = ()
    url: Annotated[str, ParsedBy(read_page_url)] = ""

    trust_header: Annotated[str, ParsedBy(read_header_name)] | None = None
    operators: tuple[Text, ...] = ()

    _listed = field_validator("hosts", "operators", mode="before")(split_list)


class ConversationLimits(Section):
    """Limits of WebSocket conversations in the shadow; one beyond them is skipped.

    `max_size` is in bytes of one conversation's frames, audio included; `max_held` of all conversations that a gateway
    process holds. `max_messages` counts both directions, `max_duration` from the handshake to the end.
    `frame_timeout` is the longest wait for a frame that native should send.
    """

    max_size: Size = 4 << 20
    max_messages: Count = 2000
    max_duration: Duration = 600.0
    max_held: Memory = 32 << 20
    frame_timeout: Duration = 1.0


class ShadowWorkerSettings(Section):
    """Limits of the shadow, for all routes, in each process.

    `deadline`: for one answer of the shadow backend. `dry_run_timeout`: for the dry run that a write's caller waits
    for. `noise`: share of compared reads that are sent to legacy a second time, to find fields that differ between its
    own answers. `max_cpu_wait`: share of time for which the gateway may wait for a CPU; beyond it, fewer requests run
    in the shadow. `max_memory`: resident memory beyond which a shadow process is restarted.
    """

    concurrency: Count = 8
    queue: Count = 256
    deadline: Duration = 10.0
    dry_run_timeout: Duration = 0.25
    max_body: Size = 256 * 1024
    max_memory: Memory = 512 * 1024 * 1024
    noise: Share = BasisPoints(100)
    max_cpu_wait: Share = BasisPoints(200)
    websocket: ConversationLimits = section_default(ConversationLimits)


class ReportSettings(Section):
    """Storage of comparison results. `samples`: maximum number for each route, field and kind of difference.

    `key` is the HMAC key for digests of values. Without it, each process draws its own, and digests are comparable only
    within a sample. `redact`: `full` stores names known to the contract or native's code, `values` all names, `off`
    values too; `off` needs `staging`, which declares that no patient data is involved.
    """

    retention: Duration = 30 * 86_400.0
    samples: Count = 5
    key: Annotated[SecretStr, ParsedBy(read_secret)] = SecretStr("")
    redact: Literal["full", "values", "off"] = "full"
    staging: Switch = False

    @model_validator(mode="after")
    def _unredacted_in_staging_only(self) -> Self:
        if self.redact == "off" and not self.staging:
            raise ValueError("redact: off stores the data of answers in plain text; it needs `staging: true` beside it")
        return self


class MongoSettings(Section):
    """The MongoDB that replicas share for reports, caps and stages. An empty `url` means none."""

    url: Annotated[SecretStr, ParsedBy(read_mongodb_url)] = SecretStr("")
    database: Text = "scribe_proxy"


class BreakerSettings(Section):
    """Circuit breaker of legacy: it opens after `failures` connection faults in a row, for `pause` seconds."""

    failures: Count = 5
    pause: Duration = 1.0


class HealthSettings(Section):
    """A request sent to native regularly. An answer with a 5xx status, or none in time, is a failed check."""

    path: Path = "/"
    interval: Duration = 5.0
    failures: Count = 3


class WebhookSettings(Section):
    """A webhook for caps, promotions, refused files and differences. `secret` signs its requests."""

    url: Annotated[SecretStr, ParsedBy(read_endpoint)]
    secret: Annotated[SecretStr, ParsedBy(read_secret)] = SecretStr("")
    format: Literal["standard", "slack", "teams"] = "standard"


class DocsSettings(Section):
    """Paths of the pages that document the API. `native` is the path of the native app's own OpenAPI document."""

    swagger: Path = "/docs"
    redoc: Path = "/redoc"
    openapi: Path = "/openapi.json"
    native: Path | None = None
