"""OpenTelemetry traces, enabled by OTEL_EXPORTER_OTLP_ENDPOINT. Without it, the SDK is not imported.

A request has three spans: the gateway's (a child of the caller's `traceparent`, W3C Trace Context), the decision's,
and that of the backend that answers. The backend receives the `traceparent` of its own span instead of the caller's,
so that the spans of legacy, native and the shadow become its children. Without tracing, the caller's header passes
unchanged. Spans contain methods, path templates, backends and statuses, but no path, query, header or body.

The SDK reads the other OTEL_ variables itself: sampler, service name, headers, timeouts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.types import Scope

from proxy.gateway.bucketing import Decision

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_CARRIED: Final = (b"traceparent", b"tracestate")


class TracingUnavailable(RuntimeError):
    """Traces are configured, but the SDK is not installed."""


def is_requested(env: Mapping[str, str]) -> bool:
    """Return True if the environment configures traces. Raises `TracingUnavailable` without the SDK."""
    if not any(env.get(name) for name in ENDPOINTS) or env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if find_spec("opentelemetry.sdk") is None or find_spec("opentelemetry.exporter") is None:
        raise TracingUnavailable("OTEL_EXPORTER_OTLP_ENDPOINT is set: install scribe-proxy[tracing]")
    return True


class Tracing:
    """Tracing of requests with the SDK's `provider`."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("scribe_proxy")
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def configured(cls, env: Mapping[str, str]) -> Tracing | None:
        """Return the tracing that the environment configures, or None. Raises `TracingUnavailable`."""
        if not is_requested(env):
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({} if env.get("OTEL_SERVICE_NAME") else {"service.name": "scribe-proxy"})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def begin(self, scope: Scope, method: str) -> Trace:
        """Start the gateway's span of a request."""
        return Trace(self, scope, method)

    @contextmanager
    def shadow(self, headers: Headers, method: str, route: str, backend: str) -> Iterator[Span]:
        """Trace a shadow request as a child of the served backend's span; of an error, only its type is recorded."""
        from opentelemetry.trace import SpanKind, StatusCode

        attributes = {"http.request.method": method, "scribe_proxy.route": route, "scribe_proxy.backend": backend}
        with self._tracer.start_as_current_span(
            f"shadow {backend}",
            self._context(headers),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def close(self) -> None:
        """Export queued spans. Blocks for up to the exporter's timeout: do not call it on the event loop."""
        self._provider.shutdown()

    def _context(self, headers: Headers) -> Context:
        carried = {name.decode(): value.decode("latin-1") for name, value in headers if name in _CARRIED}
        return self._propagator.extract(carried)


class Trace:
    """The spans of one request."""

    def __init__(self, tracing: Tracing, scope: Scope, method: str) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        self._tracing, self._method = tracing, method
        attributes = {"http.request.method": method}
        parent = tracing._context(scope["headers"])
        self._own = tracing._tracer.start_span(method, parent, kind=SpanKind.SERVER, attributes=attributes)
        self._below = set_span_in_context(self._own)
        self._deciding = tracing._tracer.start_span("decide", self._below)
        self._backend: Span | None = None

    def decided(self, scope: Scope, route: str | None, decision: Decision) -> None:
        """Start the span of the chosen backend and put its headers into `scope`. `route` is the matched template."""
        self._deciding.set_attributes(_attributes(decision))
        if decision.bucket is not None:
            self._deciding.set_attribute("scribe_proxy.bucket", decision.bucket)
        self._deciding.end()
        if route is not None:
            self._own.update_name(f"{self._method} {route}")
            self._own.set_attribute("http.route", route)
        self._begin(scope, decision)

    def switched(self, scope: Scope, decision: Decision) -> None:
        """End the failed backend's span and start the span of the one that takes over."""
        from opentelemetry.trace import StatusCode

        if self._backend is not None:
            self._backend.set_status(StatusCode.ERROR, decision.reason)
            self._backend.end()
        self._begin(scope, decision)

    def _begin(self, scope: Scope, decision: Decision) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        self._own.set_attributes(_attributes(decision))
        kind = SpanKind.CLIENT if decision.backend == "legacy" else SpanKind.INTERNAL
        self._backend = self._tracing._tracer.start_span(decision.backend, self._below, kind=kind)
        carrier: dict[str, str] = {}
        self._tracing._propagator.inject(carrier, set_span_in_context(self._backend))
        _carry(scope, carrier)

    def end(self, status: int, failure: str | None) -> None:
        """End the spans: the response is complete, or the client disconnected."""
        from opentelemetry.trace import StatusCode

        for span in (self._backend, self._own):
            if span is not None:
                span.set_attribute("http.response.status_code", status)
                if status >= 500 or failure:
                    span.set_status(StatusCode.ERROR, failure)
                span.end()


def _attributes(decision: Decision) -> dict[str, str]:
    return {"scribe_proxy.backend": decision.backend, "scribe_proxy.reason": decision.reason}


def _carry(scope: MutableMapping[str, object], carrier: Mapping[str, str]) -> None:
    """Replace the caller's trace headers by the backend span's."""
    headers = scope["headers"]
    assert isinstance(headers, list)
    remaining = [header for header in headers if header[0] not in _CARRIED]
    scope["headers"] = remaining + [(name.encode(), value.encode("latin-1")) for name, value in carrier.items()]
