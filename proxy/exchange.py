"""A request and its answer as they passed a side, kept within bounds, so that two sides can be held together later.

`Capture` is shown every message that passes between a client and a side. It keeps references to the chunks it sees,
copies nothing, and never holds more than `limit` bytes of a body: what is longer becomes its length and a digest. What
it has seen is asked for once, at the end.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from starlette.types import Message, Scope

from proxy.upstream.headers import request_target

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

    def __reduce__(self) -> tuple[Any, ...]:  # else pickling takes four times as long
        return Body, _BODY(self)


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

    def __reduce__(self) -> tuple[Any, ...]:
        return Exchange, _EXCHANGE(self)


_BODY = attrgetter(*Body.__slots__)
_EXCHANGE = attrgetter(*Exchange.__slots__)


class Capture:
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
        self._headers: Headers = ()
        self._asked = self._answered = False
        self._wall = time.time()
        self._started = time.perf_counter()
        self._headed = self._ended = 0.0

    @property
    def asked(self) -> bool:
        """Whether the request's body has passed as a whole."""
        return self._asked

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
            self._headers = tuple((bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ()))

    def exchange(self, failure: str | None = None) -> Exchange:
        """What passed until now; `failure` is the code of a `failures.Failure` that the side raised, if it did."""
        ended = self._ended or time.perf_counter()
        return Exchange(
            method=self._scope["method"],
            target=request_target(self._scope),
            request_headers=tuple((bytes(name), bytes(value)) for name, value in self._scope["headers"]),
            request_body=self._received.body(),
            outcome=self._outcome(failure),
            status=self._status,
            headers=self._headers,
            body=self._sent.body(),
            started=self._wall,
            head=(self._headed or ended) - self._started,
            total=ended - self._started,
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

    def body(self) -> Body:
        if self._digest is not None:
            return Body(b"", self.length, self._digest.hexdigest())
        return Body(b"".join(self._chunks), self.length)
