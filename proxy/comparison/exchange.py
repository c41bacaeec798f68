"""Record one request and its answer as they pass a backend, within limits, for a later comparison. Pure.

    messages ─▶ ExchangeRecorder ─▶ RawExchange ─▶ (shadow process) ─▶ Exchange ─┬▶ RequestSnapshot   to be sent again
                                                                                 └▶ DecodedAnswer     to be compared

Use `RawExchange` for what passed, as it passed: chunks are referenced and not copied, and a body longer than `limit` is
replaced by its length and digests of its blocks. Use `Exchange` for the same in one piece, with header names in lower
case. `DecodedAnswer` (`answers`) is an answer with its content coding undone, of live traffic and of recordings alike.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from starlette.types import Message, Scope

from proxy.comparison.body_digests import BodyDigests
from proxy.gateway.scope import request_target

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
Outcome = Literal["response", "hang", "reset", "gone", "unasked"]

LIMIT: Final = 256 * 1024
"""Default maximum of retained bytes of a body."""

_OUTCOMES: Final[dict[str, Outcome]] = {
    "legacy_timeout": "hang",
    "legacy_reset": "reset",
    "legacy_bad_answer": "reset",
    "native_failed": "reset",
}


@dataclass(frozen=True, slots=True)
class Body:
    """A body. Where it was longer than the limit, `data` is empty and `blocks` are its digests.

    `length` counts all bytes of the body as transferred. The digests are those of `content_length` bytes of content,
    or of the coded bytes where the content coding could not be undone: then `content_length` is None.
    """

    data: bytes = field(default=b"", repr=False)
    length: int = 0
    blocks: tuple[bytes, ...] = field(default=(), repr=False)
    content_length: int | None = None

    @property
    def truncated(self) -> bool:
        """Return True where only length and digests are available."""
        return bool(self.blocks)

    @property
    def digest(self) -> str | None:
        """Return one hexadecimal digest of all blocks, None where the whole body is available."""
        return hashlib.sha256(b"".join(self.blocks)).hexdigest() if self.blocks else None

    @classmethod
    def of(cls, data: bytes) -> Body:
        """Return a body of complete data."""
        return cls(data, len(data))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as one backend received it, and its answer.

    Header names are in lower case, in their order, with duplicates. `status` is 0 where no answer began. `outcome` is
    `response` for a complete answer, `hang` for none in time, `reset` for a truncated one or a crashed backend, `gone`
    where the client disconnected first, `unasked` where the backend was unreachable. `started` is in seconds since the
    epoch; `head` and `total` are seconds until the answer began and ended.
    """

    method: str
    target: bytes = field(repr=False)
    request_headers: Headers = field(repr=False)
    request_body: Body
    outcome: Outcome
    status: int
    headers: Headers = field(repr=False)
    body: Body
    started: float
    head: float
    total: float


class RawBody(NamedTuple):
    """A body in chunks as received; digests of `blocks` instead of chunks where it was longer than the limit."""

    chunks: Sequence[bytes]
    length: int
    blocks: tuple[bytes, ...] = ()
    content_length: int | None = None

    def __repr__(self) -> str:
        return f"RawBody(length={self.length})"

    def body(self) -> Body:
        """Return the body in one piece."""
        return Body(b"".join(self.chunks), self.length, self.blocks, self.content_length)


class RawExchange(NamedTuple):
    """A recorded exchange in the form that is cheapest to create and to send to another process.

    `is_request_complete`: the whole request body has passed. The other fields are those of `Exchange`, not decoded yet.
    """

    method: str
    target: bytes
    request_headers: Sequence[tuple[bytes, bytes]]
    request_body: RawBody
    is_request_complete: bool
    outcome: Outcome
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: RawBody
    started: float
    head: float
    total: float

    def __repr__(self) -> str:
        return f"RawExchange({self.method}, {self.outcome}, {self.status})"

    @property
    def size(self) -> int:
        """Return the number of retained bytes of bodies."""
        return sum(each.length for each in (self.request_body, self.body) if not each.blocks)

    def exchange(self) -> Exchange:
        """Return the exchange in its decoded form."""
        return Exchange(
            method=self.method,
            target=self.target,
            request_headers=tuple(map(_as_bytes, self.request_headers)),
            request_body=self.request_body.body(),
            outcome=self.outcome,
            status=self.status,
            headers=tuple([(bytes(name).lower(), bytes(value)) for name, value in self.headers]),
            body=self.body.body(),
            started=self.started,
            head=self.head,
            total=self.total,
        )


class AnswerObserver(Protocol):
    """The recorder of an answer."""

    def sent(self, message: Message) -> None:
        """Record a message to the client, before it is passed on."""


class Account(Protocol):
    """One holder's account in a memory budget. Sizes are in bytes."""

    def acquire(self, size: int) -> bool:
        """Reserve bytes; return False where the holder must drop the bytes that it retains."""

    def release(self, size: int) -> None:
        """Return bytes to the budget."""

    def close(self) -> None:
        """Return all bytes to the budget."""


OpenAccount: TypeAlias = Callable[[Callable[[], None]], Account]
"""Opens an account. The function passed to it drops the holder's bytes."""


def _as_bytes(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return header if type(header) is tuple and type(header[1]) is bytes else (bytes(header[0]), bytes(header[1]))


class ExchangeRecorder:
    """Records the messages between a client and one backend; call `received` and `sent` for each.

    `open_account` opens an account for the bodies. Where the budget needs their bytes, digests replace them; `by_role`
    makes them independent of what a backend generates, as a dry run needs them. `began`: the times at which the request
    began, as `time.time` and `time.perf_counter` return them; by default now.
    """

    __slots__ = (
        "_account",
        "_answered",
        "_by_role",
        "_ended",
        "_head_at",
        "_headers",
        "_received",
        "_request_complete",
        "_scope",
        "_sent",
        "_started",
        "_status",
        "_wall",
    )

    def __init__(
        self,
        scope: Scope,
        limit: int = LIMIT,
        open_account: OpenAccount | None = None,
        *,
        by_role: bool = False,
        began: tuple[float, float] | None = None,
    ) -> None:
        self._scope = scope
        self._by_role = by_role
        self._account = open_account(self._shorten) if open_account is not None else None
        self._received, self._sent = _BodyBuffer(limit, BodyDigests), _BodyBuffer(limit, self._answer_digests)
        self._status = 0
        self._headers: Sequence[tuple[bytes, bytes]] = ()
        self._request_complete = self._answered = False
        self._wall, self._started = began or (time.time(), time.perf_counter())
        self._head_at = self._ended = 0.0

    @property
    def answered(self) -> bool:
        """Return True once the whole answer has passed."""
        return self._answered

    @property
    def sent_length(self) -> int:
        """Return how many bytes of the answer's body have passed."""
        return self._sent.length

    def received(self, message: Message) -> None:
        """Record a message from the client."""
        if message["type"] == "http.request":
            body = message.get("body", b"")
            if body:
                self._add(self._received, body)
            self._request_complete = not message.get("more_body", False)

    def sent(self, message: Message) -> None:
        """Record a message to the client before it is forwarded; a disconnected client makes no difference."""
        kind = message["type"]
        if kind == "http.response.body":
            body = message.get("body", b"")
            if body and self._scope["method"] != "HEAD":  # servers omit the body of an answer to HEAD (RFC 9110 §9.3.2)
                self._add(self._sent, body)
            if not message.get("more_body", False):
                self._answered = True
                self._ended = time.perf_counter()
        elif kind == "http.response.start":
            self._head_at = time.perf_counter()
            self._status = message["status"]
            self._headers = message.get("headers", ())

    def _add(self, buffer: _BodyBuffer, chunk: bytes) -> None:
        before = buffer.held
        buffer.add(chunk)
        if self._account is None:
            return
        if buffer.held < before:
            self._account.release(before)
        elif buffer.held and not self._account.acquire(len(chunk)):
            self._shorten()

    def _answer_digests(self) -> BodyDigests:
        codings = b", ".join(value for name, value in self._headers if name.lower() == b"content-encoding")
        return BodyDigests(codings.decode("latin-1"), self._wall if self._by_role else None)

    def close(self) -> None:
        """Return the bytes to the memory budget; call this where `raw` is not called."""
        if self._account is not None:
            self._account.close()

    def _shorten(self) -> None:
        self._received.shorten()
        self._sent.shorten()

    def exchange(self, failure: str | None = None) -> Exchange:
        """Return the decoded exchange; `failure` is the code of the backend's `errors.Failure`, if any."""
        return self.raw(failure).exchange()

    def raw(self, failure: str | None = None) -> RawExchange:
        """Return the exchange as received."""
        ended = self._ended or time.perf_counter()
        scope = self._scope
        self.close()
        return RawExchange(
            scope["method"],
            request_target(scope),
            scope["headers"],
            self._received.body(),
            self._request_complete,
            self._outcome(failure),
            self._status,
            self._headers,
            self._sent.body(),
            self._wall,
            (self._head_at or ended) - self._started,
            ended - self._started,
        )

    def _outcome(self, failure: str | None) -> Outcome:
        if self._answered:
            return "response"
        if failure is None:
            return "gone"
        return "reset" if self._status else _OUTCOMES.get(failure, "unasked")


class _BodyBuffer:
    """The chunks of one body up to the limit, digests beyond it."""

    __slots__ = ("_chunks", "_digests", "_limit", "_open_digests", "length")

    def __init__(self, limit: int, open_digests: Callable[[], BodyDigests]) -> None:
        self._limit = limit
        self.length = 0
        self._chunks: list[bytes] = []
        self._digests: BodyDigests | None = None
        self._open_digests = open_digests

    @property
    def held(self) -> int:
        """Return the number of retained bytes."""
        return self.length if self._digests is None else 0

    def add(self, chunk: bytes) -> None:
        self.length += len(chunk)
        if self._digests is not None:
            self._digests.update(chunk)
            return
        self._chunks.append(bytes(chunk))
        if self.length > self._limit:
            self.shorten()

    def shorten(self) -> None:
        """Replace the chunks, if any, by digests."""
        if self._chunks:
            self._digests = self._open_digests()
            for each in self._chunks:
                self._digests.update(each)
            self._chunks.clear()

    def body(self) -> RawBody:
        if self._digests is None:
            return RawBody(list(self._chunks), self.length)
        digests = self._digests.finish()
        return RawBody([], self.length, digests.blocks(), digests.length if self._digests.is_content else None)
