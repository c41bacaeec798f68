"""Counts of served requests."""

from __future__ import annotations

import pytest

from proxy.observability import metrics, request_metrics
from proxy.observability.request_metrics import RequestMetrics
from tests.proxy.observability.test_access_log import observed

BUCKETS = ("0.001", "0.0025", "30.0", "+Inf")


def value(sample: str) -> float:
    for line in metrics.expose().decode().splitlines():
        if line.startswith(sample + " "):
            return float(line.split()[-1])
    return 0.0


def test_requests_are_counted_by_route_side_and_class() -> None:
    observe = RequestMetrics()
    counted = 'scribe_proxy_requests_total{backend="native",route="notes.list",status="2xx"}'
    timed = 'scribe_proxy_request_duration_seconds_count{backend="native",route="notes.list",status="2xx"}'
    before = value(counted), value(timed)
    observe(observed(status=200))
    observe(observed(status=201))
    assert (value(counted), value(timed)) == (before[0] + 2, before[1] + 2)


def test_request_without_a_route_is_counted_without_its_path() -> None:
    observe = RequestMetrics()
    counted = 'scribe_proxy_requests_total{backend="legacy",route="-",status="4xx"}'
    before = value(counted)
    observe(observed(route=None, template=None, backend="legacy", status=404))
    assert value(counted) == before + 1


def test_a_websocket_is_counted_but_its_length_is_not_a_latency() -> None:
    observe = RequestMetrics()
    timed = 'scribe_proxy_request_duration_seconds_count{backend="legacy",route="transcription",status="1xx"}'
    observe(observed(kind="websocket", route="transcription", backend="legacy", status=101, total=3600))
    assert value(timed) == 0


def test_failures_are_counted_by_code() -> None:
    observe = RequestMetrics()
    counted = 'scribe_proxy_failures_total{backend="legacy",code="legacy_timeout",route="notes.list"}'
    before = value(counted)
    observe(observed(backend="legacy", status=504, failure="legacy_timeout"))
    assert value(counted) == before + 1


def test_connection_faults_are_counted_by_cause() -> None:
    observe = RequestMetrics()
    counted = 'scribe_proxy_legacy_connection_faults_total{cause="certificate"}'
    before = value(counted)
    observe(observed(backend="legacy", status=502, failure="legacy_unreachable", cause="certificate"))
    assert value(counted) == before + 1


def test_requests_are_added_once_however_often_they_are_flushed() -> None:
    observe = RequestMetrics()
    labels = 'backend="native",route="notes.flushed",status="2xx"'
    for seconds in (0.001, 0.002, 31.0):
        observe(observed(route="notes.flushed", total=seconds))
        request_metrics.flush()
        request_metrics.flush()
    name = "scribe_proxy_request_duration_seconds"
    assert value(f"scribe_proxy_requests_total{{{labels}}}") == 3
    assert value(f"{name}_sum{{{labels}}}") == pytest.approx(31.003)
    counts = [value(f'{name}_bucket{{backend="native",le="{bound}",{labels[17:]}}}') for bound in BUCKETS]
    assert counts == [1.0, 2.0, 2.0, 3.0]
