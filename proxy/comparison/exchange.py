"""A request and its answer as they passed a side, kept within bounds, so that two sides can be held together later.

`Capture` is shown every message that passes between a client and a side. It keeps references to the chunks it sees,
copies nothing, and never holds more than `limit` bytes of a body: what is longer becomes its length and a digest. What
it has seen is asked for once, at the end.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from starlette.types import Message, Scope

from proxy.gateway.scope import request_target

Headers = tuple[tuple[bytes, bytes], ...]
Outcome = Literal["response", "hang", "reset", "gone", "unasked"]

LIMIT = 256 * 1024
"""How much of a body is kept, in bytes, unless something else is asked for."""

_OUTCOMES: dict[str, Outcome] = {
    "legacy_timeout": "hang",
    "legacy_reset": "reset",
    "legacy_bad_answer": "reset",
    "native_failed": "reset",
}


@dataclass(frozen=True, slots=True)
class Body:
    """`data` is empty where the body was longer than the limit; then `digest` is its SHA-256 in hex.

    `length` counts all bytes that passed. Shows nothing of itself in logs and tracebacks.
    """

    data: bytes = field(default=b"", repr=False)
    length: int = 0
    digest: str | None = field(default=None, repr=False)

    @property
    def truncated(self) -> bool:
        """Whether only length and digest are left."""
        return self.digest is not None

    @classmethod
    def of(cls, data: bytes) -> Body:
        """A body that is there as a whole."""
        return cls(data, len(data))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as one side saw it, and what that side answered.

    Header names are in lower case, order and duplicates kept. `status` is 0 where no answer began. `outcome` is
    `response` for a whole answer, `hang` for none in time, `reset` for one that broke off or a side that died of it,
    `gone` where the client left first, `unasked` where the side could not be reached at all. `started` is in seconds
    since the epoch; `head` and `total` are seconds until the answer began and ended.
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
    """A body as it came. `chunks` is empty where the body was longer than the limit; then `digest` is its SHA-256."""

    chunks: Sequence[bytes]
    length: int
    digest: str | None

    def __repr__(self) -> str:
        return f"Chunks(length={self.length})"

    def body(self) -> Body:
        """The same in one piece."""
        return Body(b"".join(self.chunks), self.length, self.digest)


class RawExchange(NamedTuple):
    """What a capture has seen of one request: quick to make, and to send to another process, which then looks at it.

    `asked`: whether the request's body had passed as a whole. The rest is as in `Exchange`, but as it came.
    """

    method: str
    target: bytes
    request_headers: Sequence[tuple[bytes, bytes]]
    request_body: RawBody
    asked: bool
    outcome: Outcome
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: RawBody
    started: float
    head: float
    total: float

    def __repr__(self) -> str:
        return f"Seen({self.method}, {self.outcome}, {self.status})"

    @property
    def size(self) -> int:
        """How many bytes of bodies are held."""
        return sum(each.length for each in (self.request_body, self.body) if each.digest is None)

    def exchange(self) -> Exchange:
        """The same, set in order."""
        return Exchange(
            method=self.method,
            target=self.target,
            request_headers=tuple((bytes(name), bytes(value)) for name, value in self.request_headers),
            request_body=self.request_body.body(),
            outcome=self.outcome,
            status=self.status,
            headers=tuple((bytes(name).lower(), bytes(value)) for name, value in self.headers),
            body=self.body.body(),
            started=self.started,
            head=self.head,
            total=self.total,
        )


class ExchangeRecorder:
    """What passes between a client and one side: tell it of each message by `received` and `sent`."""

    __slots__ = (
        "_answered",
        "_asked",
        "_ended",
        "_headed",
        "_headers",
        "_received",
        "_scope",
        "_sent",
        "_started",
        "_status",
        "_wall",
    )

    def __init__(self, scope: Scope, limit: int = LIMIT) -> None:
        self._scope = scope
        self._received, self._sent = _Gathering(limit), _Gathering(limit)
        self._status = 0
        self._headers: Sequence[tuple[bytes, bytes]] = ()
        self._asked = self._answered = False
        self._wall = time.time()
        self._started = time.perf_counter()
        self._headed = self._ended = 0.0

    @property
    def answered(self) -> bool:
        """Whether the answer has passed as a whole."""
        return self._answered

    @property
    def sent_length(self) -> int:
        """How much of the answer's body has passed, in bytes."""
        return self._sent.length

    def received(self, message: Message) -> None:
        """A message from the client."""
        if message["type"] == "http.request":
            self._received.add(message.get("body", b""))
            self._asked = not message.get("more_body", False)

    def sent(self, message: Message) -> None:
        """A message to the client; to be told before it is passed on, since it is the side's whether it arrives."""
        kind = message["type"]
        if kind == "http.response.body":
            if self._scope["method"] != "HEAD":  # a server leaves out what an app says there (RFC 9110 §9.3.2)
                self._sent.add(message.get("body", b""))
            if not message.get("more_body", False):
                self._answered = True
                self._ended = time.perf_counter()
        elif kind == "http.response.start":
            self._headed = time.perf_counter()
            self._status = message["status"]
            self._headers = message.get("headers", ())

    def exchange(self, failure: str | None = None) -> Exchange:
        """What passed until now; `failure` is the code of a `failures.Failure` that the side raised, if it did."""
        return self.seen(failure).exchange()

    def seen(self, failure: str | None = None) -> RawExchange:
        """The same, as it came."""
        ended = self._ended or time.perf_counter()
        scope = self._scope
        return RawExchange(
            scope["method"],
            request_target(scope),
            scope["headers"],
            self._received.chunks(),
            self._asked,
            self._outcome(failure),
            self._status,
            self._headers,
            self._sent.chunks(),
            self._wall,
            (self._headed or ended) - self._started,
            ended - self._started,
        )

    def _outcome(self, failure: str | None) -> Outcome:
        if self._answered:
            return "response"
        if failure is None:
            return "gone"
        return "reset" if self._status else _OUTCOMES.get(failure, "unasked")


class _Gathering:
    """The chunks of one body while they fit, a running digest from the moment they do not."""

    __slots__ = ("_chunks", "_digest", "_limit", "length")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.length = 0
        self._chunks: list[bytes] = []
        self._digest: hashlib._Hash | None = None

    def add(self, chunk: bytes) -> None:
        if not chunk:
            return
        self.length += len(chunk)
        if self._digest is not None:
            self._digest.update(chunk)
        elif self.length <= self._limit:
            self._chunks.append(bytes(chunk))
        else:
            self._digest = hashlib.sha256(b"".join(self._chunks))
            self._digest.update(chunk)
            self._chunks.clear()

    def chunks(self) -> RawBody:
        return RawBody(list(self._chunks), self.length, self._digest.hexdigest() if self._digest is not None else None)
