"""Legacy's circuit breaker over a change of its settings."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from demo.ports import free_port
from proxy.config.loading import parse
from proxy.gateway.errors import NotConnected
from proxy.observability import metrics
from proxy.runtime.legacy_backend import LegacyBackend
from tests.support.samples import value_of

CONFIG = "legacy: {{url: 'http://127.0.0.1:{port}', breaker: {{failures: 1}}, keep_alive: {keep_alive}s}}\nroutes: []\n"


async def test_changed_settings_close_an_open_breaker_with_a_log(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    backend = LegacyBackend(parse(CONFIG.format(port=port, keep_alive=5), {}))
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    with pytest.raises(NotConnected):
        await backend.breaker(scope, never, never)
    assert (backend.breaker.is_open, value_of(metrics.BREAKER_OPEN)) == (True, 1)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        backend.apply_config(parse(CONFIG.format(port=port, keep_alive=6), {}))
    assert (backend.breaker.is_open, value_of(metrics.BREAKER_OPEN)) == (False, 0)
    assert [record.getMessage() for record in caplog.records] == ["legacy is tried again: its settings have changed"]
    backend.close()


async def never(*_: object) -> Any:
    raise AssertionError("nothing is received or sent")
