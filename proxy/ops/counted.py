"""What the gateway on this machine has counted since it started: what pages show while MongoDB is away.

Read from the metrics, which all workers of a machine share.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from proxy import metrics
from proxy.comparison.verdicts import Side
from proxy.reports.views import RouteSummary


def since_start() -> tuple[RouteSummary, ...]:
    """Every route of which anything was counted, by name."""
    requests: defaultdict[str, Counter[Side]] = defaultdict(Counter)
    for labels, value in _samples("scribe_proxy_requests_total"):
        requests[labels["route"]]["native" if labels["side"] == "native" else "legacy"] += int(value)
    return tuple(RouteSummary(route, requests=dict(requests[route])) for route in sorted(requests))


def _samples(name: str) -> Iterator[tuple[dict[str, str], float]]:
    for family in text_string_to_metric_families(metrics.expose().decode()):
        yield from ((sample.labels, sample.value) for sample in family.samples if sample.name == name)
