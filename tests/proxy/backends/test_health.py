"""Health checks of native."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from proxy.backends.health import HealthChecks, probe
from proxy.config.loading import parse
from tests.support.event_loop import advance
from tests.support.waiting import HANG_TIMEOUT

TEXT = "legacy: {url: http://x}\nnative: a:b\n"
QUICK = "health: {path: /alive, interval: 10ms, failures: 2}\n"


class Native:
    """Answers with a status, raises, or hangs."""

    def __init__(self) -> None:
        self.status = 200
        self.raising: Exception | None = None
        self.hanging = False
        self.requests: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.put_nowait(f"{scope['method']} {scope['raw_path'].decode()}")
        if self.raising is not None:
            raise self.raising
        if self.hanging:
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def native() -> Native:
    return Native()


@pytest.mark.parametrize(("status", "fault"), [(200, None), (404, None), (503, "it answered 503")])
async def test_probe_reports_a_5xx_as_a_fault(native: Native, status: int, fault: str | None) -> None:
    native.status = status
    assert await probe(native, "/alive", HANG_TIMEOUT) == fault
    assert native.requests.get_nowait() == "GET /alive"


async def test_probe_reports_errors_and_timeouts_as_faults(native: Native) -> None:
    native.raising = KeyError("patient")
    assert await probe(native, "/", HANG_TIMEOUT) == "it raised KeyError"
    native.raising, native.hanging = None, True
    assert await probe(native, "/", 0.02) == "no answer within 0.02 s"


async def until(checks: HealthChecks, failing: bool) -> None:
    async with asyncio.timeout(HANG_TIMEOUT):
        while checks.failing is not failing:
            await asyncio.sleep(0.005)


async def test_consecutive_failures_count_and_a_success_resets_them(native: Native) -> None:
    checks = HealthChecks(native, parse(TEXT + QUICK, {}))
    await checks.start()
    native.status = 500
    await until(checks, True)
    assert checks.failures >= 2
    native.status = 200
    await until(checks, False)
    await checks.stop()
    assert native.requests.get_nowait() == "GET /alive"


async def test_changed_configuration_is_applied(native: Native) -> None:
    checks = HealthChecks(native, parse(TEXT, {}))
    await checks.start()
    await checks.stop()
    native.raising = RuntimeError()
    checks.apply_config(parse(TEXT + QUICK, {}))
    await until(checks, True)
    states = []
    for text in (QUICK, QUICK.replace("10ms", "20s"), ""):
        checks.apply_config(parse(TEXT + text, {}))
        states.append(checks.failing)
    assert states == [True, False, False]
    await checks.stop()


async def test_changed_settings_replace_the_former_checks(native: Native) -> None:
    texts = [QUICK.replace("10ms", f"{interval}s").replace("alive", str(interval)) for interval in (1000, 2000)]
    checks = HealthChecks(native, parse(TEXT + texts[0], {}))
    await checks.start()
    await advance(0.0)
    checks.apply_config(parse(TEXT + texts[1], {}))
    await advance(0.0)
    await advance(2000.0)
    requests = [await native.requests.get()]
    await advance(0.0)
    while not native.requests.empty():
        requests.append(native.requests.get_nowait())
    assert set(requests) == {"GET /2000"}
    await checks.stop()


async def test_missing_native_app_is_not_probed() -> None:
    checks = HealthChecks(None, parse(TEXT + QUICK, {}))
    await checks.start()
    assert not checks.failing
    await checks.stop()
