"""W3C trace context in and out; spans go by OTLP over HTTP when an endpoint is set, and cost nothing otherwise."""

from __future__ import annotations

from typing import Any, NamedTuple

from simulator.telemetry import child_traceparent
from zjops.domain.ids import Ids


class Span(NamedTuple):
    """One request's span: what goes out as `traceparent`, and the exporter's own span, if there is one."""

    traceparent: str
    exported: Any = None


class Tracing:
    """Begins and ends spans. `endpoint` is the collector's base address, e.g. http://127.0.0.1:4318."""

    def __init__(self, ids: Ids, service: str = "api", endpoint: str = "", share: float = 1.0) -> None:
        self._ids = ids
        self._provider: Any = None
        self._tracer: Any = None
        if endpoint:
            self._provider = _provider(service, endpoint, share)
            self._tracer = self._provider.get_tracer("zjops.gateway")

    @property
    def exports(self) -> bool:
        """Whether spans are sent anywhere."""
        return self._tracer is not None

    def begin(self, traceparent: bytes | None, tracestate: bytes | None) -> Span:
        """A span in the caller's trace, or in a new one."""
        parent = None if traceparent is None else traceparent.decode("latin-1")
        if self._tracer is None:
            return Span(child_traceparent(parent, self._ids))
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {"traceparent": parent or "", "tracestate": (tracestate or b"").decode("latin-1")}
        context = TraceContextTextMapPropagator().extract(carrier)
        span = self._tracer.start_span("request", context=context, kind=SpanKind.SERVER)
        ids = span.get_span_context()
        return Span(f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{int(ids.trace_flags):02x}", span)

    def end(self, span: Span, scope: Any, operation: str, status: int, seconds: float) -> None:
        """Name the span by OpenTelemetry's HTTP conventions (semconv 1.44) and let it go."""
        if span.exported is None:
            return
        method = scope.get("method", "GET")
        span.exported.update_name(f"{method} {operation}")
        span.exported.set_attributes({
            "http.request.method": method, "http.route": operation, "http.response.status_code": status,
            "url.path": scope["path"], "url.scheme": scope.get("scheme", "http"),
            "network.protocol.version": scope.get("http_version", "1.1"),
        })  # fmt: skip
        if status >= 500:
            span.exported.set_attribute("error.type", str(status))
        span.exported.end()

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        """Send what waits."""
        if self._provider is not None:
            self._provider.shutdown()


def _provider(service: str, endpoint: str, share: float) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        resource=Resource.create({"service.name": f"zjops-{service}"}),
        sampler=ParentBased(TraceIdRatioBased(share)), shutdown_on_exit=False,
    )  # fmt: skip
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
