"""The gateway: an ASGI app that gives each request to one of two others, and notes how it went.

    (1) match a route ─▶ (2) decide a side ─▶ (3) await that side with the client's own scope, receive and send
                                                   └─▶ (4) observe, once

A request keeps the plan it began with; a reload swaps the plan for those that follow. Between the client and the side
stands only `_Passage`, which reads the status as it passes and adds `x-served-by`. What a side could not answer
(`failures.Failure`) the gateway answers itself, unless the route lets the other side take over (`fallback`).
"""

from __future__ import annotations

import functools
import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.backends.legacy.http import Timeouts
from proxy.comparison.exchange import ExchangeRecorder
from proxy.config.models import Config, Route
from proxy.contract.declared_refusals import DeclaredRefusals
from proxy.failure_log import trace_of
from proxy.gateway import bucketing, fallback
from proxy.gateway.admission import Admission, Slot
from proxy.gateway.callers import CallerIdentity
from proxy.gateway.client_address import TrustedProxies
from proxy.gateway.cookies import OPS_COOKIE, cookie_value, without_cookies
from proxy.gateway.errors import Failure, NativeFailed, NotConnected, Overloaded, error_response
from proxy.gateway.forwarding import resolve_origin
from proxy.gateway.preflight import match_request
from proxy.gateway.request_record import CLIENT_CLOSED_REQUEST, Observer, RequestRecord
from proxy.gateway.routing import Match, RouteTable
from proxy.gateway.scope import first_header
from proxy.gateway.sticky_cookie import draw_id, is_private, set_cookie
from proxy.gateway.tokens import TokenVerifier
from proxy.observability import metrics
from proxy.observability.tracing import Tracing
from proxy.server.client_connection import CLIENT_CONNECTION, ClientConnection
from proxy.shadow import ShadowClient
from proxy.shadow.mirror import MirroredRequest
from proxy.types import Backend, RawHeaders

logger = logging.getLogger("scribe_proxy")

DEPENDENCY_FAILURE: Final = "proxy.dependency_failure"
"""The ASGI extension by which native reports that a dependency failed: a mapping, in which it sets `dependency`."""
DEPENDENCIES: Final = ("database", "model", "terminology")

_MEANINGLESS: Final = re.compile(rb"[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class RoutingSnapshot:
    """Everything a request needs that a reload may change.

    `timeouts`: those of routes that have some of their own. `origins`: who may read the gateway's own answers.
    `secret_header`: the override header, which holds a secret that is no side's business. `trusted`: the peers whose
    forwarding headers are believed. `callers` identifies callers for guards; `declared` are refusals of native's that
    guards do not count.
    """

    config: Config
    table: RouteTable
    legacy: ASGIApp
    native: ASGIApp | None
    timeouts: Mapping[str, Timeouts]
    origins: frozenset[bytes]
    secret_header: bytes | None
    trusted: TrustedProxies
    own_cookies: frozenset[bytes]
    callers: CallerIdentity
    declared: DeclaredRefusals
    tokens: TokenVerifier | None

    def for_backends(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return a request's headers without the override's secret and without the gateway's own cookies."""
        if self.secret_header is not None:
            headers = [header for header in headers if header[0] != self.secret_header]
        return without_cookies(headers, self.own_cookies)

    @classmethod
    def of(
        cls, config: Config, legacy: ASGIApp, native: ASGIApp | None, declared: DeclaredRefusals | None = None
    ) -> RoutingSnapshot:
        own = {
            route.name: Timeouts(**config.timeouts(route).model_dump())
            for route in config.routes
            if route.timeouts is not None
        }
        origins = frozenset(origin.encode() for origin in config.allowed_origins)
        overrides = config.overrides
        secret = overrides.header.encode() if overrides is not None and overrides.secret.get_secret_value() else None
        trusted = TrustedProxies(config.trusted_proxies)
        cookie = config.bucketing.cookie
        cookies = frozenset(name.encode() for name in (OPS_COOKIE, cookie and cookie.name) if name)
        token_secret = config.tokens.secret.get_secret_value()
        tokens = TokenVerifier(token_secret) if token_secret else None
        callers = CallerIdentity(tokens, config.bucketing.key)
        table, declared = RouteTable(config.routes), declared or DeclaredRefusals()
        return cls(config, table, legacy, native, own, origins, secret, trusted, cookies, callers, declared, tokens)


class Gateway:
    """Serves `http` and `websocket` scopes by its `plan` and the routes' `limits`, which may be replaced at any time.

    `admission` holds the bulkheads.
    """

    def __init__(
        self,
        plan: RoutingSnapshot,
        observers: Iterable[Observer] = (),
        tracing: Tracing | None = None,
        shadow: ShadowClient | None = None,
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan = self.plan
        kind: str = scope["type"]
        method: str = scope["method"] if kind == "http" else "WS"
        resolve_origin(scope, plan.trusted)
        trace = self._tracing.begin(scope, method) if self._tracing is not None else None
        match = match_request(plan.table, method, scope["headers"], scope["raw_path"])  # 1
        decision = self._decide(plan, match, scope)  # 2
        if trace is not None:
            trace.decided(scope, match.route.template if match is not None else None, decision)
        request_id = self._request_id(scope)
        passage = _ResponseTracker(kind, send, decision, request_id if plan.config.served_by else None)
        passage.sticky_cookie = self._sticky_cookie(plan, match, decision, scope)
        scope["headers"] = plan.for_backends(scope["headers"])
        if trace is not None:
            passage.turned = functools.partial(trace.turned, scope)
        if match is not None:
            scope["proxy.template"] = match.route.template
            if match.route.name in plan.timeouts:
                scope["proxy.timeouts"] = plan.timeouts[match.route.name]
        passage.connection = scope.get(CLIENT_CONNECTION)
        self._admit(plan, scope, passage)
        if match is not None and match.route.guard is not None and passage.slot is not None:
            scope["proxy.caller"] = plan.callers.identify(scope["headers"], passage.slot.client)
        attendance = self._attend(plan, match, decision, scope, receive) if passage.slot is not None else None
        try:
            if attendance is not None:
                with _ASIDE:
                    await attendance.prepare()
                receive, passage.capture = attendance.receive, attendance.capture
            await self._serve(plan, match, scope, receive, passage)  # 3
        finally:
            if passage.slot is not None:
                passage.slot.release()
            passage.record_eviction()
            if trace is not None:
                trace.end(passage.status, passage.failure)
            self._observe(plan, scope, request_id, method, match, passage)  # 4
            if attendance is not None:
                with _ASIDE:
                    attendance.end(passage.decision.backend, passage.failure)

    def _admit(self, plan: RoutingSnapshot, scope: Scope, passage: _ResponseTracker) -> None:
        """Take a slot at the backend; where a limit is reached, leave the failure in `refusal`."""
        self.admission.apply(plan.config.limits)
        try:
            passage.slot = self.admission.admit(scope, passage.decision.backend, plan.trusted)
        except Overloaded as refusal:
            passage.refusal = refusal

    @property
    def websockets(self) -> int:
        """WebSockets under way."""
        return self.admission.used("websocket")

    @property
    def in_flight(self) -> int:
        """Requests and WebSockets under way."""
        return self.admission.used("http") + self.websockets

    def _decide(self, plan: RoutingSnapshot, match: Match | None, scope: Scope) -> bucketing.Decision:
        route = match.route if match is not None else None
        headers, limit = scope["headers"], self._limit(route)
        return bucketing.decide(route, plan.config, headers, scope.get("client"), limit=limit, tokens=plan.tokens)

    def _limit(self, route: Route | None) -> bucketing.Limit:
        return self.limits.get(route.name, bucketing.UNLIMITED) if route is not None else bucketing.UNLIMITED

    def _attend(
        self, plan: RoutingSnapshot, match: Match | None, decision: bucketing.Decision, scope: Scope, receive: Receive
    ) -> MirroredRequest | None:
        """What stands by where a request is to run on the other side, too."""
        if match is None or not match.route.shadow.share or self._shadow is None or scope["type"] != "http":
            return None
        if match.preflight:
            return None
        with _ASIDE:
            return self._shadow.mirror(match.route, decision, scope, receive)
        return None

    def _sticky_cookie(
        self, plan: RoutingSnapshot, match: Match | None, decision: bucketing.Decision, scope: Scope
    ) -> bytes | None:
        """Return the `Set-Cookie` for a caller without a sticky cookie; None where none is to be set."""
        cookie = plan.config.bucketing.cookie
        if cookie is None or match is None or match.preflight or scope["type"] != "http":
            return None
        if cookie_value(scope["headers"], cookie.name):
            return None

        def suits(drawn: str) -> bool:
            limit = self._limit(match.route)
            return (
                bucketing.decide(match.route, plan.config, (), None, limit=limit, key=drawn).backend == decision.backend
            )

        by_share = decision.reason in ("share", "cap", "no-key")
        return set_cookie(cookie, draw_id(suits if by_share else bool), secure=scope.get("scheme") == "https")

    def _request_id(self, scope: Scope) -> str:
        """What the request is called in the log; the scope has what it is called to the sides.

        To the sides by the client's own `X-Request-Id`, where that is a plain token. To the log only where it is a
        UUID or 32 hexadecimal digits: anything else might be a name, or a number that somebody is known by.
        """
        own = f"{self._prefix}-{next(self._numbers):x}"
        given = first_header(scope["headers"], b"x-request-id")
        if given is None or len(given) > 128 or not given.replace(b"-", b"").replace(b"_", b"").isalnum():
            given = own.encode()
        scope["proxy.request_id"] = given
        return given.decode() if _MEANINGLESS.fullmatch(given) else own

    async def _serve(
        self, plan: RoutingSnapshot, match: Match | None, scope: Scope, receive: Receive, passage: _ResponseTracker
    ) -> None:
        route, decision = match.route if match is not None else None, passage.decision
        limit, preflight = self._limit(route), match is not None and match.preflight
        try:
            if passage.refusal is not None:
                raise passage.refusal
            if decision.backend == "native" and plan.native is not None:
                if fallback.legacy_may(route, decision, scope, limit, preflight=preflight):
                    await self._native_or_legacy(plan.native, plan.legacy, scope, receive, passage)
                else:
                    await self._await_native(plan.native, scope, receive, passage.send, passage)
            elif plan.native is not None and fallback.native_may(route, decision, limit, preflight=preflight):
                await self._legacy_or_native(plan.legacy, plan.native, scope, receive, passage)
            else:
                await plan.legacy(scope, receive, passage.send)
        except Failure as failure:
            passage.failure, passage.cause = failure.code, failure.cause
            if not passage.begun:
                await self._answer(failure, plan, scope, passage)

    async def _legacy_or_native(
        self, legacy: ASGIApp, native: ASGIApp, scope: Scope, receive: Receive, passage: _ResponseTracker
    ) -> None:
        rereadable = fallback.ReplayableReceive(receive)
        try:
            await legacy(scope, rereadable, passage.send)
        except NotConnected as fault:
            passage.cause = fault.cause
            self._turn_to("native", "legacy-down", passage)
            await self._await_native(native, scope, rereadable.again, passage.send, passage)

    async def _native_or_legacy(
        self, native: ASGIApp, legacy: ASGIApp, scope: Scope, receive: Receive, passage: _ResponseTracker
    ) -> None:
        rereadable, attempt = fallback.ReplayableReceive(receive), fallback.ServerErrorFilter(passage.send)
        try:
            await self._await_native(native, dict(scope), rereadable, attempt, passage)
        except NativeFailed:
            if passage.begun:
                raise
            attempt.failed = True
        if attempt.failed:
            self._turn_to("legacy", "native-error", passage)
            await legacy(scope, rereadable.again, passage.send)

    def _turn_to(self, backend: Backend, reason: bucketing.Reason, passage: _ResponseTracker) -> None:
        """Let the other backend take over. Raises `Overloaded` where it has no slot."""
        if passage.slot is not None:
            self.admission.move(passage.slot, backend)
        passage.turn_to(backend, reason)

    async def _await_native(
        self, native: ASGIApp, scope: Scope, receive: Receive, send: Send, passage: _ResponseTracker
    ) -> None:
        if passage.connection is not None:
            passage.connection.retain_body()
        report: dict[str, object] = {}
        scope["extensions"] = {**scope.get("extensions", {}), DEPENDENCY_FAILURE: report}
        try:
            await native(scope, receive, send)
        except Failure:
            raise
        except Exception as error:
            logger.error("native raised %s on %s", type(error).__name__, scope.get("proxy.template", "-"))
            raise NativeFailed from error
        finally:
            passage.dependency = next((name for name in DEPENDENCIES if report.get("dependency") == name), None)

    async def _answer(self, failure: Failure, plan: RoutingSnapshot, scope: Scope, passage: _ResponseTracker) -> None:
        headers, body = error_response(failure, first_header(scope["headers"], b"origin"), plan.origins)
        prefix = "http.response" if scope["type"] == "http" else "websocket.http.response"
        passage.answered_by = "gateway"
        await passage.send({"type": f"{prefix}.start", "status": failure.status, "headers": headers})
        await passage.send({"type": f"{prefix}.body", "body": body, "more_body": False})

    def _observe(
        self,
        plan: RoutingSnapshot,
        scope: Scope,
        request_id: str,
        method: str,
        match: Match | None,
        passage: _ResponseTracker,
    ) -> None:
        ended, decision = time.perf_counter(), passage.decision
        observation = RequestRecord(
            request_id=request_id,
            kind=passage.kind,
            method=method,
            route=match.route.name if match is not None and not match.preflight else None,
            template=match.route.template if match is not None else None,
            backend=decision.backend,
            reason=decision.reason,
            bucket=decision.bucket,
            status=passage.status,
            failure=passage.failure,
            cause=passage.cause,
            dependency=passage.dependency,
            head=(passage.headed or ended) - passage.started,
            total=ended - passage.started,
            caller=scope.get("proxy.caller"),
            declared=passage.refused and _is_declared(plan, scope, method, passage),
        )
        for observer in self._observers:
            try:
                observer(observation)
            except Exception as error:
                self._observer_failed(observer, error)

    def _observer_failed(self, observer: Observer, error: Exception) -> None:
        """Count each failure, and log the first of its kind: the request was answered and is not affected."""
        kind = getattr(observer, "__qualname__", type(observer).__qualname__), type(error).__name__
        metrics.OBSERVER_FAILURES.labels(*kind).inc()
        if kind not in self._failed_observers:
            self._failed_observers.add(kind)
            logger.error("%s failed: %s; further failures of this kind are only counted", kind[0], trace_of(error))


def _is_declared(plan: RoutingSnapshot, scope: Scope, method: str, passage: _ResponseTracker) -> bool:
    """Return whether native's 4xx is one of a declared divergence."""
    if passage.decision.backend != "native" or "proxy.caller" not in scope:
        return False
    operation = f"{method} {scope['raw_path'].decode('latin-1')}"
    return plan.declared.include(operation, passage.status, scope["headers"], passage.headers)


class _Aside:
    """Around what a shadow does amid a request: what goes wrong there is no client's business.

    A class of its own, since a generator would cost each request some microseconds.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        logger.error("mirroring failed, which does not affect the answer: %s", trace_of(error))
        return True


_ASIDE: Final = _Aside()


class _ResponseTracker:
    """What passes from a side to the client: read, and named after the side, but not otherwise touched.

    `decision` is the side that answers, which another may have become before the answer began. `capture` sees what the
    side sends, and nothing of what the gateway itself answers; `turned` hears of another side that takes over.
    `answered_by` is `gateway` where neither side answers. `request_id` is added to the answer with the side's
    name, unless it is None.
    """

    __slots__ = (
        *("_request_id", "_send", "answered_by", "begun", "capture", "cause", "decision", "dependency", "failure"),
        *("headed", "kind", "started", "status", "sticky_cookie", "turned"),
        *("connection", "headers", "refusal", "slot"),
    )

    def __init__(self, kind: str, send: Send, decision: bucketing.Decision, request_id: str | None) -> None:
        self.kind = kind
        self.decision = decision
        self.started = time.perf_counter()
        self.headed = 0.0
        self.status = CLIENT_CLOSED_REQUEST
        self.begun = False
        self.failure: str | None = None
        self.cause: str | None = None
        self.dependency: str | None = None
        self.capture: ExchangeRecorder | None = None
        self.turned: Callable[[bucketing.Decision], None] | None = None
        self.answered_by: Literal["gateway"] | None = None
        self.sticky_cookie: bytes | None = None
        self.slot: Slot | None = None
        self.refusal: Overloaded | None = None
        self.headers: RawHeaders = []
        self.connection: ClientConnection | None = None
        self._send = send
        self._request_id = request_id

    def turn_to(self, backend: Backend, reason: bucketing.Reason) -> None:
        """Another side takes over."""
        self.decision = bucketing.Decision(backend, reason, self.decision.bucket)
        if self.turned is not None:
            self.turned(self.decision)

    @property
    def refused(self) -> bool:
        """True where the answer has a status of 4xx."""
        return 400 <= self.status < 500 and self.begun

    def record_eviction(self) -> None:
        """Record the limit for which the listener ended the request, if it did."""
        evicted_for = self.connection.evicted_for if self.connection is not None else None
        if evicted_for is not None and self.failure is None:
            self.failure, self.cause = Overloaded.code, evicted_for
            if not self.begun:
                self.status = Overloaded.status

    async def send(self, message: Message) -> None:
        if self.capture is not None and self.failure is None:
            self.capture.sent(message)
        if not self.begun:
            self._note(message)
        await self._send(message)

    def _note(self, message: Message) -> None:
        """The first message begins the answer: a response, an accepted or a refused WebSocket."""
        self.begun = True
        self.headed = time.perf_counter()
        kind = message["type"]
        if kind == "websocket.accept":
            self.status = 101
        elif kind == "websocket.close":
            self.status = 403  # what ASGI servers answer for a close before an accept
            return
        else:
            self.status = message["status"]
        headers = list(message.get("headers", ()))
        names = {name for name, _ in headers}
        if self._request_id is not None:
            headers.append(_SERVED_BY[self.answered_by or self.decision.backend])
            if b"x-request-id" not in names:
                headers.append((b"x-request-id", self._request_id.encode()))
        if kind == "http.response.start" and b"date" not in names:
            headers.append((b"date", _date()))
        if self.sticky_cookie is not None and self.answered_by is None and is_private(self.status, headers):
            headers.append((b"set-cookie", self.sticky_cookie))
        message["headers"] = self.headers = headers


_SERVED_BY: Final = {name: (b"x-served-by", name.encode()) for name in ("legacy", "native", "gateway")}


def _date() -> bytes:
    """Now, for an answer that lacks a `Date`: native's, or the gateway's own (RFC 9110 §6.6.1)."""
    return _formatted(int(time.time()))


@functools.lru_cache(maxsize=1)
def _formatted(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
