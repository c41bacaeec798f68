"""The gateway: an ASGI app that passes each request to one of two backends, and reports the result.

    (1) match a route ─▶ (2) decide on a backend ─▶ (3) await it with the client's own scope, receive and send
                                                        └─▶ (4) report to the observers, once

A request uses the snapshot with which it began; a reload replaces the snapshot for later requests. Only
`RequestTracker` is between the client and the backend: it records the status and adds `x-served-by`. If a backend
cannot answer (`errors.Failure`), the gateway answers itself, unless the route lets the other backend take over
(`fallback`). Requests that involve only legacy are served without a task (`direct`).
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import secrets
from collections.abc import Awaitable, Iterable, Mapping
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from common.cancellation import ends_task
from common.failure_trace import trace_of
from proxy.config.inheritance import SAFE
from proxy.config.models import Route
from proxy.fair_queue import fair_queue_of
from proxy.gateway import bucketing, fallback
from proxy.gateway.admission import Admission
from proxy.gateway.cookies import cookie_value
from proxy.gateway.direct import DirectRequest, PlannedRequest
from proxy.gateway.direct_plan import DirectPlan, DirectPlanner
from proxy.gateway.errors import Failure, NativeFailed, NotConnected, Overloaded, error_response
from proxy.gateway.origin import RequestOrigin, resolve_origin
from proxy.gateway.request_record import Observer
from proxy.gateway.request_tracker import RequestTracker
from proxy.gateway.scope import first_header
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.starting import StartRequest
from proxy.gateway.sticky_cookie import draw_id, set_cookie
from proxy.observability import metrics
from proxy.observability.tracing import Tracing
from proxy.server.exchange import ServedExchange
from proxy.shadow.mirror import MIRROR_ERRORS, DirectRead, RequestMirror
from proxy.types import Backend, HeaderFields
from proxy.websocket.peer import PeerGone

logger = logging.getLogger("scribe_proxy")

DEPENDENCY_FAILURE: Final = "proxy.dependency_failure"
"""The ASGI extension by which native reports a failed dependency, by setting `dependency` in the mapping."""
DEPENDENCIES: Final = ("database", "model", "terminology")


class _Unanswered(NativeFailed):
    """Native has returned without the end of its answer."""


class Gateway:
    """An ASGI app that routes by its `plan` and the routes' `limits`. Both may be replaced at any time.

    `admission` holds the bulkheads.
    """

    def __init__(
        self,
        plan: RoutingSnapshot,
        observers: Iterable[Observer] = (),
        tracing: Tracing | None = None,
        shadow: RequestMirror | None = None,
    ) -> None:
        self.plan = plan
        self.limits: Mapping[str, bucketing.Limit] = {}
        self.admission = Admission()
        self._tracing = tracing
        self._shadow = shadow
        self._observers = tuple(observers)
        self._failed_observers: set[tuple[str, str]] = set()
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._planner = self._create_planner()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.run_mirrored(self._prepare(scope), scope, receive, send)

    def begin(self, exchange: ServedExchange) -> Awaitable[None] | None:
        """Serve an HTTP request without a task if only legacy is involved or a limit is reached.

        Otherwise return the awaitable to run.

        The listener calls this instead of the app: see `proxy.server.exchange`.
        """
        plan = self._plan_of(exchange) if exchange.is_alone and self._tracing is None else None
        if plan is not None:
            return self._begin_planned(plan, exchange)
        scope = exchange.scope()
        tracker = self._prepare(scope)
        if self._refuse_at_once(tracker, exchange, scope["headers"]):
            return None
        start = self._start_of(tracker, exchange) if exchange.is_alone and self._is_direct(tracker) else None
        if start is not None and DirectRequest(self, tracker, exchange).start(start):
            return None
        return self.run_mirrored(tracker, scope, exchange.receive, exchange.send)

    def _begin_planned(self, plan: DirectPlan, exchange: ServedExchange) -> Awaitable[None] | None:
        """Send a request with a plan; return the awaitable to run if it cannot be sent now."""
        origin = plan.origin
        tracker = PlannedRequest(plan, exchange)
        self._set_request_ids(tracker, origin)
        self._admit(tracker, origin.key, origin.passed)
        if self._refuse_at_once(tracker, exchange, origin.passed):
            return None
        if tracker.slot is not None and DirectRequest(self, tracker, exchange).start(plan.start):
            return None
        return self.run_mirrored(tracker, tracker.scope, exchange.receive, exchange.send)

    def _plan_of(self, exchange: ServedExchange) -> DirectPlan | None:
        planner = self._planner
        if planner.snapshot is not self.plan or planner.limits is not self.limits:
            planner = self._planner = self._create_planner()
        scopes = exchange.connection.scopes
        return planner.plan(exchange.head, scopes.peer, scopes.scheme, scopes.root_path)

    def _create_planner(self) -> DirectPlanner:
        return DirectPlanner(self.plan, self.limits, shadows=self._shadow is not None)

    def _start_of(self, tracker: RequestTracker, exchange: ServedExchange) -> StartRequest | None:
        prepare, context = tracker.snapshot.prepare, tracker.context
        if prepare is None:
            return None
        return prepare(tracker.method, exchange.head.target, tracker.scope["headers"], context.timeouts)

    def _is_direct(self, tracker: RequestTracker) -> bool:
        """Return True if a request involves only legacy, apart from a shadow for which it does not wait."""
        if tracker.decision.backend != "legacy" or tracker.slot is None or tracker.trace is not None:
            return False
        return tracker.sticky_cookie is None and (tracker.method in SAFE or not self._may_mirror(tracker))

    def _prepare(self, scope: Scope) -> RequestTracker:
        """Match a route (1), decide (2), take a slot, and write the backends' view of the request into the scope."""
        snapshot = self.plan
        method: str = scope["method"] if scope["type"] == "http" else "WS"
        tracker = RequestTracker(snapshot, scope, method)
        origin = resolve_origin(scope, snapshot.resolver)
        if self._tracing is not None:
            scope["headers"] = list(origin.headers)
            tracker.trace = self._tracing.begin(scope, method)
        self._route(tracker, scope)
        self._set_request_ids(tracker, origin)
        if snapshot.config.bucketing.cookie is not None:
            tracker.sticky_cookie = self._sticky_cookie(tracker, scope)
        untraced = scope["headers"] is origin.headers
        scope["headers"] = origin.passed if untraced else snapshot.resolver.passed(scope["headers"])
        self._admit(tracker, origin.key, scope["headers"])
        tracker.describe(scope)
        return tracker

    def _route(self, tracker: RequestTracker, scope: Scope) -> None:
        snapshot, route = tracker.snapshot, None
        match = snapshot.match(tracker.method, scope["headers"], scope["raw_path"])  # 1
        if match is not None:
            tracker.match, route = match, match.route
            tracker.limit = self.limits.get(route.name, bucketing.UNLIMITED)
        decision = snapshot.settled_decision(route, tracker.limit)
        tracker.decision = decision if decision is not None else self._decide(tracker, route, scope)  # 2
        if tracker.trace is not None:
            tracker.trace.decided(scope, route.template if route is not None else None, tracker.decision)
            tracker.on_fallback = functools.partial(tracker.trace.switched, scope)

    def _decide(self, tracker: RequestTracker, route: Route | None, scope: Scope) -> bucketing.Decision:
        snapshot, limit = tracker.snapshot, tracker.limit
        headers, client = scope["headers"], scope.get("client")
        return bucketing.decide(route, snapshot.config, headers, client, limit=limit, tokens=snapshot.tokens)

    async def run_mirrored(self, tracker: RequestTracker, scope: Scope, receive: Receive, send: Send) -> None:
        """Await the backend of a prepared request, or the answer of a started one (3)."""
        self._mirror(tracker, receive)
        scope["headers"] = list(scope["headers"])
        tracker.client_send = send
        mirrored = tracker.mirrored
        try:
            if mirrored is not None:
                with MIRROR_ERRORS:
                    await mirrored.prepare()
                receive, tracker.capture = mirrored.receive, mirrored.capture
            await self._serve(tracker, scope, receive)
        finally:
            self.finish(tracker)

    def finish(self, tracker: RequestTracker) -> None:
        """Release what a request holds, report it to the observers (4), and submit it to the shadow."""
        if tracker.slot is not None:
            tracker.slot.release()
        if tracker.connection is not None and tracker.connection.evicted_for is not None:
            tracker.record_eviction(tracker.connection.evicted_for)
        if tracker.trace is not None:
            tracker.trace.end(tracker.status, tracker.failure)
        record = tracker.record()
        for observer in self._observers:
            try:
                observer(record)
            except Exception as error:
                self._observer_failed(observer, error)
        mirrored, tracker.mirrored = tracker.mirrored, None  # breaks a cycle of references
        if mirrored is not None:
            with MIRROR_ERRORS:
                mirrored.end(tracker.decision.backend, tracker.failure)

    def _admit(self, tracker: RequestTracker, client: str | None, headers: HeaderFields) -> None:
        """Take a slot at the backend, and identify the caller for a guard.

        If a limit is reached, store the failure in `refusal`.
        """
        if self.admission.limits is not tracker.snapshot.config.limits:
            self.admission.apply(tracker.snapshot.config.limits)
        try:
            tracker.slot = self.admission.admit(tracker.decision.backend, tracker.kind, client, tracker.connection)
        except Overloaded as refusal:
            tracker.refusal = refusal
        else:
            if tracker.match is not None and tracker.match.route.guard is not None:
                tracker.caller = tracker.snapshot.callers.identify(headers, client)

    @property
    def websockets(self) -> int:
        """Number of WebSockets in flight."""
        return self.admission.used("websocket")

    @property
    def in_flight(self) -> int:
        """Number of requests and WebSockets in flight."""
        return self.admission.used("http") + self.websockets

    def _may_mirror(self, tracker: RequestTracker) -> bool:
        """Return True if a request may also run on the other backend."""
        return self._shadow is not None and tracker.match is not None and tracker.match.may_shadow

    def _mirror(self, tracker: RequestTracker, receive: Receive) -> None:
        """Begin to mirror a request that has a slot and is sampled."""
        shadow, match = self._shadow, tracker.match
        if tracker.slot is not None and shadow is not None and match is not None and match.may_shadow:
            with MIRROR_ERRORS:
                tracker.mirrored = shadow.mirror(match.route, tracker.decision, tracker, receive)

    def mirror_direct(self, tracker: RequestTracker, status: int, headers: HeaderFields, body: bytes) -> None:
        """Submit a read that was served without a task to the shadow."""
        shadow, match = self._shadow, tracker.match
        if shadow is not None and match is not None and match.may_shadow:
            with MIRROR_ERRORS:
                shadow.mirror_direct(DirectRead(match.route, tracker.decision, tracker, status, headers, body))

    def _sticky_cookie(self, tracker: RequestTracker, scope: Scope) -> bytes | None:
        """Return the `Set-Cookie` value for a caller without a sticky cookie; None if none is set."""
        config, match, decision = tracker.snapshot.config, tracker.match, tracker.decision
        cookie = config.bucketing.cookie
        if cookie is None or match is None or match.preflight or scope["type"] != "http":
            return None
        if cookie_value(scope["headers"], cookie.name):
            return None

        def suits(drawn: str) -> bool:
            drawn_for = bucketing.decide(match.route, config, (), None, limit=tracker.limit, key=drawn)
            return drawn_for.backend == decision.backend

        by_share = decision.reason in ("share", "cap", "no-key")
        return set_cookie(cookie, draw_id(suits if by_share else bool), secure=scope.get("scheme") == "https")

    def _set_request_ids(self, tracker: RequestTracker, origin: RequestOrigin) -> None:
        """Set the request's ids for the log and for the backends.

        Backends get the client's `X-Request-Id` if it is a plain token. The log gets it only if it is a UUID or
        32 hexadecimal digits, because other ids might identify a person.
        """
        tracker.request_id = origin.logged_id or f"{self._prefix}-{next(self._numbers):x}"
        tracker.backend_id = origin.request_id or tracker.request_id.encode()

    async def _serve(self, tracker: RequestTracker, scope: Scope, receive: Receive) -> None:
        snapshot, decision = tracker.snapshot, tracker.decision
        route, preflight = tracker.match.route if tracker.match is not None else None, tracker.preflight
        try:
            if tracker.refusal is not None:
                raise tracker.refusal
            if decision.backend == "native" and snapshot.native is not None:
                if fallback.legacy_may(route, decision, scope, tracker.limit, preflight=preflight):
                    await self._native_or_legacy(snapshot.native, scope, receive, tracker)
                else:
                    await self._answer_by_native(snapshot.native, scope, receive, tracker)
            elif snapshot.native is not None and fallback.native_may(
                route, decision, tracker.limit, preflight=preflight
            ):
                await self._legacy_or_native(snapshot.native, scope, receive, tracker)
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
        replayable, attempt = fallback.ReplayableReceive(receive), fallback.ServerErrorFilter(tracker.send)
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
            self.admission.move(tracker.slot, backend)
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

    def _refuse_at_once(self, tracker: RequestTracker, exchange: ServedExchange, headers: HeaderFields) -> bool:
        """Answer a request beyond a limit without a task; return False if it is not refused, or needs a task."""
        failure = tracker.refusal
        if failure is None or not exchange.may_respond(0):
            return False
        tracker.failure, tracker.cause, tracker.answered_by = failure.code, failure.cause, "gateway"
        answer, body = error_response(failure, first_header(headers, b"origin"), tracker.snapshot.origins)
        try:
            exchange.respond(failure.status, answer, tracker.add_headers(failure.status, answer), body)
        finally:
            self.finish(tracker)
        return True

    def _observer_failed(self, observer: Observer, error: Exception) -> None:
        """Count each failure and log the first of its kind. The request was answered and is not affected."""
        kind = getattr(observer, "__qualname__", type(observer).__qualname__), type(error).__name__
        metrics.OBSERVER_FAILURES.labels(*kind).inc()
        if kind not in self._failed_observers:
            self._failed_observers.add(kind)
            logger.error("%s failed: %s; further failures of this kind are only counted", kind[0], trace_of(error))
