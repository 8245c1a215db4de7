"""Trace context in and out, and spans at a collector."""

from __future__ import annotations

import gzip
import http.server
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from simulator.tracing import Tracing
from zjops.domain.clock import SystemClock
from zjops.domain.ids import SystemIds

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_callers_trace_goes_on_and_nonsense_begins_a_new_one() -> None:
    tracing = Tracing(SystemIds(SystemClock()))
    span = tracing.begin(PARENT, None)
    assert span.traceparent.split("-")[1] == PARENT.decode().split("-")[1]
    assert span.traceparent.split("-")[2] != PARENT.decode().split("-")[2]
    for wrong in (None, b"x", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01", b"\xff"):
        made = tracing.begin(wrong, None).traceparent.split("-")
        assert len(made[1]) == 32
        assert set(made[1]) != {"0"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_spans_reach_a_collector_by_otlp() -> None:
    got: list[bytes] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        tracing = Tracing(SystemIds(SystemClock()), "api", f"http://127.0.0.1:{server.server_address[1]}")
        span = tracing.begin(PARENT, None)
        tracing.end(span, {"method": "GET", "path": "/v1/jobs/job_1"}, "/v1/jobs/{jobId}", 503, 0.1)
        await tracing.stop()
        server.shutdown()

    data = gzip.decompress(got[0]) if got[0][:2] == b"\x1f\x8b" else got[0]
    told = ExportTraceServiceRequest.FromString(data).resource_spans[0].scope_spans[0].spans[0]
    assert told.name == "GET /v1/jobs/{jobId}"
    assert told.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert told.parent_span_id.hex() == "00f067aa0ba902b7"
    attributes = {item.key: item.value for item in told.attributes}
    assert attributes["http.response.status_code"].int_value == 503
    assert attributes["error.type"].string_value == "503"
    assert span.traceparent.split("-")[2] == told.span_id.hex()
