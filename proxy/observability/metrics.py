"""Prometheus metrics: names, labels and buckets; those of served requests are in `request_metrics`.

With several workers the values are in shared files (`PROMETHEUS_MULTIPROC_DIR`, set by `serve`), so that any worker
answers a scrape for all of them.
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from proxy.observability import request_metrics

BUFFERED = Gauge(
    "scribe_proxy_buffered_bytes", "Bytes buffered for clients, limited by limits.memory", multiprocess_mode="livesum"
)
MEMORY_EVICTIONS = Counter(
    "scribe_proxy_memory_evictions", "Requests and WebSockets that were ended beyond limits.memory"
)
IN_FLIGHT = Gauge("scribe_proxy_in_flight", "Requests and WebSockets in flight", ("kind",), multiprocess_mode="livesum")
MEMORY = Gauge("scribe_proxy_resident_memory_bytes", "Memory of the processes", multiprocess_mode="livesum")
CPU = Counter("scribe_proxy_cpu_seconds", "CPU time of the processes")
WEBHOOKS = Counter("scribe_proxy_webhooks", "Attempts to deliver a webhook event, by result", ("result",))
SHARE = Gauge(
    "scribe_proxy_share_ratio",
    "Share of callers that native answers, 0 to 1: the file's, and the one in force",
    ("route", "kind"),
    multiprocess_mode="mostrecent",
)
CAPPED = Gauge(
    "scribe_proxy_capped", "1 while a cap limits the route's share", ("route",), multiprocess_mode="mostrecent"
)
SHARE_CHANGES = Counter(
    "scribe_proxy_share_changes", "Changes of a route's share by kind, each counted by one replica", ("route", "change")
)
BREAKER_OPEN = Gauge("scribe_proxy_breaker_open", "1 while legacy counts as down", multiprocess_mode="livemax")
RELOADS = Counter("scribe_proxy_config_reloads", "Changes of routing.yaml, by result", ("result",))
CONFIG_VALID = Gauge(
    "scribe_proxy_config_valid",
    "1 while routing.yaml is valid and in force, 0 while it is refused",
    multiprocess_mode="livemin",
)
CONFIG_READ_TIMEOUTS = Counter("scribe_proxy_config_read_timeouts", "Reads of routing.yaml that took too long")

MONGODB_SECONDS = Histogram(
    "scribe_proxy_mongodb_command_duration_seconds",
    "Duration of commands to the gateway's own MongoDB",
    ("command", "result"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REPORTS_DROPPED = Counter(
    "scribe_proxy_reports_dropped", "Comparisons and requests missing from the reports, by reason", ("reason",)
)
DIFFERENCE_EVENTS = Counter(
    "scribe_proxy_difference_events", "Webhook events about new, drifting or returned differences", ("type",)
)
COMPARISONS = Counter(
    "scribe_proxy_comparisons", "Requests chosen for comparison, by verdict", ("route", "served", "verdict")
)
SKIPPED = Counter("scribe_proxy_skipped", "Requests chosen for comparison and skipped, by reason", ("route", "reason"))
SHADOW_OUTSTANDING = Gauge(
    "scribe_proxy_shadow_outstanding", "Requests waiting for a comparison or in one", multiprocess_mode="livesum"
)
SHADOW_SHARE = Gauge(
    "scribe_proxy_shadow_share",
    "Fraction of shadow requests that the CPU load allows: the least of all processes",
    multiprocess_mode="livemin",
)
SHADOW_RESTARTS = Counter("scribe_proxy_shadow_restarts", "Unexpected ends of shadow processes")
SHADOW_MEMORY_EXCEEDED = Counter(
    "scribe_proxy_shadow_memory_exceeded", "Shadow processes that were killed beyond shadow.max_memory"
)
LOG_LINES_DROPPED = Counter(
    "scribe_proxy_log_lines_dropped",
    "Lines of the access log (stdout) and of logging (stderr) dropped because the queue was full or a write failed",
    ("stream", "reason"),
)
OBSERVER_FAILURES = Counter(
    "scribe_proxy_observer_failures", "Errors in observers of completed requests", ("observer", "error")
)


def expose() -> bytes:
    """Return the text exposition of this process, or of all workers if they share files.

    Requests of other workers appear up to a second late.
    """
    request_metrics.flush()
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
