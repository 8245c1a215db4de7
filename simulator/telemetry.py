"""The one door for metrics, logs and trace context.

Logs are JSON lines with the members of R114; metrics are those of R113 under Prometheus' naming rules, the design's
own two names kept as aliases (C62); trace context is W3C Trace Context, 32 lowercase hex (C31).
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Protocol

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from zjops.domain.clock import Clock, rfc3339
from zjops.domain.ids import Ids
from zjops.domain.requests import LATENCY_BOUNDS_MS

SECONDS = tuple(bound / 1000 for bound in LATENCY_BOUNDS_MS)
"""OpenTelemetry's advised boundaries with 0.3 added, without which p95 < 300 ms cannot be judged (C60)."""
BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 10_485_760, 104_857_600)
VALUES_MOST = 1_000
LONG_SECONDS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 120, 300)

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "auth_failures_total": ("Requests refused with 401.", ("reason",)),
    "rate_limit_exceeded_total": ("Requests refused with 429.", ("plan", "limit")),
    "jobs_submitted_total": ("Accepted jobs.", ("job_type", "plan")),
    "jobs_completed_total": ("Jobs that completed.", ("job_type",)),
    "jobs_failed_total": ("Jobs that failed.", ("job_type", "code")),
    "jobs_cancelled_total": ("Jobs that were cancelled.", ("job_type",)),
    "blockchain_confirmations_total": ("Confirmation transactions by outcome.", ("outcome",)),
    "relayer_transactions_total": ("Transactions sent, sent again and replaced.", ("outcome",)),
    "relayer_repairs_total": ("Batches anchored again after a reorganisation beyond finality.", ("act",)),
    "blockchain_gas_used_total": ("Gas of confirmation transactions.", ()),
    "breaker_opened_total": ("Circuit breakers of tenants that opened.", ()),
    "webhook_attempts_total": ("Attempts to deliver a webhook.", ("outcome",)),
    "outbox_published_total": ("Outbox rows published.", ("stream",)),
    "metering_rows_total": ("Rows written to the log.", ("log",)),
    "slo_events_total": ("Events of the service level indicators, good or bad.", ("sli", "plan", "outcome")),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "jobs_processing_duration_seconds": ("Run time of finished attempts.", ("job_type",), (*SECONDS, 30, 60, 300)),
    "blockchain_confirmation_duration_seconds": ("From settled to final.", (), LONG_SECONDS),
}
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "jobs_queue_depth": ("Work that waits or is claimed.", ("durable",)),
    "outbox_unpublished": ("Outbox rows not yet published.", ()),
    "relayer_open_batches": ("Batches that are not final.", ()),
    "relayer_waiting": ("1 while the relayer waits, is slow or paused, by the reason.", ("reason",)),
    "relayer_answer_seconds": ("Mean seconds of the node's answers in the relayer's last look.", ()),
    "relayer_breaker_open": ("1 while the relayer holds off from a chain that does not answer.", ()),
    "relayer_balance_wei": ("What the operator's account holds for fees.", ()),
}


class _ProcessCollector(Collector):
    """What the operating system says of this process; the design's names are aliases of the well-formed ones (C62)."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()

    def collect(self) -> list[Metric]:
        cpu = self._process.cpu_percent()
        io = psutil.disk_io_counters() if sys.platform != "linux" else self._process.io_counters()
        net = psutil.net_io_counters()
        disk = CounterMetricFamily("disk_io_bytes", "Bytes read and written.", labels=["direction"])
        network = CounterMetricFamily("network_io_bytes", "Bytes sent and received.", labels=["direction"])
        if io is not None:
            disk.add_metric(["read"], io.read_bytes)
            disk.add_metric(["write"], io.write_bytes)
        network.add_metric(["sent"], net.bytes_sent)
        network.add_metric(["received"], net.bytes_recv)
        return [
            GaugeMetricFamily("cpu_usage_percent", "Processor time in percent of one core.", cpu),
            GaugeMetricFamily("cpu_usage_ratio", "Processor time as a share of one core.", cpu / 100),
            GaugeMetricFamily("memory_usage_bytes", "Resident memory.", self._process.memory_info().rss),
            disk,
            network,
        ]


class Lines(Protocol):
    """Where lines of text go."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


class Telemetry:
    """Metrics and logs of one process. `stream=None` says nothing, as tests and virtual time want it."""

    def __init__(self, service: str, clock: Clock, stream: Lines | None = sys.stdout, process: bool = False) -> None:
        self.service, self._clock = service, clock
        self.registry = CollectorRegistry()
        # Labels are found once; looking them up costs more than counting. Callers name them in one order.
        self._sums: dict[tuple[str, ...], float] = {}
        self._values: dict[tuple[str, ...], list[float]] = {}
        self._children: dict[tuple[str, ...], Any] = {}
        self._counters = {n: Counter(n, h, labels, registry=self.registry) for n, (h, labels) in COUNTERS.items()}
        self._gauges = {n: Gauge(n, h, labels, registry=self.registry) for n, (h, labels) in GAUGES.items()}
        self._histograms = {
            n: Histogram(n, h, labels, buckets=b, registry=self.registry) for n, (h, labels, b) in HISTOGRAMS.items()
        }
        if process:
            self.registry.register(_ProcessCollector())
        self._stream = stream

    def log(self, level: str, message: str, **fields: Any) -> None:
        """One JSON line (R114). `trace_id`, `tenant_id` and `job_id` stand at the top, the rest under `metadata`."""
        if self._stream is None:
            return
        top = {name: fields.pop(name) for name in ("trace_id", "tenant_id", "job_id") if name in fields}
        line = {"timestamp": rfc3339(self._clock.now_ms()), "level": level, "service": self.service}
        whole = json.dumps({**line, **top, "metadata": fields, "message": message}, default=repr)
        self._stream.write(f"{whole}\n")
        self._stream.flush()

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter of the table."""
        key = (name, *labels.values())
        self._sums[key] = self._sums.get(key, 0) + amount
        if key not in self._children:
            counter = self._counters[name]
            self._children[key] = counter.labels(**labels) if labels else counter

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram of the table."""
        key = (name, *labels.values())
        child = self._children.get(key)
        if child is None:
            histogram = self._histograms[name]
            child = self._children[key] = histogram.labels(**labels) if labels else histogram
            self._values[key] = []
        values = self._values[key]
        values.append(value)
        if len(values) >= VALUES_MOST:
            self._flush()

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge of the table."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def metrics_text(self) -> bytes:
        """Everything in the Prometheus text format."""
        self._flush()
        return generate_latest(self.registry)

    def _flush(self) -> None:
        """Hand on what was counted: one call of the library for many events, each of which takes a lock."""
        sums, self._sums = self._sums, {}
        for key, amount in sums.items():
            self._children[key].inc(amount)
        for key, values in self._values.items():
            child = self._children[key]
            while values:
                child.observe(values.pop())


_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def child_traceparent(parent: str | None, ids: Ids) -> str:
    """A new span in the caller's trace (W3C Trace Context), or a new trace when there is no valid parent."""
    match = None if parent is None else _TRACEPARENT.fullmatch(parent)
    if match and set(match[1]) != {"0"}:
        return f"00-{match[1]}-{ids.token(8).hex()}-01"
    noise = ids.token(24).hex()
    return f"00-{noise[:32]}-{noise[32:]}-01"


def trace_id(traceparent: str | None) -> str:
    """The 32 hex digits of a traceparent, or none's."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match else "0" * 32
