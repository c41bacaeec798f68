"""The gateway: an ASGI app that passes each request to one of two backends, and reports the result.

    (1) match a route ─▶ (2) decide on a backend ─▶ (3) await it with the client's own scope, receive and send
                                                        └─▶ (4) report to the observers, once

A request uses the snapshot with which it began; a reload replaces the snapshot for later requests. Only
`RequestTracker` is between the client and the backend: it records the status and adds `x-served-by`. If a backend
cannot answer, the gateway answers itself, unless the route lets the other backend take over (`backend_call`).
Requests that involve only legacy are served without a task (`direct`).
"""

from __future__ import annotations

import functools
import itertools
import logging
import secrets
from collections.abc import Awaitable, Iterable, Mapping

from starlette.types import Receive, Scope, Send

from common.failure_trace import trace_of
from common.log_lines import REQUEST_ID
from proxy.config.inheritance import SAFE
from proxy.config.models import Route
from proxy.gateway import bucketing
from proxy.gateway.admission import Admission
from proxy.gateway.backend_call import BackendCaller
from proxy.gateway.cookies import cookie_value
from proxy.gateway.direct import DirectRequest, PlannedRequest
from proxy.gateway.direct_plan import DirectPlan, DirectPlanner
from proxy.gateway.errors import Overloaded, error_response
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
from proxy.types import HeaderFields

logger = logging.getLogger("scribe_proxy")


class Gateway:
    """An ASGI app that routes by its `snapshot` and the routes' `limits`. Both may be replaced at any time.

    `admission` holds the bulkheads.
    """

    def __init__(
        self,
        snapshot: RoutingSnapshot,
        observers: Iterable[Observer] = (),
        tracing: Tracing | None = None,
        shadow: RequestMirror | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.limits: Mapping[str, bucketing.Limit] = {}
        self.admission = Admission()
        self._backends = BackendCaller(self.admission)
        self._tracing = tracing
        self._shadow = shadow
        self._observers = tuple(observers)
        self._failed_observers: set[tuple[str, str]] = set()
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._planner = self._create_planner()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.run(self._prepare(scope), scope, receive, send)

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
        return self.run(tracker, scope, exchange.receive, exchange.send)

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
        return self.run(tracker, tracker.scope, exchange.receive, exchange.send)

    def _plan_of(self, exchange: ServedExchange) -> DirectPlan | None:
        planner = self._planner
        if planner.snapshot is not self.snapshot or planner.limits is not self.limits:
            planner = self._planner = self._create_planner()
        scopes = exchange.connection.scopes
        return planner.plan(exchange.head, scopes.peer, scopes.scheme, scopes.root_path)

    def _create_planner(self) -> DirectPlanner:
        return DirectPlanner(self.snapshot, self.limits, shadows=self._shadow is not None)

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
        snapshot = self.snapshot
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

    async def run(self, tracker: RequestTracker, scope: Scope, receive: Receive, send: Send) -> None:
        """Await the backend of a prepared request, or the answer of a started one (3)."""
        self._mirror(tracker, receive)
        scope["headers"] = list(scope["headers"])
        tracker.client_send = send
        mirrored = tracker.mirrored
        logged = REQUEST_ID.set(tracker.request_id)
        try:
            if mirrored is not None:
                with MIRROR_ERRORS:
                    await mirrored.prepare()
                receive, tracker.capture = mirrored.receive, mirrored.capture
            await self._backends.serve(tracker, scope, receive)
        finally:
            REQUEST_ID.reset(logged)
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
