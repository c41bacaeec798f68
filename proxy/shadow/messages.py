"""What crosses the link between a gateway process and its shadow process. Values, and nothing but values.

    gateway ──▶ shadow   Adopt, Read, Rehearse, then Served or Forget; Ping
    shadow ──▶ gateway   Ready, DryRunAnswer, Done, Lost; Pong

Numbers are the gateway's, one for each request. Deadlines are in `time.monotonic()`, the same clock for both. Named
tuples, since a gateway makes and packs one for each request that it has just served. None shows what it holds of a
request in logs and tracebacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeAlias

from proxy.comparison.exchange import Exchange, Headers, RawExchange
from proxy.comparison.verdicts import Name, Reason
from proxy.config.models import Config
from proxy.types import Backend


class ConnectionInfo(NamedTuple):
    """How a request came, beyond what it says itself. `client` and `server` are addresses as in an ASGI scope;
    `template` is the path of the route that took it."""

    scheme: str
    http_version: str
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    request_id: bytes
    template: str | None = None


class RequestSnapshot(NamedTuple):
    """A whole request."""

    method: str
    target: bytes
    headers: Headers
    body: bytes
    arrival: ConnectionInfo

    @classmethod
    def of(cls, exchange: Exchange, arrival: ConnectionInfo) -> RequestSnapshot:
        """What one side was asked, to ask another."""
        return cls(exchange.method, exchange.target, exchange.request_headers, exchange.request_body.data, arrival)

    def __repr__(self) -> str:
        return f"Asked({self.method})"


class Configure(NamedTuple):
    """Go on by this configuration; its `contracts` are seen from `directory`. The first message of all."""

    config: Config
    directory: Path


class CompareRead(NamedTuple):
    """A read that one side has served: ask the other, and compare."""

    number: int
    route: str
    served: Backend
    arrival: ConnectionInfo
    seen: RawExchange
    deadline: float

    def __repr__(self) -> str:
        return f"Read({self.number}, {self.route})"


class DryRun(NamedTuple):
    """A write that legacy is about to serve: rehearse it, and say when it is over. `Served` or `Forget` follows."""

    number: int
    route: str
    asked: RequestSnapshot
    deadline: float


class LegacyServed(NamedTuple):
    """What legacy did with a write that was rehearsed: compare."""

    number: int
    seen: RawExchange


class Discard(NamedTuple):
    """A dry run with which nothing is to be compared any more."""

    number: int


class Ping(NamedTuple):
    """Are you there?"""


class Ready(NamedTuple):
    """The native app has started; `rehearses` says whether it declares that it can run writes dry."""

    supports_dry_run: bool


class DryRunFinished(NamedTuple):
    """A dry run is over, and where `reason` is given, nothing can be compared with it."""

    number: int
    reason: Reason | None = None


class Compared(NamedTuple):
    """What came of a comparison."""

    number: int
    verdict: Name
    reason: Reason | None = None


class ReportsDropped(NamedTuple):
    """Comparisons that no report counts, by why not (`reports.Why`)."""

    why: str
    number: int


class Pong(NamedTuple):
    """I am."""


ToShadow: TypeAlias = Configure | CompareRead | DryRun | LegacyServed | Discard | Ping
ToGateway: TypeAlias = Ready | DryRunFinished | Compared | ReportsDropped | Pong
