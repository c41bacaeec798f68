"""Request ids, and the record of a request that observers receive."""

from __future__ import annotations

import json
from dataclasses import replace

import jwt
import pytest
from starlette.types import Receive, Scope, Send

from common.log_lines import JsonFormatter
from proxy.config.loading import parse
from proxy.contract.declared_refusals import DeclaredRefusals
from proxy.contract.divergences import Divergence
from proxy.gateway.request_context import context_of
from proxy.gateway.request_record import RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.observability import metrics
from tests.support.running_gateway import CONFIG, GUARDED, REQUEST, running_gateway
from tests.support.samples import value_of


async def test_requests_are_recorded_once_without_content() -> None:
    async with running_gateway() as harness:
        await harness.send(
            "/half/patient-7?name=Jane", "X-Caller: c", f"X-Request-Id: {REQUEST}", "Authorization: Bearer t"
        )
    [record] = harness.observed
    assert (record.request_id, record.method, record.route, record.status) == (REQUEST, "GET", "half", 200)
    assert record.template == "/half/{id}"
    assert record.bucket is not None
    assert 0 < record.head <= record.total
    assert not [text for text in ("patient-7", "Jane", "Bearer") if text in repr(record)]


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "é"])
async def test_malformed_request_id_is_replaced(given: str) -> None:
    async with running_gateway() as harness:
        await harness.send("/new", f"X-Request-Id: {given}")
        await harness.send("/new")
        ids = [record.request_id for record in harness.observed]
        assert given not in ids
        assert len(set(ids)) == 2
        assert [context_of(scope).request_id.decode() for scope in harness.native.scopes] == ids


@pytest.mark.parametrize("given", ["JaneDoe", "9434765919", "a" * 32 + "b"])
async def test_personal_request_id_reaches_the_backend_but_not_the_log(given: str) -> None:
    async with running_gateway() as harness:
        await harness.send("/new", f"X-Request-Id: {given}")
    assert context_of(harness.native.scopes[0]).request_id.decode() == given
    assert given not in harness.observed[0].request_id


async def test_failing_observer_affects_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    class Disk:
        def __call__(self, _: RequestRecord) -> None:
            raise OSError(28, "No space left on device")

    def failures() -> float:
        return value_of(metrics.OBSERVER_FAILURES, observer=Disk.__qualname__, error="OSError")

    async with running_gateway(observers=[Disk()]) as harness:
        before = failures()
        answers = [await harness.send(target) for target in ("/new", "/elsewhere") * 3]
    assert [body for _, body in answers] == [b"native", b"legacy"] * 3
    assert len(harness.observed) == failures() - before == 6
    assert len([record for record in caplog.records if "Disk failed: OSError at" in record.message]) == 1


async def test_answer_carries_the_id_of_the_access_log() -> None:
    async with running_gateway() as harness:
        for header, logged in (("X-A: 1", None), (f"X-Request-Id: {REQUEST}", REQUEST), ("X-Request-Id: ada", None)):
            head, _ = await harness.send("/new", header)
            (answered,) = [line.split(": ")[1] for line in head.split("\r\n") if line.startswith("x-request-id")]
            assert answered == harness.observed[-1].request_id
            assert logged in (None, answered)
            assert "ada" not in answered


async def test_log_lines_of_native_have_the_id_of_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    async with running_gateway() as harness:
        harness.native.raising = RuntimeError()
        await harness.send("/new")
        harness.native.raising, harness.legacy.raising = None, RuntimeError()
        await harness.send("/new")
        await harness.send("/elsewhere")
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    assert [line["request"] for line in lines if "raised" in line["message"]] == [harness.observed[0].request_id]


async def test_request_id_of_a_backend_is_kept() -> None:
    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [(b"x-request-id", b"own")]})
        await send({"type": "http.response.body"})

    async with running_gateway() as harness:
        harness.gateway.snapshot = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), named, harness.native)
        head, _ = await harness.send("/elsewhere")
        assert head.count("x-request-id: own") == head.count("x-request-id") == 1
        harness.gateway.snapshot = RoutingSnapshot.of(
            parse(f"{CONFIG}served_by: false", {}, "test.yaml"), harness.legacy, harness.native
        )
        head, _ = await harness.send("/elsewhere")
        assert "x-request-id" not in head


@pytest.mark.parametrize(
    ("reported", "observed"), [("database", "database"), ("jane@clinic.example", None), (None, None)]
)
async def test_dependency_that_native_reports_is_observed(reported: str | None, observed: str | None) -> None:
    async with running_gateway() as harness:
        answer = harness.native.__call__

        async def report(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"]["proxy.dependency_failure"]["dependency"] = reported
            await answer(scope, receive, send)

        harness.gateway.snapshot = replace(harness.gateway.snapshot, native=report)
        head, body = await harness.send("/new")
    assert body == b"native"
    assert "dependency" not in str(head)
    assert [record.dependency for record in harness.observed] == [observed]


async def test_forged_keys_count_as_one_caller() -> None:
    async with running_gateway(GUARDED) as harness:

        async def callers(*headers: str) -> set[int | None]:
            harness.observed.clear()
            for header in headers:
                await harness.send("/new", "X-Forwarded-For: 10.0.0.1", header)
            return {record.caller for record in harness.observed}

        tokens = [[jwt.encode({"userID": name}, secret, "HS256") for name in "abc"] for secret in ("s" * 64, "f" * 64)]
        signed, forged = ([f"Authorization: Bearer {token}" for token in each] for each in tokens)
        assert len(await callers(*signed)) == 3
        one = await callers(*forged, "X-Caller: 1", "X-Caller: 2", "Cookie: a=b")
        assert len(one) == 1
        assert None not in one
        await harness.send("/plain", signed[0])
        assert harness.observed[-1].caller is None


async def test_declared_refusal_is_marked() -> None:
    divergence = {"id": "a", "operation": "GET /new", "legacy": "x", "native": "y", "reason": "z", "since": "1"}
    when = {"native": {"status": 429, "headers": {"retry-after": "*"}}}

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"retry-after", b"1")] if scope["query_string"] else []
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body"})

    declared = DeclaredRefusals([Divergence.model_validate({**divergence, "when": when})])
    async with running_gateway(GUARDED) as harness:
        plan = harness.gateway.snapshot
        harness.gateway.snapshot = replace(plan, native=refuse, declared=declared)
        for target in ("/new?declared", "/new"):
            await harness.send(target)
        assert [(record.status, record.declared) for record in harness.observed] == [(429, True), (429, False)]
