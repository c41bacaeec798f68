"""Messages between a gateway process and its shadow process. Immutable values only.

    gateway ──▶ shadow   Configure; CompareRead, CompareReads; ConversationPart, then CompareConversation or Discard;
                         DryRun, then LegacyServed or Discard; Ping
    shadow ──▶ gateway   Ready, DryRunFinished, Compared, ReportsDropped, Notice; Pong

The gateway numbers requests; a number identifies one request in both directions. Deadlines are in `time.monotonic()`,
which both processes share. Messages are named tuples, because the gateway builds and pickles one for each mirrored
request. Their `repr` shows no part of a request's content, so logs and tracebacks cannot disclose it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from proxy.comparison.conversation import Chunk, RawConversation
from proxy.comparison.exchange import Body, Exchange, Headers, normalised
from proxy.comparison.verdicts import CountName, Reason
from proxy.config.models import Config
from proxy.observability.webhook import WebhookEvent
from proxy.types import Backend, HeaderFields

NO_BODY: Final = Body()
"""The body of a request without one."""


class ConnectionInfo(NamedTuple):
    """The parts of an ASGI scope that are not part of the request itself.

    `client` and `server`: addresses as in the scope. `template`: the path pattern of the matched route. `caller`: the
    identity of the caller, if a guard needs it.
    """

    scheme: str
    http_version: str
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    request_id: bytes
    template: str | None = None
    caller: int | None = None


class RequestSnapshot(NamedTuple):
    """A complete request, ready to be sent to another backend."""

    method: str
    target: bytes
    headers: Headers
    body: bytes
    connection: ConnectionInfo

    @classmethod
    def of(cls, exchange: Exchange, connection: ConnectionInfo) -> RequestSnapshot:
        """Return the request of an exchange."""
        return cls(exchange.method, exchange.target, exchange.request_headers, exchange.request_body.data, connection)

    def __repr__(self) -> str:
        return f"RequestSnapshot({self.method})"


class Configure(NamedTuple):
    """The configuration to apply; `config.contracts` is relative to `directory`. Always the first message."""

    config: Config
    directory: Path


class CompareRead(NamedTuple):
    """A read answered by one backend: send it to the other one and compare both answers."""

    number: int
    route: str
    served: Backend
    connection: ConnectionInfo
    exchange: Exchange
    deadline: float

    def __repr__(self) -> str:
        return f"CompareRead({self.number}, {self.route})"


class AnsweredRead(NamedTuple):
    """A read without a body, and its whole answer. `started` and `seconds` are the times of an `Exchange`.

    `connection` has the fields of a `ConnectionInfo`; header names are as received.
    """

    number: int
    route: str
    served: Backend
    connection: tuple[Any, ...]
    deadline: float
    method: str
    target: bytes
    request_headers: HeaderFields
    status: int
    headers: HeaderFields
    body: bytes
    started: float
    seconds: float

    def job(self) -> CompareRead:
        """Return the comparison of this read."""
        exchange = Exchange(
            self.method,
            self.target,
            normalised(self.request_headers),
            NO_BODY,
            "response",
            self.status,
            normalised(self.headers),
            Body.of(self.body),
            self.started,
            self.seconds,
            self.seconds,
        )
        connection = ConnectionInfo(*self.connection)
        return CompareRead(self.number, self.route, self.served, connection, exchange, self.deadline)

    def __repr__(self) -> str:
        return f"AnsweredRead({self.number}, {self.route})"


class CompareReads(NamedTuple):
    """Several `AnsweredRead`, each as a plain tuple, which is pickled in a tenth of a named tuple's time."""

    reads: Sequence[tuple[Any, ...]]

    @classmethod
    def of(cls, reads: Iterable[AnsweredRead]) -> CompareReads:
        """Return the message for some reads."""
        return cls([tuple(read) for read in reads])

    def jobs(self) -> Iterator[CompareRead]:
        """Yield the comparison of each read."""
        return (AnsweredRead(*fields).job() for fields in self.reads)

    def __repr__(self) -> str:
        return f"CompareReads({len(self.reads)})"


class ConversationPart(NamedTuple):
    """A part of a conversation's bytes, in their order: `CompareConversation` or `Discard` follows."""

    number: int
    chunks: Sequence[Chunk]

    def __repr__(self) -> str:
        return f"ConversationPart({self.number}, {len(self.chunks)})"


class CompareConversation(NamedTuple):
    """A finished WebSocket conversation with legacy: replay it on native and compare both.

    The bytes of `raw` have been sent before, as `ConversationPart`.
    """

    number: int
    route: str
    connection: ConnectionInfo
    raw: RawConversation
    deadline: float

    def __repr__(self) -> str:
        return f"CompareConversation({self.number}, {self.route})"


class DryRun(NamedTuple):
    """A write that legacy will serve next: run it dry and answer `DryRunFinished`.

    `LegacyServed` or `Discard` follows.
    """

    number: int
    route: str
    request: RequestSnapshot
    deadline: float


class LegacyServed(NamedTuple):
    """Legacy's exchange for an earlier dry run: compare both answers."""

    number: int
    exchange: Exchange


class Discard(NamedTuple):
    """A dry run that will not be compared: cancel it or drop its result."""

    number: int


class Ping(NamedTuple):
    """A heartbeat; the shadow process answers `Pong`."""


class Ready(NamedTuple):
    """The native app has started; it declares in the lifespan's state which dry runs it supports."""

    supports_dry_run: bool
    supports_conversations: bool = False


class DryRunFinished(NamedTuple):
    """The end of a dry run; `reason` is set if its result cannot be compared."""

    number: int
    reason: Reason | None = None


class Compared(NamedTuple):
    """The verdict on one request; `reason` is set if the verdict is `skipped`."""

    number: int
    verdict: CountName
    reason: Reason | None = None


class ReportsDropped(NamedTuple):
    """The number of comparisons missing from the reports, and the reason (`reports.writer.DropReason`)."""

    reason: str
    number: int


class Notice(NamedTuple):
    """A webhook event about differences that are new or have returned."""

    event: WebhookEvent


class Pong(NamedTuple):
    """The answer to `Ping`."""


ToShadow: TypeAlias = (
    Configure
    | CompareRead
    | CompareReads
    | ConversationPart
    | CompareConversation
    | DryRun
    | LegacyServed
    | Discard
    | Ping
)
ToGateway: TypeAlias = Ready | DryRunFinished | Compared | ReportsDropped | Notice | Pong
