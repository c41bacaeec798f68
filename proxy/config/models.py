"""routing.yaml as frozen values: each class is a section of the file, each field a key, with its default.

Shares are in basis points (2500 is 25%), durations in seconds. Models validate each value by itself; `rules` validates
two keys or two routes against each other.
"""

import re
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from proxy.config.field_types import (
    FULL,
    ZERO,
    Count,
    Duration,
    Match,
    Memory,
    Origin,
    Switch,
    Text,
    TrustedProxy,
    read_any_secret,
    read_legacy_url,
    read_secret,
    split_list,
)
from proxy.config.key_sources import TOKEN, KeySource, read_header_name, read_key_source
from proxy.config.legacy_tls import LegacyTls
from proxy.config.parsed_by import BuiltWhenUsed, ParsedBy
from proxy.config.problems import Problem
from proxy.config.route_models import (
    Groups,
    GroupSettings,
    Guard,
    Name,
    NativeTraffic,
    NotEmpty,
    RouteDefaults,
    RouteShadow,
    RouteTimeouts,
    Schedule,
    none_if_off,
)
from proxy.config.section import Section, section_default
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
from proxy.types import Backend, BasisPoints

_HOST: Final = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_IMPORT: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


def read_import(value: object) -> str:
    """Validate `package.module:attribute`. Raises ValueError."""
    if isinstance(value, str) and _IMPORT.fullmatch(value):
        return value
    raise ValueError("must be the import string of an ASGI app, as in handlers.app:app")


def read_cookie_name(value: object) -> str:
    """Validate a cookie name (RFC 6265 §4.1.1). Raises ValueError."""
    if isinstance(value, str) and TOKEN.fullmatch(value) and len(value) <= 64:
        return value
    raise ValueError("must be a cookie's name, of at most 64 characters, as in scribe_caller")


def read_host_header(value: object) -> str:
    """Return `preserve`, `upstream` or a host with an optional port. Raises ValueError."""
    if isinstance(value, str) and _HOST.fullmatch(value):
        return value
    raise ValueError("must be preserve, upstream, or a host as in legacy.example or legacy.example:8080")


Secret = Annotated[SecretStr, ParsedBy(read_secret)]


class TimeoutSettings(Section):
    """Timeouts of legacy, in seconds: for connecting, for the head of an answer, and between two parts of it."""

    connect: Duration = 2.0
    response: Duration = 30.0
    idle: Duration = 60.0

    def overridden(self, own: RouteTimeouts | None) -> Self:
        """Return these timeouts, replaced by those that a route sets."""
        return self if own is None else self.model_copy(update=own.model_dump(exclude_none=True))


class Legacy(Section):
    """The legacy service.

    `keep_alive` and `connection_max_age` are the seconds that a connection may be idle and open.
    """

    url: Annotated[str, ParsedBy(read_legacy_url)]
    host_header: Annotated[str, ParsedBy(read_host_header)] = "preserve"
    tls: Annotated[LegacyTls, BuiltWhenUsed()] | None = None
    timeouts: TimeoutSettings = section_default(TimeoutSettings)
    max_connections: Count = 256
    keep_alive: Duration = 15.0
    connection_max_age: Duration = 300.0
    breaker: BreakerSettings = section_default(BreakerSettings)


class StickyCookie(Section):
    """The cookie that binds a caller to a backend, regardless of its other keys; `max_age` is in seconds."""

    name: Annotated[str, ParsedBy(read_cookie_name)] = "scribe_caller"
    max_age: Duration = 365 * 86_400.0


class Bucketing(Section):
    """The identity of a caller: the first key present, hashed with the salt, gives its bucket."""

    key: Annotated[tuple[Annotated[KeySource, ParsedBy(read_key_source)], ...], NotEmpty] = (KeySource("client-ip"),)
    salt: Text = "scribe-proxy"
    cookie: Annotated[StickyCookie, BuiltWhenUsed()] | None = None

    _one_key = field_validator("key", mode="before")(split_list)

    @property
    def sources(self) -> tuple[KeySource, ...]:
        """The sources of a key, in order; the sticky cookie precedes those that a login changes."""
        return self.key if self.cookie is None else (KeySource("cookie", self.cookie.name), *self.key)


class TokenSettings(Section):
    """The secret with which both backends sign tokens, so that the gateway can verify them."""

    secret: Annotated[SecretStr, ParsedBy(read_any_secret)] = SecretStr("")


class Overrides(Section):
    """The header `NAME: native; key=SECRET`, which selects a backend for one request."""

    header: Annotated[str, ParsedBy(read_header_name)] = "x-proxy-backend"
    secret: Secret


class LimitSettings(Section):
    """Limits of each gateway process. Requests beyond them get 503 with `Retry-After`.

    `in_flight` and `websockets` limit the requests and WebSockets in flight at each backend; `per_client` and
    `websockets_per_client` those of one client address (IPv6: one /64) at each backend. `memory` is in bytes, for
    everything buffered for clients.
    """

    in_flight: Count = 1024
    websockets: Count = 1024
    per_client: Count = 240
    websockets_per_client: Count = 512
    memory: Memory = 256 * 1024 * 1024


class Route(Section):
    """One endpoint or family of paths, and how its traffic is divided.

    `native_traffic` is the key `native`; `native` is its share. Settings inherited from the group and from `defaults`
    are included.
    """

    name: Name
    match: Match
    native_traffic: NativeTraffic = Field(default=section_default(NativeTraffic), alias="native")
    group: Name | None = None
    pin: Backend | None = None
    timeouts: Annotated[RouteTimeouts, BuiltWhenUsed()] | None = None
    revision: Text | None = None
    shadow: RouteShadow = section_default(RouteShadow)
    guard: Annotated[Guard, BuiltWhenUsed()] | None = None
    rollout: Annotated[Schedule, BuiltWhenUsed()] | None = None
    on_legacy_down: Literal["native", "fail"] = "fail"
    on_native_error: Literal["legacy", "fail"] = "fail"

    _switchable = field_validator("guard", "rollout", mode="before")(none_if_off)

    @model_validator(mode="before")
    @classmethod
    def _all_to_the_rollout(cls, data: Any) -> Any:
        """Set `native` to 100% if only a rollout is given, because `native` limits its stages."""
        if not isinstance(data, dict) or none_if_off(data.get("rollout")) is None:
            return data
        native = data.get("native")
        if native is None:
            return {**data, "native": FULL}
        if isinstance(native, dict) and native.get("share") is None:
            return {**data, "native": {**native, "share": FULL}}
        if isinstance(native, NativeTraffic) and "share" not in native.model_fields_set:  # inherited from a group
            return {**data, "native": native.model_copy(update={"share": FULL})}
        return data

    @cached_property
    def targeted(self) -> bool:
        """True if `native` includes or excludes callers by target."""
        return self.native_traffic.has_targets

    @property
    def native(self) -> BasisPoints:
        """Native's share in the file, in basis points."""
        return self.native_traffic.share

    @cached_property
    def pattern(self) -> Pattern:
        """`match`, parsed."""
        return Pattern.parse(self.match)

    @cached_property
    def template(self) -> str:
        """The path of `match`, such as `/api/notes/{id}`."""
        return self.pattern.path

    @property
    def domain(self) -> str:
        """The name for which buckets are drawn and a rollout is stored: the group's, or the route's own."""
        return self.group or self.name

    @property
    def share(self) -> BasisPoints:
        """Native's share according to the file: a rollout's first stage, a pin included."""
        if self.pin is not None:
            return FULL if self.pin == "native" else ZERO
        return self.native if self.rollout is None else min(self.native, self.rollout.first)


class RoutingFile(Section):
    """All sections of routing.yaml. Keys that begin with `x-` are ignored, for YAML anchors."""

    legacy: Legacy
    native: Annotated[str, ParsedBy(read_import)] | None = None
    bucketing: Bucketing = section_default(Bucketing)
    tokens: TokenSettings = section_default(TokenSettings)
    overrides: Overrides | None = None
    served_by: Switch = True
    access_log: Switch = True
    limits: LimitSettings = section_default(LimitSettings)
    server: Annotated[Server, BuiltWhenUsed()] = section_default(Server)
    ops: Annotated[Ops, BuiltWhenUsed()] = section_default(Ops)
    allowed_origins: tuple[Origin, ...] = ()
    trusted_proxies: tuple[TrustedProxy, ...] = ()
    contracts: Text = "contracts"
    mongodb: MongoSettings = section_default(MongoSettings)
    shadow: Annotated[ShadowWorkerSettings, BuiltWhenUsed()] = section_default(ShadowWorkerSettings)
    reports: ReportSettings = section_default(ReportSettings)
    health: Annotated[HealthSettings, BuiltWhenUsed()] | None = None
    notify: Annotated[WebhookSettings, BuiltWhenUsed()] | None = None
    docs: Annotated[DocsSettings, BuiltWhenUsed()] | None = None
    defaults: RouteDefaults = section_default(RouteDefaults)
    groups: Annotated[dict[Name, GroupSettings], AfterValidator(Groups)] = Field(default=Groups())
    routes: tuple[Annotated[Route, BuiltWhenUsed()], ...] = ()

    _listed = field_validator("allowed_origins", "trusted_proxies", mode="before")(split_list)

    @model_validator(mode="before")
    @classmethod
    def _without_extensions(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not str(key).startswith("x-")}


class Config(RoutingFile):
    """A valid file combined with settings of the environment.

    `pin` is SCRIBE_PROXY_PIN; `revision` is a digest of the file's values, without comments and layout. `unset` are the
    sections with other values than the file's, because a variable is not set and the reader does not need them.
    """

    pin: Backend | None = None
    revision: str = ""
    notes: tuple[Problem, ...] = Field(default=(), repr=False)
    unset: frozenset[str] = frozenset()

    def timeouts(self, route: Route | None) -> TimeoutSettings:
        """Return legacy's timeouts for a request of this route."""
        return self.legacy.timeouts.overridden(route.timeouts if route else None)
