"""Seeded ASGI apps that break the protocol in any way, and the requests for them."""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send


class Code(int, enum.Enum):
    """Statuses whose text is not their number."""

    OK = 200
    GONE = 410


class NotAnException(BaseException):
    """An error that `except Exception` does not catch."""


Step = Message | BaseException
"""A message to send, or an error to raise."""

_STATUSES: Final[tuple[Any, ...]] = (
    *(200, 200, 200, 200, 201, 204, 205, 304, 404, 500, 503, 999),
    *(-1, 0, 99, 100, 101, 103, 199, 1000, 200.0, 200.5, True, None, "200", Code.OK, Code.GONE),
)
_NAMES: Final = (
    *(b"x-a", b"X-A", b"content-length", b"transfer-encoding", b"connection", b"Connection", b"upgrade"),
    *(b"keep-alive", b"proxy-connection", b"trailer", b"date", b"x-request-id", b"set-cookie"),
    *(b"", b"x a", b"x:a", b"x\r\na", b"\xff"),
)
_VALUES: Final = (
    *(
        b"0",
        b"3",
        b"4",
        b"03",
        b"+3",
        b"3, 3",
        b"-1",
        b"x",
        b"close",
        b"keep-alive",
        b"chunked",
        b"x-a",
        b"timeout=600",
    ),
    *(b"", b"\xff", b"a\r\nb: c", b"a\nb", b"a\0b", b"y" * 5000),
)
_PLAIN: Final = ((b"content-length", b"3"), (b"content-length", b"0"), (b"connection", b"close"), (b"x-a", b"1"))
_BODIES: Final[tuple[Any, ...]] = (
    *(b"", b"abc", b"abc", b"ab", b"abcd", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 200_000),
    *(bytearray(b"abc"), memoryview(b"abc"), "abc", None),
)
_KINDS: Final = ("http.response.trailers", "http.response.push", "http.disconnect", "websocket.accept", "")


def random_steps(rng: random.Random) -> list[Step]:
    """Return what an app does: mostly a start and some parts of a body, otherwise anything."""
    steps: list[Step] = [_start(rng)] if rng.random() < 0.85 else []
    steps += [_step(rng) for _ in range(rng.choice((0, 1, 1, 2, 4)))]
    return [*steps, {"type": "http.response.body", "body": b"abc"}] if rng.random() < 0.5 else steps


def _start(rng: random.Random) -> Message:
    headers = [
        rng.choice(_PLAIN) if rng.random() < 0.5 else (rng.choice(_NAMES), rng.choice(_VALUES))
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4)))
    ]
    message: Message = {"type": "http.response.start", "status": rng.choice(_STATUSES), "headers": headers}
    if rng.random() < 0.1:
        del message[rng.choice(("status", "headers"))]
    return message


def _step(rng: random.Random) -> Step:
    kind = rng.random()
    if kind < 0.65:
        more = rng.choice((True, True, False))
        return {"type": "http.response.body", "body": rng.choice(_BODIES), "more_body": more}
    if kind < 0.8:
        return _start(rng)
    if kind < 0.9:
        return {"type": rng.choice(_KINDS)}
    errors: tuple[Callable[[], BaseException], ...] = (ValueError, asyncio.CancelledError, NotAnException)
    return rng.choice(errors)()


class ScriptedApp:
    """Does the steps of the query's number in `scripts`; answers any other request with its query.

    `catches`: numbers whose app continues after an error of `send`.
    """

    def __init__(self) -> None:
        self.scripts: dict[bytes, list[Step]] = {}
        self.catches: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        number: bytes = scope["query_string"]
        if number not in self.scripts:
            length = (b"content-length", b"%d" % len(number))
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": number})
            return
        for step in self.scripts[number]:
            if isinstance(step, BaseException):
                raise step
            try:
                await send(step)
            except Exception:
                if number not in self.catches:
                    raise
