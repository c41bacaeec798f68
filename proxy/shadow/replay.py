"""A captured request, asked again of an app: with a deadline, and with a bound on what is kept of the answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from proxy.comparison.exchange import Exchange, ExchangeRecorder, Headers, RawExchange
from proxy.comparison.verdicts import Reason
from proxy.gateway.errors import Failure
from proxy.gateway.scope import first_header
from proxy.shadow.messages import RequestSnapshot

logger = logging.getLogger("scribe_proxy.shadow")

CANCEL_TIMEOUT: Final = 5.0
"""Seconds that an app may take to end once it was cancelled."""


class UncancellableAppError(RuntimeError):
    """An app goes on although it was cancelled: it would hold its place for ever."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`limit` bytes of the answer's body are kept; beyond `ceiling` bytes the answer is not even read on.

    `deadline` is in monotonic seconds.
    """

    limit: int
    ceiling: int
    deadline: float


async def ask(
    app: ASGIApp, asked: RequestSnapshot, bounds: Bounds, more: Mapping[str, Any] | None = None
) -> Exchange | Reason:
    """What an app answers, or why there is nothing to compare. `more` stands in the scope besides.

    Raises StubbornError.
    """
    scope = scope_of(asked, more or {})
    client = _Client(scope, asked.body, bounds)
    task = asyncio.ensure_future(app(scope, client.receive, client.send))
    enough = asyncio.create_task(client.enough.wait())
    try:
        left = max(0.0, bounds.deadline - time.monotonic())
        await asyncio.wait({task, enough}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        over = not task.done()
    finally:
        enough.cancel()
        await _end(task)
    if client.capture.answered:
        return client.capture.exchange()
    if over:
        return "body_too_large" if client.enough.is_set() else "timeout"
    return _unanswered(client.capture, _raised(task), bounds.deadline)


def unrepeatable(seen: RawExchange, asked: RequestSnapshot) -> Reason | None:
    """Why a request cannot be asked again as it was; None where it can."""
    if seen.request_body.digest is not None:
        return "body_too_large"
    unread = not seen.asked and _has_body(asked.headers)
    return "streaming" if unread or first_header(asked.headers, b"upgrade") is not None else None


def scope_of(asked: RequestSnapshot, more: Mapping[str, Any]) -> Scope:
    """The ASGI scope of a request, as the server made it when it came."""
    raw_path, _, query = asked.target.partition(b"?")
    arrival = asked.arrival
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": asked.method,
        "scheme": arrival.scheme,
        "http_version": arrival.http_version,
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": list(asked.headers),
        "client": arrival.client and tuple(arrival.client),
        "server": arrival.server and tuple(arrival.server),
        "proxy.target": asked.target,
        "proxy.request_id": arrival.request_id,
        **({"proxy.template": arrival.template} if arrival.template is not None else {}),
        **more,
    }


def _has_body(headers: Headers) -> bool:
    length = first_header(headers, b"content-length")
    return (length is not None and length.strip(b"0") != b"") or first_header(headers, b"transfer-encoding") is not None


class _Client:
    """Sends the request's body, and takes the answer up to a bound."""

    def __init__(self, scope: Scope, body: bytes, bounds: Bounds) -> None:
        self.capture = ExchangeRecorder(scope, bounds.limit)
        self.enough = asyncio.Event()
        self._ceiling = bounds.ceiling
        self._body: bytes | None = body
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        if self._body is None:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        message = {"type": "http.request", "body": self._body, "more_body": False}
        self._body = None
        self.capture.received(message)
        return message

    async def send(self, message: Message) -> None:
        self.capture.sent(message)
        if self.capture.answered:
            self._gone.set()
        elif self.capture.sent_length > self._ceiling:
            self.enough.set()
            await asyncio.Event().wait()  # until it is cancelled


def _unanswered(capture: ExchangeRecorder, error: BaseException | None, deadline: float) -> Exchange | Reason:
    if isinstance(error, TimeoutError) and time.monotonic() >= deadline:
        return "timeout"
    if isinstance(error, Failure):
        return capture.exchange(error.code)
    if error is not None:
        logger.error("the app raised %s", type(error).__name__)
        return capture.exchange("native_failed")
    return capture.exchange("legacy_reset")  # an answer that broke off


def _raised(task: asyncio.Future[None]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def _end(task: asyncio.Future[None]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_TIMEOUT)
    if not task.done():
        raise UncancellableAppError
    _raised(task)  # else asyncio logs what was never looked at
