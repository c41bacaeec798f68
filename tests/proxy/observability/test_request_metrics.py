"""Counts of served requests."""

from __future__ import annotations

import sys
from threading import Event, Thread

import pytest

from proxy.observability import request_metrics
from proxy.observability.request_metrics import RequestMetrics
from tests.support.request_records import request_record
from tests.support.samples import exposed_value

BUCKETS = ("0.001", "0.0025", "30.0", "+Inf")


def test_requests_are_counted_by_route_side_and_class() -> None:
    observe = RequestMetrics()
    counted = 'scribe_proxy_requests_total{backend="native",route="notes.list",status="2xx"}'
    timed = 'scribe_proxy_request_duration_seconds_count{backend="native",route="notes.list",status="2xx"}'
    before = exposed_value(counted), exposed_value(timed)
    observe(request_record(status=200))
    observe(request_record(status=201))
    assert (exposed_value(counted), exposed_value(timed)) == (before[0] + 2, before[1] + 2)


def test_unmatched_request_is_counted_without_its_path() -> None:
    observe = RequestMetrics()
    counted = 'scribe_proxy_requests_total{backend="legacy",route="-",status="4xx"}'
    before = exposed_value(counted)
    observe(request_record(route=None, template=None, backend="legacy", status=404))
    assert exposed_value(counted) == before + 1


def test_websocket_is_counted_without_a_latency() -> None:
    observe = RequestMetrics()
    timed = 'scribe_proxy_request_duration_seconds_count{backend="legacy",route="transcription",status="1xx"}'
    observe(request_record(kind="websocket", route="transcription", backend="legacy", status=101, total=3600))
    assert exposed_value(timed) == 0


def test_failures_are_counted_by_code() -> None:
    observe = RequestMetrics()
    counted = 'scribe_proxy_failures_total{backend="legacy",code="legacy_timeout",route="notes.list"}'
    before = exposed_value(counted)
    observe(request_record(backend="legacy", status=504, failure="legacy_timeout"))
    assert exposed_value(counted) == before + 1


def test_connection_faults_are_counted_by_cause() -> None:
    observe = RequestMetrics()
    counted = 'scribe_proxy_legacy_connection_faults_total{cause="certificate"}'
    before = exposed_value(counted)
    observe(request_record(backend="legacy", status=502, failure="legacy_unreachable", cause="certificate"))
    assert exposed_value(counted) == before + 1


def test_repeated_flushes_add_requests_once() -> None:
    observe = RequestMetrics()
    labels = 'backend="native",route="notes.flushed",status="2xx"'
    for seconds in (0.001, 0.002, 31.0):
        observe(request_record(route="notes.flushed", total=seconds))
        request_metrics.flush()
        request_metrics.flush()
    name = "scribe_proxy_request_duration_seconds"
    assert exposed_value(f"scribe_proxy_requests_total{{{labels}}}") == 3
    assert exposed_value(f"{name}_sum{{{labels}}}") == pytest.approx(31.003)
    counts = [exposed_value(f'{name}_bucket{{backend="native",le="{bound}",{labels[17:]}}}') for bound in BUCKETS]
    assert counts == [1.0, 2.0, 2.0, 3.0]


def test_concurrent_flushes_add_requests_once() -> None:
    observe, interval, requests, ended = RequestMetrics(), sys.getswitchinterval(), 20_000, Event()

    def flush_on() -> None:
        while not ended.is_set():
            request_metrics.flush()

    flushing = [Thread(target=flush_on) for _ in range(3)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in flushing:
            thread.start()
        for _ in range(requests):
            observe(request_record(route="notes.concurrent"))
    finally:
        sys.setswitchinterval(interval)
        ended.set()
        for thread in flushing:
            thread.join()
    counted = 'scribe_proxy_requests_total{backend="native",route="notes.concurrent",status="2xx"}'
    assert exposed_value(counted) == requests
