"""Spans by the SDK's own exporters: their parents, the headers for backends, and no private data."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.types import Scope

from proxy.config.loading import parse
from proxy.gateway.bucketing import Decision
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.observability.tracing import Tracing, TracingUnavailable
from tests.support.absent_packages import hide_package
from tests.support.running_gateway import CONFIG, Backend
from tests.support.sockets import exchange, serving

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def remaining() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(remaining: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(remaining))
    return Tracing(provider)


def request(*headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "method": "GET", "path": "/api/notes/secret", "headers": [(b"host", b"h"), *headers]}


def traced(tracing: Tracing, scope: Scope, status: int = 200, failure: str | None = None) -> None:
    trace = tracing.begin(scope, "GET")
    trace.decided(scope, "/api/notes/{id}", Decision("legacy", "share", 17))
    trace.end(status, failure)


def by_name(remaining: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in remaining.get_finished_spans()}


def test_spans_nest_caller_gateway_decision_and_backend(tracing: Tracing, remaining: InMemorySpanExporter) -> None:
    traced(tracing, request((b"traceparent", CALLER.encode())))
    spans = by_name(remaining)
    own = spans["GET /api/notes/{id}"]
    assert own.parent is not None
    assert (own.parent.trace_id, own.parent.span_id) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
    assert all(spans[name].parent == own.context for name in ("decide", "legacy"))
    assert spans["decide"].attributes == {
        "scribe_proxy.backend": "legacy",
        "scribe_proxy.reason": "share",
        "scribe_proxy.bucket": 17,
    }


def test_backend_receives_its_own_span_as_parent(tracing: Tracing, remaining: InMemorySpanExporter) -> None:
    scope = request((b"traceparent", CALLER.encode()), (b"x-other", b"1"))
    traced(tracing, scope)
    received = [value.decode() for name, value in scope["headers"] if name == b"traceparent"]
    context = by_name(remaining)["legacy"].context
    assert context is not None
    assert received == [f"00-{context.trace_id:032x}-{context.span_id:016x}-01"]
    assert (b"x-other", b"1") in scope["headers"]


def test_shadow_hangs_below_the_side_that_served(tracing: Tracing, remaining: InMemorySpanExporter) -> None:
    scope = request()
    traced(tracing, scope)
    with tracing.shadow(scope["headers"], "GET", "notes.list", "native"):
        assert "shadow native" not in by_name(remaining)
    spans = by_name(remaining)
    parent, served = spans["shadow native"].parent, spans["legacy"].context
    assert parent is not None
    assert served is not None
    assert (parent.trace_id, parent.span_id) == (served.trace_id, served.span_id)
    assert spans["shadow native"].kind is SpanKind.CLIENT
    assert spans["shadow native"].attributes == {
        "http.request.method": "GET",
        "scribe_proxy.route": "notes.list",
        "scribe_proxy.backend": "native",
    }


@pytest.mark.parametrize(("status", "failure"), [(500, None), (502, "legacy_reset")])
def test_failures_are_errors(
    tracing: Tracing, remaining: InMemorySpanExporter, status: int, failure: str | None
) -> None:
    traced(tracing, request(), status, failure)
    assert not by_name(remaining)["legacy"].status.is_ok
    assert by_name(remaining)["legacy"].status.description == failure


def test_fallback_backend_has_its_own_span(tracing: Tracing, remaining: InMemorySpanExporter) -> None:
    scope = request()
    trace = tracing.begin(scope, "GET")
    trace.decided(scope, "/new", Decision("native", "share", 17))
    before = list(scope["headers"])
    trace.switched(scope, Decision("legacy", "native-error", 17))
    trace.end(200, None)
    spans = by_name(remaining)
    assert set(spans) == {"GET /new", "decide", "native", "legacy"}
    assert spans["native"].status.description == "native-error"
    assert spans["legacy"].attributes == {"http.response.status_code": 200}
    assert spans["legacy"].parent == spans["native"].parent == spans["GET /new"].context
    attributes = spans["GET /new"].attributes
    assert attributes is not None
    assert (attributes["scribe_proxy.backend"], attributes["scribe_proxy.reason"]) == ("legacy", "native-error")
    assert scope["headers"] != before


def test_spans_contain_no_content_of_the_request(tracing: Tracing, remaining: InMemorySpanExporter) -> None:
    traced(tracing, request((b"authorization", b"secret"), (b"traceparent", b"not one")))
    assert "secret" not in "".join(span.to_json() for span in remaining.get_finished_spans())


def test_error_of_a_shadow_request_is_traced_without_its_message(
    tracing: Tracing, remaining: InMemorySpanExporter
) -> None:
    with pytest.raises(RuntimeError, match="secret"), tracing.shadow([], "GET", "notes.list", "native"):
        raise RuntimeError("secret")
    span = by_name(remaining)["shadow native"]
    assert (span.status.is_ok, span.status.description) == (False, "RuntimeError")
    assert "secret" not in span.to_json()


def test_tracing_without_an_endpoint_is_off() -> None:
    assert Tracing.configured({}) is None
    assert Tracing.configured({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_SDK_DISABLED": "true"}) is None


def test_unmatched_request_is_named_by_its_method(tracing: Tracing, remaining: InMemorySpanExporter) -> None:
    scope = request()
    trace = tracing.begin(scope, "GET")
    trace.decided(scope, None, Decision("native", "no-route"))
    trace.end(404, None)
    assert set(by_name(remaining)) == {"GET", "decide", "native"}


async def test_spans_arrive_at_the_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", env["OTEL_EXPORTER_OTLP_ENDPOINT"])
        tracing = Tracing.configured(env)
        assert tracing is not None
        traced(tracing, request())
        await asyncio.to_thread(tracing.close)
        server.shutdown()
    assert received[0][0] == "/v1/traces"
    assert b"scribe-proxy" in received[0][1]
    assert b"GET /api/notes/{id}" in received[0][1]


async def test_gateway_traces_requests_and_propagates_the_span(
    tracing: Tracing, remaining: InMemorySpanExporter
) -> None:
    legacy, native = Backend("legacy"), Backend("native")
    gateway = Gateway(RoutingSnapshot.of(parse(CONFIG, {}), legacy, native), tracing=tracing)
    async with serving(gateway) as port:
        await exchange(
            port, f"GET /new HTTP/1.1\r\nhost: h\r\ntraceparent: {CALLER}\r\nconnection: close\r\n\r\n".encode()
        )
    spans = by_name(remaining)
    assert set(spans) == {"GET /new", "decide", "native"}
    assert spans["native"].attributes == {"http.response.status_code": 200}
    assert dict(native.scopes[0]["headers"])[b"traceparent"] != CALLER.encode()


async def test_gateway_traces_the_fallback_backend(tracing: Tracing, remaining: InMemorySpanExporter) -> None:
    legacy, native = Backend("legacy"), Backend("native", raising=RuntimeError("broken"))
    route = "{name: new, match: GET /new, native: 100%, on_native_error: legacy}"
    config = parse(f"legacy: {{url: 'http://a'}}\nnative: a:b\nroutes: [{route}]", {})
    async with serving(Gateway(RoutingSnapshot.of(config, legacy, native), tracing=tracing)) as port:
        await exchange(port, b"GET /new HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    spans = by_name(remaining)
    assert set(spans) == {"GET /new", "decide", "native", "legacy"}
    assert spans["native"].parent == spans["legacy"].parent == spans["GET /new"].context
    context = spans["legacy"].context
    assert context is not None
    assert dict(legacy.scopes[0]["headers"])[b"traceparent"].split(b"-")[2] == f"{context.span_id:016x}".encode()


def test_missing_tracing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_package(monkeypatch, "opentelemetry.sdk")
    with pytest.raises(TracingUnavailable, match=r"scribe-proxy\[tracing\]"):
        Tracing.configured({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
