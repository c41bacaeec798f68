"""routing.yaml as frozen values: each class is a section of the file, each field a key, with its default.

Shares are in ten-thousandths (2500 is 25%), durations in seconds. What one value can say about itself is
checked here; what takes two keys, or two routes, in `rules`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from proxy.config.field_types import (
    FULL,
    Count,
    Duration,
    Match,
    Memory,
    Origin,
    PositiveShare,
    Ratio,
    Share,
    Switch,
    Text,
    TrustedProxy,
    read_legacy_url,
    read_secret,
    show_share,
    split_list,
)
from proxy.config.legacy_tls import LegacyTls
from proxy.config.problems import Problem
from proxy.config.section import Section
from proxy.config.service_models import (
    BreakerSettings,
    DocsSettings,
    HealthSettings,
    MongoSettings,
    Ops,
    ReportSettings,
    Server,
    ShadowWorkerSettings,
    WebhookSettings,
)
from proxy.gateway.patterns import Pattern
from proxy.types import Backend

_Item = TypeVar("_Item")
KeyKind = Literal["jwt", "header", "cookie", "client-ip"]

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_IMPORT: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where a caller's key may be found; `name` is the claim, header (lower case) or cookie."""

    kind: KeyKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def read_key_source(value: object) -> KeySource:
    """`jwt:CLAIM`, `header:NAME`, `cookie:NAME` or `client-ip`. Raises ValueError."""
    if isinstance(value, KeySource):
        return value
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if value == "client-ip":
        return KeySource("client-ip")
    if kind == "jwt" and name and name.isprintable():
        return KeySource("jwt", name)
    if kind == "header" and _TOKEN.fullmatch(name):
        return KeySource("header", name.lower())
    if kind == "cookie" and _TOKEN.fullmatch(name):
        return KeySource("cookie", name)
    raise ValueError("must be jwt:CLAIM, header:NAME, cookie:NAME or client-ip")


def read_name(value: object) -> str:
    """Check a name for routes and groups, as used in logs, metrics and reports. Raises ValueError."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ValueError("must be 1 to 64 letters, digits, `.`, `_` or `-`, as in notes.create")


def read_import(value: object) -> str:
    """`package.module:attribute`. Raises ValueError."""
    if isinstance(value, str) and _IMPORT.fullmatch(value):
        return value
    raise ValueError("must be where the ASGI app is imported from, as in handlers.app:app")


def read_header_name(value: object) -> str:
    """Return a header's name in lower case. Raises ValueError."""
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value.lower()
    raise ValueError("must be a header's name")


def read_cookie_name(value: object) -> str:
    """Check a cookie's name (RFC 6265 §4.1.1). Raises ValueError."""
    if isinstance(value, str) and _TOKEN.fullmatch(value) and len(value) <= 64:
        return value
    raise ValueError("must be a cookie's name, of at most 64 characters, as in scribe_caller")


def read_host_header(value: object) -> str:
    """Return `preserve`, `upstream` or a host with an optional port. Raises ValueError."""
    if isinstance(value, str) and _HOST.fullmatch(value):
        return value
    raise ValueError("must be preserve, upstream, or a host as in legacy.example or legacy.example:8080")


Name = Annotated[str, BeforeValidator(read_name)]
Secret = Annotated[SecretStr, BeforeValidator(read_secret)]


def _not_empty(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if not items:
        raise ValueError("must hold at least one item")
    return items


NotEmpty = AfterValidator(_not_empty)


class RouteTimeouts(Section):
    """Those of legacy's timeouts that differ for one route."""

    connect: Duration | None = None
    response: Duration | None = None
    idle: Duration | None = None


class TimeoutSettings(Section):
    """How long legacy may take: to connect, to begin its answer, between two pieces of it."""

    connect: Duration = 2.0
    response: Duration = 30.0
    idle: Duration = 60.0

    def overridden(self, own: RouteTimeouts | None) -> TimeoutSettings:
        """Return these timeouts with those of a route in their place."""
        return self if own is None else self.model_copy(update=own.model_dump(exclude_none=True))


class Legacy(Section):
    """The service behind the proxy.

    Seconds that a connection to it may be idle (`keep_alive`) and be open (`connection_max_age`).
    """

    url: Annotated[str, BeforeValidator(read_legacy_url)]
    host_header: Annotated[str, BeforeValidator(read_host_header)] = "preserve"
    tls: LegacyTls | None = None
    timeouts: TimeoutSettings = TimeoutSettings()
    max_connections: Count = 256
    keep_alive: Duration = 15.0
    connection_max_age: Duration = 300.0
    breaker: BreakerSettings = BreakerSettings()


class StickyCookie(Section):
    """The cookie by which a caller keeps its side, whatever becomes of its other keys; `max_age` is in seconds."""

    name: Annotated[str, BeforeValidator(read_cookie_name)] = "scribe_caller"
    max_age: Duration = 365 * 86_400.0


class Bucketing(Section):
    """How callers are told apart: the first key present, salted, gives a caller's bucket."""

    key: Annotated[tuple[Annotated[KeySource, BeforeValidator(read_key_source)], ...], NotEmpty] = (
        KeySource("client-ip"),
    )
    salt: Text = "scribe-proxy"
    cookie: StickyCookie | None = None

    _one_key = field_validator("key", mode="before")(split_list)

    @property
    def sources(self) -> tuple[KeySource, ...]:
        """Where a key is looked for, in order: the sticky cookie stands before those that a login changes."""
        return self.key if self.cookie is None else (KeySource("cookie", self.cookie.name), *self.key)


class Overrides(Section):
    """The header `NAME: native; key=SECRET` that picks a side for one request."""

    header: Annotated[str, BeforeValidator(read_header_name)] = "x-proxy-side"
    secret: Secret


class LimitSettings(Section):
    """The gateway's own limits, of each process; past them it answers 503 with `Retry-After`.

    `in_flight` are requests and `websockets` WebSockets under way at each backend; `per_client` and
    `websockets_per_client` are those of one client address (IPv6: one /64) at each backend. `memory` is in bytes, for
    everything that is buffered for clients.
    """

    in_flight: Count = 1024
    websockets: Count = 1024
    per_client: Count = 240
    websockets_per_client: Count = 512
    memory: Memory = 256 * 1024 * 1024


class RouteShadow(Section):
    """The share of callers whose requests also run on the other side."""

    share: Share = 0
    writes: Literal["never", "dry_run"] = "never"

    @model_validator(mode="before")
    @classmethod
    def _share_alone(cls, data: Any) -> Any:
        return {"share": data} if isinstance(data, str | int) else data


class Guard(Section):
    """When native is judged to fail, over a sliding window, and what then becomes of its share."""

    error_rate: Share = 500
    server_errors: Share = 100
    latency: Ratio = 2.0
    mismatch: Share | None = None
    max_dependency_failures: Share = 5000
    window: Duration = 60.0
    minimum: Count = 50
    on_failure: Literal["zero", "previous"] = "zero"
    cooldown: Duration = 600.0


class Gates(Section):
    """What must not be passed for a stage to be followed by the next."""

    mismatch: Share = 10
    errors: Share = 10


class Schedule(Section):
    """Shares that follow one another by themselves: each lasts until its gates were passed for `bake_time`.

    `minimum`: native requests, and shadow comparisons where there are any, fewer of which pass no gate.
    """

    stages: Annotated[tuple[PositiveShare, ...], NotEmpty]
    bake_time: Duration = 7 * 86_400.0
    gates: Gates = Gates()
    minimum: Count = 100
    approve: Switch = False

    @field_validator("stages")
    @classmethod
    def _ascending(cls, stages: tuple[int, ...]) -> tuple[int, ...]:
        for before, after in pairwise(stages):
            if after <= before:
                raise ValueError(f"stages must go up: {show_share(after)} comes after {show_share(before)}")
        return stages


class Route(Section):
    """One endpoint, or one family of paths, and how its traffic is shared out."""

    name: Name
    match: Match
    native: Share = 0
    group: Name | None = None
    pin: Backend | None = None
    timeouts: RouteTimeouts | None = None
    revision: Text | None = None
    shadow: RouteShadow = RouteShadow()
    guard: Guard | None = None
    rollout: Schedule | None = None
    on_legacy_down: Literal["native", "fail"] = "fail"
    on_native_error: Literal["legacy", "fail"] = "fail"

    @model_validator(mode="before")
    @classmethod
    def _all_to_the_rollout(cls, data: Any) -> Any:
        """With a rollout, `native` is the most that its stages may reach: everything, where nothing is said."""
        if isinstance(data, dict) and data.get("rollout") is not None and data.get("native") is None:
            return {**data, "native": FULL}
        return data

    @cached_property
    def pattern(self) -> Pattern:
        """What `match` says, taken apart."""
        return Pattern.parse(self.match)

    @cached_property
    def template(self) -> str:
        """The path of `match`: `/api/notes/{id}`."""
        return self.pattern.path

    @property
    def domain(self) -> str:
        """What its callers' buckets are drawn for: the group's name, or its own."""
        return self.group or self.name

    @property
    def share(self) -> int:
        """The share of callers that the file gives to native: of a rollout its first stage; a pin included."""
        if self.pin is not None:
            return FULL * (self.pin == "native")
        return self.native if self.rollout is None else min(self.native, self.rollout.stages[0])


class RoutingFile(Section):
    """All that may stand in routing.yaml (and, for YAML anchors, any key that begins with `x-`)."""

    legacy: Legacy
    native: Annotated[str, BeforeValidator(read_import)] | None = None
    bucketing: Bucketing = Bucketing()
    overrides: Overrides | None = None
    served_by: Switch = True
    access_log: Switch = True
    limits: LimitSettings = LimitSettings()
    server: Server = Server()
    ops: Ops = Ops()
    allowed_origins: tuple[Origin, ...] = ()
    trusted_proxies: tuple[TrustedProxy, ...] = ()
    contracts: Text = "contracts"
    mongodb: MongoSettings = MongoSettings()
    shadow: ShadowWorkerSettings = ShadowWorkerSettings()
    reports: ReportSettings = ReportSettings()
    health: HealthSettings | None = None
    notify: WebhookSettings | None = None
    docs: DocsSettings | None = None
    routes: tuple[Route, ...] = ()

    _listed = field_validator("allowed_origins", "trusted_proxies", mode="before")(split_list)

    @model_validator(mode="before")
    @classmethod
    def _without_extensions(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not str(key).startswith("x-")}


class Config(RoutingFile):
    """A valid file with the settings of the environment.

    `pin` is SCRIBE_PROXY_PIN; `revision` a digest of what the file says, comments and layout aside.
    """

    pin: Backend | None = None
    revision: str = ""
    notes: tuple[Problem, ...] = Field(default=(), repr=False)

    def timeouts(self, route: Route | None) -> TimeoutSettings:
        """How long legacy may take over a request of this route."""
        return self.legacy.timeouts.overridden(route.timeouts if route else None)
