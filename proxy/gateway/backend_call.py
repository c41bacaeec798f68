"""Await the backend of a request. If it cannot answer, let the other one take over, or answer with the failure.

    legacy ── not connected ─▶ native           native ── failed, or a 5xx ─▶ legacy       (`fallback` decides)
       └── `errors.Failure` ─▶ the gateway's own answer, unless the answer has begun

Native is any ASGI app: its exceptions, and its return without an answer, become `NativeFailed`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from common.cancellation import ends_task
from proxy.fair_queue import fair_queue_of
from proxy.gateway import bucketing, fallback
from proxy.gateway.admission import Admission
from proxy.gateway.errors import Failure, NativeFailed, NotConnected, error_response
from proxy.gateway.request_tracker import RequestTracker
from proxy.gateway.scope import first_header
from proxy.types import Backend
from proxy.websocket.peer import PeerGone

logger = logging.getLogger("scribe_proxy")

DEPENDENCY_FAILURE: Final = "proxy.dependency_failure"
"""The ASGI extension by which native reports a failed dependency, by setting `dependency` in the mapping."""
DEPENDENCIES: Final = ("database", "model", "terminology")


class _Unanswered(NativeFailed):
    """Native has returned without the end of its answer."""


class BackendCaller:
    """Awaits the backends of requests. `admission` moves a request's slot to the backend that takes over."""

    def __init__(self, admission: Admission) -> None:
        self._admission: Final = admission

    async def serve(self, tracker: RequestTracker, scope: Scope, receive: Receive) -> None:
        """Await the backend that was decided on. If it fails before its answer has begun, answer with the failure."""
        snapshot, decision = tracker.snapshot, tracker.decision
        native = snapshot.native
        route, preflight = tracker.match.route if tracker.match is not None else None, tracker.preflight
        try:
            if tracker.refusal is not None:
                raise tracker.refusal
            if decision.backend == "native" and native is not None:
                if fallback.legacy_may(route, decision, scope, tracker.limit, preflight=preflight):
                    await self._native_or_legacy(native, scope, receive, tracker)
                else:
                    await self._answer_by_native(native, scope, receive, tracker)
            elif native is not None and fallback.native_may(route, decision, tracker.limit, preflight=preflight):
                await self._legacy_or_native(native, scope, receive, tracker)
            else:
                await snapshot.legacy(scope, receive, tracker.send)
        except Failure as failure:
            tracker.failure, tracker.cause = failure.code, failure.cause
            if not tracker.begun:
                try:
                    await self._answer(failure, scope, tracker)
                except PeerGone:
                    if isinstance(failure, _Unanswered):
                        tracker.failure = None  # the client left before native returned
                    raise

    async def _legacy_or_native(self, native: ASGIApp, scope: Scope, receive: Receive, tracker: RequestTracker) -> None:
        replayable = fallback.ReplayableReceive(receive)
        try:
            await tracker.snapshot.legacy(scope, replayable, tracker.send)
        except NotConnected as fault:
            tracker.cause = fault.cause
            self._fall_back("native", "legacy-down", tracker)
            await self._answer_by_native(native, scope, replayable.again, tracker)

    async def _native_or_legacy(self, native: ASGIApp, scope: Scope, receive: Receive, tracker: RequestTracker) -> None:
        replayable = fallback.ReplayableReceive(receive)
        attempt = fallback.ServerErrorFilter(tracker.send)
        try:
            await self._await_native(native, dict(scope), replayable, attempt, tracker)
            if not attempt.failed:
                self._require_answer(tracker)
        except NativeFailed:
            if tracker.begun:
                raise
            attempt.failed = True
        if attempt.failed:
            self._fall_back("legacy", "native-error", tracker)
            await tracker.snapshot.legacy(scope, replayable.again, tracker.send)

    def _fall_back(self, backend: Backend, reason: bucketing.Reason, tracker: RequestTracker) -> None:
        """Let the other backend take over. Raises `Overloaded` if it has no free slot."""
        if tracker.slot is not None:
            self._admission.move(tracker.slot, backend)
        tracker.fall_back(backend, reason)

    async def _answer_by_native(self, native: ASGIApp, scope: Scope, receive: Receive, tracker: RequestTracker) -> None:
        await self._await_native(native, scope, receive, tracker.send, tracker)
        self._require_answer(tracker)

    def _require_answer(self, tracker: RequestTracker) -> None:
        """Raise `NativeFailed` if native has returned without the end of its answer, and the client still waits."""
        connection = tracker.connection
        if tracker.ended or (tracker.kind == "websocket" and tracker.begun):
            return
        if connection is not None and connection.is_closing:
            return
        logger.error("native returned without an answer on %s", tracker.scope.get("proxy.template", "-"))
        raise _Unanswered

    async def _await_native(
        self, native: ASGIApp, scope: Scope, receive: Receive, send: Send, tracker: RequestTracker
    ) -> None:
        if tracker.connection is not None:
            tracker.connection.retain_body()
        report: dict[str, object] = {}
        scope["extensions"] = {**scope.get("extensions", {}), DEPENDENCY_FAILURE: report}
        try:
            await fair_queue_of(asyncio.get_running_loop()).wait_if_contended(tracker.slot and tracker.slot.client)
            await native(scope, receive, send)
        except (ClientDisconnect, WebSocketDisconnect):
            return  # Starlette's errors for a client that has left
        except (Failure, PeerGone):
            raise
        except BaseException as error:
            if ends_task(error):
                raise
            logger.error("native raised %s on %s", type(error).__name__, scope.get("proxy.template", "-"))
            raise NativeFailed from error
        finally:
            if report:
                tracker.dependency = next((name for name in DEPENDENCIES if report.get("dependency") == name), None)

    async def _answer(self, failure: Failure, scope: Scope, tracker: RequestTracker) -> None:
        headers, body = error_response(failure, first_header(scope["headers"], b"origin"), tracker.snapshot.origins)
        prefix = "http.response" if scope["type"] == "http" else "websocket.http.response"
        tracker.answered_by = "gateway"
        await tracker.send({"type": f"{prefix}.start", "status": failure.status, "headers": headers})
        await tracker.send({"type": f"{prefix}.body", "body": body, "more_body": False})
