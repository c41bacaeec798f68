"""What crosses the link between a gateway process and its shadow process. Values, and nothing but values.

    gateway ──▶ shadow   Adopt, Read, Rehearse, then Served or Forget; Ping
    shadow ──▶ gateway   Ready, Rehearsed, Done, Lost; Pong

Numbers are the gateway's, one for each request. Deadlines are in `time.monotonic()`, the same clock for both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from proxy.comparison import Reason, Side
from proxy.comparison.verdicts import Name
from proxy.config import Config
from proxy.exchange import Exchange, Headers


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a request came, beyond what it says itself. `client` and `server` are addresses as in an ASGI scope."""

    scheme: str
    http_version: str
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    request_id: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A whole request. Shows nothing of itself in logs and tracebacks."""

    method: str
    target: bytes = field(repr=False)
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    arrival: Arrival = field(repr=False)

    @classmethod
    def of(cls, exchange: Exchange, arrival: Arrival) -> Asked:
        """What one side was asked, to ask another."""
        return cls(exchange.method, exchange.target, exchange.request_headers, exchange.request_body.data, arrival)


@dataclass(frozen=True, slots=True)
class Adopt:
    """Go on by this configuration; its `contracts` are seen from `directory`. The first message of all."""

    config: Config
    directory: Path


@dataclass(frozen=True, slots=True)
class Read:
    """A read that one side has served: ask the other, and compare."""

    number: int
    route: str
    served: Side
    arrival: Arrival
    exchange: Exchange
    deadline: float


@dataclass(frozen=True, slots=True)
class Rehearse:
    """A write that legacy is about to serve: rehearse it, and say when it is over. `Served` or `Forget` follows."""

    number: int
    route: str
    asked: Asked
    deadline: float


@dataclass(frozen=True, slots=True)
class Served:
    """What legacy did with a write that was rehearsed: compare."""

    number: int
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Forget:
    """A rehearsal with which nothing is to be compared any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""


@dataclass(frozen=True, slots=True)
class Ready:
    """The native app has started; `rehearses` says whether it declares that it can rehearse writes."""

    rehearses: bool


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A rehearsal is over, and where `reason` is given, nothing can be compared with it."""

    number: int
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a comparison."""

    number: int
    verdict: Name
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Comparisons that no report counts, by why not (`reports.Why`)."""

    why: str
    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """I am."""


ToShadow: TypeAlias = Adopt | Read | Rehearse | Served | Forget | Ping
ToGateway: TypeAlias = Ready | Rehearsed | Done | Lost | Pong
