"""Record one request and its answer as they pass a backend, within limits, for a later comparison. Pure.

    messages ─▶ ExchangeRecorder ─▶ Exchange ─▶ (shadow process) ─┬▶ RequestSnapshot   to be sent again
                                                                  └▶ DecodedAnswer     to be compared

`Exchange` is the only form of a recorded exchange: bodies as transferred, or their length and digests if they are
longer than a limit. `DecodedAnswer` (`answers`) is the only form of an answer without content coding, in live traffic
and recordings. `RequestSnapshot` (`shadow.messages`) is the only form of a request to be sent again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from starlette.types import Message, Scope

from proxy.comparison.body_digests import BodyDigests
from proxy.gateway.scope import request_target
from proxy.types import HeaderFields

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


class Body(NamedTuple):
    """A body. If it was longer than the limit, `data` is empty and `blocks` are its digests.

    `length` counts all bytes of the body as transferred. The digests are those of `content_length` bytes of content.
    If the content coding could not be undone, they are those of the coded bytes, and `content_length` is None.
    """

    data: bytes = b""
    length: int = 0
    blocks: tuple[bytes, ...] = ()
    content_length: int | None = None

    def __repr__(self) -> str:
        return f"Body(length={self.length})"

    @property
    def truncated(self) -> bool:
        """Return True if only length and digests are available."""
        return bool(self.blocks)

    @property
    def digest(self) -> str | None:
        """Return one hexadecimal digest of all blocks; None if the whole body is available."""
        return hashlib.sha256(b"".join(self.blocks)).hexdigest() if self.blocks else None

    @classmethod
    def of(cls, data: bytes) -> Body:
        """Return a body of complete data."""
        return cls(data, len(data))


class Exchange(NamedTuple):
    """One request as one backend received it, and its answer, with coded bodies; cheap to send to another process.

    Header names are in lower case, in their order, with duplicates. `status` is 0 if no answer began. `outcome` is
    `response` for a complete answer, `hang` for none in time, `reset` for a truncated one or a crashed backend, `gone`
    if the client disconnected first, `unasked` if the backend was unreachable. `started` is in seconds since the
    epoch; `head` and `total` are seconds until the answer began and ended. `is_request_complete`: the whole request
    body has passed.
    """

    method: str
    target: bytes
    request_headers: Headers
    request_body: Body
    outcome: Outcome
    status: int
    headers: Headers
    body: Body
    started: float
    head: float
    total: float
    is_request_complete: bool = True

    def __repr__(self) -> str:
        return f"Exchange({self.method}, {self.outcome}, {self.status})"

    @property
    def size(self) -> int:
        """Return the number of retained bytes of bodies."""
        return len(self.request_body.data) + len(self.body.data)


def normalised(headers: HeaderFields) -> Headers:
    """Return header fields with names in lower case."""
    return tuple([(bytes(name).lower(), bytes(value)) for name, value in headers])


class AnswerObserver(Protocol):
    """The recorder of an answer."""

    def sent(self, message: Message) -> None:
        """Record a message to the client, before it is passed on."""


class Account(Protocol):
    """One holder's account in a memory budget. Sizes are in bytes."""

    def acquire(self, size: int) -> bool:
        """Reserve bytes; return False if the holder must drop the bytes that it retains."""

    def release(self, size: int) -> None:
        """Return bytes to the budget."""

    def close(self) -> None:
        """Return all bytes to the budget."""


OpenAccount: TypeAlias = Callable[[Callable[[], None]], Account]
"""Opens an account. The function passed to it drops the holder's bytes."""


class ExchangeRecorder:
    """Records the messages between a client and one backend; call `received` and `sent` for each.

    `open_account` opens an account for the bodies. If the budget needs their bytes, digests replace them. `by_role`:
    the digests are independent of values that a backend generates, for a dry run. `began`: the times at which the
    request began, as `time.time` and `time.perf_counter` return them; by default now.
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
        self._received = _BodyBuffer(limit, BodyDigests)
        self._sent = _BodyBuffer(limit, self._answer_digests)
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
        """Record a message to the client before it is forwarded, even if the client has disconnected."""
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
        """Return the bytes to the memory budget; call this if `exchange` is not called."""
        if self._account is not None:
            self._account.close()

    def _shorten(self) -> None:
        self._received.shorten()
        self._sent.shorten()

    def exchange(self, failure: str | None = None) -> Exchange:
        """Return the exchange; `failure` is the code of the backend's `errors.Failure`, if any."""
        ended = self._ended or time.perf_counter()
        scope = self._scope
        self.close()
        return Exchange(
            scope["method"],
            request_target(scope),
            normalised(scope["headers"]),
            self._received.body(),
            self._outcome(failure),
            self._status,
            normalised(self._headers),
            self._sent.body(),
            self._wall,
            (self._head_at or ended) - self._started,
            ended - self._started,
            self._request_complete,
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

    def body(self) -> Body:
        if self._digests is None:
            return Body(b"".join(self._chunks), self.length)
        digests = self._digests.finish()
        return Body(b"", self.length, digests.blocks(), digests.length if self._digests.is_content else None)
