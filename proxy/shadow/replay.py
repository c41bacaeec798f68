"""Replay of a captured request on a backend, with a deadline and a limit on the answer's size."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from proxy.comparison.exchange import Exchange, ExchangeRecorder, Headers
from proxy.comparison.verdicts import Reason
from proxy.gateway.errors import Failure
from proxy.gateway.request_context import CONTEXT, RequestContext
from proxy.gateway.scope import first_header
from proxy.gateway.timeouts import Timeouts
from proxy.shadow.messages import RequestSnapshot

logger = logging.getLogger("scribe_proxy.shadow")

CANCEL_TIMEOUT: Final = 5.0
"""Seconds that an app may take to end after its cancellation."""


class UncancellableAppError(RuntimeError):
    """An app that ignores its cancellation. Its task would occupy a slot for ever."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one replay: `limit` bytes of the answer's body are stored, reading stops after `ceiling` bytes.

    `deadline` is in monotonic seconds. `by_role`: the answer is compared by role. An app may take `cancel_timeout`
    seconds to end after its cancellation.
    """

    limit: int
    ceiling: int
    deadline: float
    by_role: bool = False
    cancel_timeout: float = CANCEL_TIMEOUT


async def replay_request(
    app: ASGIApp,
    request: RequestSnapshot,
    bounds: Bounds,
    *,
    timeouts: Timeouts | None = None,
    extensions: Mapping[str, object] | None = None,
) -> Exchange | Reason:
    """Return the app's answer, or the reason why there is nothing to compare.

    `timeouts` replace the legacy backend's own; `extensions` are ASGI extensions.

    Raises:
        UncancellableAppError: the app ignores its cancellation.
    """
    scope = scope_of(request, extensions, timeouts)
    client = _ReplayClient(scope, request.body, bounds)
    task = client.task = asyncio.ensure_future(app(scope, client.receive, client.send))
    try:
        await asyncio.wait((task,), timeout=max(0.0, bounds.deadline - time.monotonic()))
        interrupted = not task.done()
    finally:
        await end_app(task, bounds.cancel_timeout)
    if client.capture.answered:
        return client.capture.exchange()
    if client.too_large:
        return "body_too_large"
    if interrupted:
        return "timeout"
    return _unanswered(client.capture, _error_of(task), bounds.deadline)


def not_repeatable(exchange: Exchange, request: RequestSnapshot) -> Reason | None:
    """Return the reason why a request cannot be repeated; None if it can."""
    if exchange.request_body.blocks:
        return "body_too_large"
    unread = not exchange.is_request_complete and _has_body(request.headers)
    return "streaming" if unread or first_header(request.headers, b"upgrade") is not None else None


def scope_of(
    request: RequestSnapshot, extensions: Mapping[str, object] | None, timeouts: Timeouts | None = None
) -> Scope:
    """Return the ASGI scope of a request as the server first built it, with `extensions` and `timeouts` added."""
    raw_path, _, query = request.target.partition(b"?")
    connection = request.connection
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": request.method,
        "scheme": connection.scheme,
        "http_version": connection.http_version,
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": connection.client and tuple(connection.client),
        "server": connection.server and tuple(connection.server),
        "proxy.target": request.target,
        CONTEXT: RequestContext(request_id=connection.request_id, timeouts=timeouts),
        **({"proxy.template": connection.template} if connection.template is not None else {}),
        **({"extensions": extensions} if extensions is not None else {}),
    }


def _has_body(headers: Headers) -> bool:
    length = first_header(headers, b"content-length")
    return (length is not None and length.strip(b"0") != b"") or first_header(headers, b"transfer-encoding") is not None


class _ReplayClient:
    """The client of a replay: provides the request's body and records the answer up to a limit."""

    def __init__(self, scope: Scope, body: bytes, bounds: Bounds) -> None:
        self.capture = ExchangeRecorder(scope, bounds.limit, by_role=bounds.by_role)
        self.too_large = False
        self.task: asyncio.Future[None] | None = None
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
            self.too_large = True
            assert self.task is not None, "the app runs in this task"
            self.task.cancel()
            await asyncio.Event().wait()


def _unanswered(capture: ExchangeRecorder, error: BaseException | None, deadline: float) -> Exchange | Reason:
    if isinstance(error, TimeoutError) and time.monotonic() >= deadline:
        return "timeout"
    if isinstance(error, Failure):
        return capture.exchange(error.code)
    if error is not None:
        logger.error("the app raised %s", type(error).__name__)
        return capture.exchange("native_failed")
    return capture.exchange("legacy_reset")  # the answer is incomplete


def _error_of(task: asyncio.Future[None]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def end_app(task: asyncio.Future[None], timeout: float = CANCEL_TIMEOUT) -> None:
    """End the task of an app, which may take `timeout` seconds.

    Raises:
        UncancellableAppError: it ignores its cancellation.
    """
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=timeout)
    if not task.done():
        raise UncancellableAppError
    _error_of(task)  # retrieves the error, which asyncio would otherwise log
