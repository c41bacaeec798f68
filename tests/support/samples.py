"""Values of the process's metrics."""

from __future__ import annotations

from prometheus_client.metrics import MetricWrapperBase

from proxy.observability import metrics


def value_of(metric: MetricWrapperBase, **labels: str) -> float:
    """Return the sum of a counter's or gauge's samples that have these labels."""
    return sum(
        sample.value
        for family in metric.collect()
        for sample in family.samples
        if not sample.name.endswith("_created") and labels.items() <= sample.labels.items()
    )


def exposed_value(sample: str) -> float:
    for line in metrics.expose().decode().splitlines():
        if line.startswith(sample + " "):
            return float(line.split()[-1])
    return 0.0
