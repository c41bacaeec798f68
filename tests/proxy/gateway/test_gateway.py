"""The gateway between a client and two sides, on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime

import jwt
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from proxy.config.loading import parse
from proxy.contract.declared_refusals import DeclaredRefusals
from proxy.contract.divergences import Divergence
from proxy.gateway.errors import AnswerTimeout
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_context import context_of
from proxy.gateway.request_record import CLIENT_CLOSED_REQUEST, RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.timeouts import Timeouts
from proxy.observability import metrics
from tests.support.samples import value_of
from tests.support.sockets import exchange, serving

REQUEST = "0f8fad5b-d9cb-469f-a165-70867728950e"
CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
allowed_origins: http://localhost:3000
bucketing: {key: header:x-caller, salt: test}
routes:
  - {name: new, match: GET /new, native: 100%}
  - {name: half, match: "GET /half/{id}", native: 50%, timeouts: {response: 7s}}
  - {name: stream, match: WS /stream, native: 100%}
"""


@dataclass
class Backend:
    """An app that answers with its name, or does as it is told."""

    name: str
    scopes: list[Scope] = field(default_factory=list)
    raising: BaseException | None = None
    begun: bool = False
    hold: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await self._converse(receive, send)
            return
        if self.hold is not None:
            await self.hold.wait()
        body = self.name.encode()
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]}
        if self.raising is not None:
            if self.begun:
                await send(start)
            raise self.raising
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _converse(self, receive: Receive, send: Send) -> None:
        await receive()
        if self.raising is not None:
            raise self.raising
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": self.name})
        await receive()


@dataclass
class Stand:
    """A gateway under test with its two sides."""

    gateway: Gateway
    legacy: Backend
    native: Backend
    observed: list[RequestRecord]
    port: int

    async def ask(self, target: str, *headers: str, method: str = "GET") -> tuple[str, bytes]:
        lines = [f"{method} {target} HTTP/1.1", "Host: a", "Connection: close", *headers, "", ""]
        head, _, body = (await exchange(self.port, "\r\n".join(lines).encode())).partition(b"\r\n\r\n")
        return head.decode(), body


@asynccontextmanager
async def standing(text: str = CONFIG, env: dict[str, str] | None = None) -> AsyncIterator[Stand]:
    legacy, native = Backend("legacy"), Backend("native")
    observed: list[RequestRecord] = []
    gateway = Gateway(RoutingSnapshot.of(parse(text, env or {}, "test.yaml"), legacy, native), [observed.append])
    async with serving(gateway) as port:
        yield Stand(gateway, legacy, native, observed, port)


async def test_a_share_decides_and_the_answer_says_who_gave_it() -> None:
    async with standing() as stand:
        head, body = await stand.ask("/new")
        assert body == b"native"
        assert "x-served-by: native" in head
        head, body = await stand.ask("/elsewhere")
        assert body == b"legacy"
        assert "x-served-by: legacy" in head


async def test_answer_without_date_gets_one_and_others_keep_theirs() -> None:
    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [(b"date", b"long ago")]})
        await send({"type": "http.response.body"})

    async with standing() as stand:
        head, _ = await stand.ask("/new")
        assert parsedate_to_datetime(head.split("date: ")[1].split("\r\n")[0]).year >= 2026
        stand.gateway.plan = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), dated, stand.native)
        head, _ = await stand.ask("/elsewhere")
        assert head.count("date: ") == 1
        assert "date: long ago" in head


async def test_half_the_callers_are_split_and_each_stays() -> None:
    async with standing() as stand:
        first = [(await stand.ask("/half/1", f"X-Caller: {caller}"))[1] for caller in range(20)]
        again = [(await stand.ask("/half/2", f"X-Caller: {caller}"))[1] for caller in range(20)]
    assert set(first) == {b"native", b"legacy"}
    assert first == again


async def test_who_answered_can_be_kept_quiet() -> None:
    async with standing(CONFIG + "served_by: false\n") as stand:
        head, _ = await stand.ask("/new")
    assert "x-served-by" not in head


async def test_a_pin_in_the_environment_stands_above_all() -> None:
    async with standing(env={"SCRIBE_PROXY_PIN": "legacy"}) as stand:
        assert (await stand.ask("/new"))[1] == b"legacy"
        assert stand.observed[0].reason == "pin-all"


async def test_an_override_picks_a_side_and_its_secret_goes_no_further() -> None:
    overrides = "overrides: {header: x-side, secret: 0123456789abcdef}\n"
    async with standing(CONFIG + overrides) as stand:
        assert (await stand.ask("/new", "X-Side: legacy; key=0123456789abcdef"))[1] == b"legacy"
        assert (await stand.ask("/new", "X-Side: legacy; key=wrong"))[1] == b"native"
        assert [seen.reason for seen in stand.observed] == ["override", "share"]
        for scope in (*stand.legacy.scopes, *stand.native.scopes):
            assert b"x-side" not in dict(scope["headers"])


async def test_each_request_is_observed_once_without_its_content() -> None:
    async with standing() as stand:
        await stand.ask(
            "/half/patient-7?name=Jane", "X-Caller: c", f"X-Request-Id: {REQUEST}", "Authorization: Bearer t"
        )
    [seen] = stand.observed
    assert (seen.request_id, seen.method, seen.route, seen.status) == (REQUEST, "GET", "half", 200)
    assert seen.template == "/half/{id}"
    assert seen.bucket is not None
    assert 0 < seen.head <= seen.total
    assert not [text for text in ("patient-7", "Jane", "Bearer") if text in repr(seen)]


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "é"])
async def test_a_request_id_that_is_no_plain_token_is_replaced(given: str) -> None:
    async with standing() as stand:
        await stand.ask("/new", f"X-Request-Id: {given}")
        await stand.ask("/new")
        ids = [seen.request_id for seen in stand.observed]
        assert given not in ids
        assert len(set(ids)) == 2
        assert [context_of(scope).request_id.decode() for scope in stand.native.scopes] == ids


@pytest.mark.parametrize("given", ["JaneDoe", "9434765919", "a" * 32 + "b"])
async def test_personal_request_id_reaches_the_backend_but_not_the_log(given: str) -> None:
    async with standing() as stand:
        await stand.ask("/new", f"X-Request-Id: {given}")
    assert context_of(stand.native.scopes[0]).request_id.decode() == given
    assert given not in stand.observed[0].request_id


async def test_legacy_failure_is_answered_without_asking_native() -> None:
    async with standing() as stand:
        stand.legacy.raising = AnswerTimeout()
        head, body = await stand.ask("/elsewhere", "Origin: http://localhost:3000")
    assert head.startswith("HTTP/1.1 504")
    assert "access-control-allow-origin: http://localhost:3000" in head
    assert "x-served-by: gateway" in head
    assert json.loads(body)["error"] == "legacy_timeout"
    assert stand.native.scopes == []
    assert (stand.observed[0].failure, stand.observed[0].status) == ("legacy_timeout", 504)


async def test_a_native_app_that_raises_answers_500_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with standing() as stand:
        stand.native.raising = RuntimeError("patient Jane")
        head, body = await stand.ask("/new")
    assert head.startswith("HTTP/1.1 500")
    assert json.loads(body)["error"] == "native_failed"
    assert stand.legacy.scopes == []
    assert "RuntimeError" in caplog.text
    assert "Jane" not in caplog.text + body.decode()


async def test_an_answer_that_has_begun_is_broken_off_not_patched() -> None:
    async with standing() as stand:
        stand.native.raising, stand.native.begun = RuntimeError(), True
        head, body = await stand.ask("/new")
    assert head.startswith("HTTP/1.1 200")
    assert body == b""
    assert stand.observed[0].failure == "native_failed"


async def test_requests_over_the_limit_are_refused_with_retry_after() -> None:
    async with standing(CONFIG + "limits: {in_flight: 1}\n") as stand:
        stand.legacy.hold = asyncio.Event()
        first = asyncio.create_task(stand.ask("/elsewhere"))
        while not stand.legacy.scopes:
            await asyncio.sleep(0.01)
        head, body = await stand.ask("/elsewhere")
        stand.legacy.hold.set()
        assert (await first)[1] == b"legacy"
        assert (await stand.ask("/elsewhere"))[1] == b"legacy"
    assert head.startswith("HTTP/1.1 503")
    assert "retry-after: 1" in head
    assert json.loads(body)["error"] == "gateway_overloaded"


async def test_failing_observer_affects_no_request_nor_other_observer(caplog: pytest.LogCaptureFixture) -> None:
    class Disk:
        def __call__(self, _: RequestRecord) -> None:
            raise OSError(28, "No space left on device")

    def failures() -> float:
        return value_of(metrics.OBSERVER_FAILURES, observer=Disk.__qualname__, error="OSError")

    async with standing() as stand:
        stand.gateway._observers = (Disk(), stand.observed.append)
        before = failures()
        answers = [await stand.ask(target) for target in ("/new", "/elsewhere") * 3]
    assert [body for _, body in answers] == [b"native", b"legacy"] * 3
    assert len(stand.observed) == failures() - before == 6
    assert len([record for record in caplog.records if "Disk failed: OSError at" in record.message]) == 1


async def test_a_request_keeps_the_plan_it_began_with() -> None:
    async with standing() as stand:
        stand.legacy.hold = asyncio.Event()
        under_way = asyncio.create_task(stand.ask("/elsewhere"))
        while not stand.legacy.scopes:
            await asyncio.sleep(0.01)
        stand.gateway.plan = RoutingSnapshot.of(
            parse(CONFIG.replace("GET /new", "GET /elsewhere"), {}, "test.yaml"), stand.legacy, stand.native
        )
        assert (await stand.ask("/elsewhere"))[1] == b"native"
        stand.legacy.hold.set()
        assert (await under_way)[1] == b"legacy"


async def test_a_routes_own_time_limits_go_with_its_requests() -> None:
    async with standing() as stand:
        await stand.ask("/half/1", "X-Caller: 1")
        await stand.ask("/elsewhere")
        scopes = {scope["path"]: scope for scope in (*stand.legacy.scopes, *stand.native.scopes)}
    assert context_of(scopes["/half/1"]).timeouts == Timeouts(response=7.0)
    assert context_of(scopes["/elsewhere"]).timeouts is None


async def test_a_client_that_leaves_is_noted_as_gone() -> None:
    async with standing() as stand:

        async def leave(scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        stand.gateway.plan = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), leave, stand.native)
        _, writer = await asyncio.open_connection("127.0.0.1", stand.port)
        writer.write(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.close()
        while not stand.observed:
            await asyncio.sleep(0.01)
    assert stand.observed[0].status == CLIENT_CLOSED_REQUEST


async def test_websockets_pass_to_the_side_decided() -> None:
    async with standing() as stand, connect(f"ws://127.0.0.1:{stand.port}/stream") as socket:
        assert await socket.recv() == "native"
        assert socket.response is not None
        assert socket.response.headers["x-served-by"] == "native"
        await socket.close()
        while not stand.observed:
            await asyncio.sleep(0.01)
        [seen] = stand.observed
    assert (seen.kind, seen.method, seen.route, seen.status) == ("websocket", "WS", "stream", 101)


async def test_websocket_without_backend_is_refused_with_the_status() -> None:
    async with standing() as stand:
        stand.legacy.raising = AnswerTimeout()
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{stand.port}/other")
        assert refused.value.response.status_code == 504
        assert json.loads(refused.value.response.body or b"")["error"] == "legacy_timeout"


async def test_a_websocket_closed_before_it_was_accepted_is_a_403() -> None:
    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    async with standing() as stand:
        backend: ASGIApp = close
        stand.gateway.plan = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), backend, stand.native)
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{stand.port}/other")
        assert stand.observed[0].status == 403


async def test_answer_carries_the_id_of_the_access_log() -> None:
    async with standing() as stand:
        for header, logged in (("X-A: 1", None), (f"X-Request-Id: {REQUEST}", REQUEST), ("X-Request-Id: ada", None)):
            head, _ = await stand.ask("/new", header)
            (answered,) = [line.split(": ")[1] for line in head.split("\r\n") if line.startswith("x-request-id")]
            assert answered == stand.observed[-1].request_id
            assert logged in (None, answered)
            assert "ada" not in answered


async def test_answer_keeps_a_request_id_of_its_side() -> None:
    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [(b"x-request-id", b"own")]})
        await send({"type": "http.response.body"})

    async with standing() as stand:
        stand.gateway.plan = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), named, stand.native)
        head, _ = await stand.ask("/elsewhere")
        assert head.count("x-request-id: own") == head.count("x-request-id") == 1
        stand.gateway.plan = RoutingSnapshot.of(
            parse(f"{CONFIG}served_by: false", {}, "test.yaml"), stand.legacy, stand.native
        )
        head, _ = await stand.ask("/elsewhere")
        assert "x-request-id" not in head


@pytest.mark.parametrize(
    ("reported", "observed"), [("database", "database"), ("jane@clinic.example", None), (None, None)]
)
async def test_dependency_that_native_reports_is_observed(reported: str | None, observed: str | None) -> None:
    async with standing() as stand:
        answer = stand.native.__call__

        async def report(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"]["proxy.dependency_failure"]["dependency"] = reported
            await answer(scope, receive, send)

        stand.gateway.plan = replace(stand.gateway.plan, native=report)
        head, body = await stand.ask("/new")
    assert body == b"native"
    assert "dependency" not in str(head)
    assert [seen.dependency for seen in stand.observed] == [observed]


GUARDED = f"""
legacy: {{url: http://x}}
native: a:b
trusted_proxies: 127.0.0.1
tokens: {{secret: {"s" * 64}}}
bucketing: {{key: [jwt:userID, header:x-caller]}}
routes: [{{name: new, match: GET /new, native: 100%, guard: {{}}}}, {{name: plain, match: GET /plain, native: 100%}}]
"""


async def test_forged_keys_are_one_caller_and_verified_ones_several() -> None:
    async with standing(GUARDED) as stand:

        async def callers(*headers: str) -> set[int | None]:
            stand.observed.clear()
            for header in headers:
                await stand.ask("/new", "X-Forwarded-For: 10.0.0.1", header)
            return {record.caller for record in stand.observed}

        tokens = [[jwt.encode({"userID": name}, secret, "HS256") for name in "abc"] for secret in ("s" * 64, "f" * 64)]
        signed, forged = ([f"Authorization: Bearer {token}" for token in each] for each in tokens)
        assert len(await callers(*signed)) == 3
        one = await callers(*forged, "X-Caller: 1", "X-Caller: 2", "Cookie: a=b")
        assert len(one) == 1
        assert None not in one
        await stand.ask("/plain", signed[0])
        assert stand.observed[-1].caller is None


async def test_a_declared_refusal_is_marked() -> None:
    divergence = {"id": "a", "operation": "GET /new", "legacy": "x", "native": "y", "reason": "z", "since": "1"}
    when = {"native": {"status": 429, "headers": {"retry-after": "*"}}}

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"retry-after", b"1")] if scope["query_string"] else []
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body"})

    declared = DeclaredRefusals([Divergence.model_validate({**divergence, "when": when})])
    async with standing(GUARDED) as stand:
        plan = stand.gateway.plan
        stand.gateway.plan = replace(plan, native=refuse, declared=declared)
        for target in ("/new?declared", "/new"):
            await stand.ask(target)
        assert [(record.status, record.declared) for record in stand.observed] == [(429, True), (429, False)]
