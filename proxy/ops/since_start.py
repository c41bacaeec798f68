"""Counts of this machine's gateway since its start, which pages show while MongoDB is unreachable.

Read from the metrics, which all workers of a machine share.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from proxy.observability import metrics
from proxy.reports.models import RouteSummary
from proxy.reports.summaries import verdict_counts

_COUNTED = {  # metrics, each with the label by which it is counted
    "scribe_proxy_requests_total": "backend",
    "scribe_proxy_comparisons_total": "verdict",
    "scribe_proxy_skipped_total": "reason",
}


def since_start() -> tuple[RouteSummary, ...]:
    """Return every route that has counts, by name."""
    counts: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for sample in _samples(metrics.expose().decode()):
        label = _COUNTED[sample.name]
        counts[sample.labels["route"]][label][sample.labels[label]] += int(sample.value)
    return tuple(_summary(route, counts[route]) for route in sorted(counts))


def _samples(exposition: str) -> Iterator[Sample]:
    """Yield the samples of these metrics; the parser is too slow for all of them."""
    lines = (line for line in exposition.splitlines() if line.startswith(tuple(_COUNTED)))
    for family in text_string_to_metric_families("\n".join(lines)):
        yield from family.samples


def _summary(route: str, counts: defaultdict[str, Counter[str]]) -> RouteSummary:
    return RouteSummary(
        route,
        **verdict_counts(counts["verdict"]),
        skipped=dict(counts["reason"]),  # type: ignore[arg-type]
        requests=dict(counts["backend"]),  # type: ignore[arg-type]
    )
