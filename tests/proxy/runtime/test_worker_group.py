"""`serve --workers N` when workers die, hang or cannot start, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from proxy.runtime.worker_group import MAX_FAILURES, MIN_UPTIME, RETRY_DELAYS, WorkerState
from tests.support.command_line import served
from tests.support.gateway_process import config, get, legacy
from tests.support.sockets import read_head, scripted
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.worker_processes import START_TIMEOUT, counted, until_answered, workers_of

VANISHING = """
import os
from pathlib import Path

from tests.support.gateway_process import native

Path(__file__).with_name(f"{os.getpid()}.loaded").touch()
"""
"""A native app, each of whose processes leaves a file."""


async def valid_is(ops: int, value: float) -> bool:
    return await counted(ops, "scribe_proxy_config_valid") == value


@pytest.mark.slow  # tests/proxy/runtime/test_last_good.py has the file, and the tests below replacements
async def test_replacement_starts_with_the_last_good_file(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    async with scripted(legacy) as port:
        file.write_text(config(port, "100%"))
        async with served(file, "--workers", "2", "--state-dir", str(tmp_path / "state")) as (process, public, ops):
            await until_answered(lambda: _all_saved(tmp_path))
            before = workers_of(process.pid)
            assert len(before) == 2
            file.write_text("legacy: {ulr: http://nowhere}\n")
            await until_answered(lambda: valid_is(ops, 0.0))
            for pid in before:
                os.kill(pid, signal.SIGKILL)

            async def replaced() -> bool:
                now = workers_of(process.pid)
                return len(now) == 2 and not now & before

            await until_answered(replaced)
            replacements = workers_of(process.pid)
            await until_answered(lambda: valid_is(ops, 0.0))
            await asyncio.sleep(3)
            assert workers_of(process.pid) == replacements  # none crashes
            assert {(await get(public))[1] for _ in range(10)} == {b"native"}
            assert await valid_is(ops, 0.0)
            assert b"unknown key; did you mean `url`?" in (await get(ops, "/status.json"))[1]
            file.write_text(config(port, "0%"))
            await until_answered(lambda: valid_is(ops, 1.0))
            assert {(await get(public))[1] for _ in range(10)} == {b"legacy"}
            process.send_signal(signal.SIGTERM)
            _, errors = await asyncio.wait_for(process.communicate(), HANG_TIMEOUT)
    assert b"legacy.ulr: unknown key; did you mean `url`?" in errors
    assert b"started with the last good one" in errors
    assert b"Traceback" not in errors


async def _all_saved(directory: Path) -> bool:
    return bool(list((directory / "state").glob("*.json")))


async def test_metrics_of_a_dead_worker_are_removed(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    async with scripted(legacy) as port:
        file.write_text(config(port))
        async with served(file, "--workers", "2") as (process, _, ops):
            file.write_text("nonsense: 1\n")
            await until_answered(lambda: valid_is(ops, 0.0))
            for pid in workers_of(process.pid):
                os.kill(pid, signal.SIGKILL)
            file.write_text(config(port, "100%"))
            await until_answered(lambda: valid_is(ops, 1.0))


@pytest.mark.slow  # a dead and a hanging worker are replaced below
async def test_workers_killed_at_their_start_are_replaced(tmp_path: Path) -> None:
    # A ping tells the supervisor that a worker serves; one may be killed before that.
    file = tmp_path / "routing.yaml"
    async with scripted(legacy) as port:
        file.write_text(config(port, "100%"))
        async with served(file, "--workers", "2") as (process, public, _):
            former = workers_of(process.pid)
            for pid in former:
                os.kill(pid, signal.SIGKILL)

            async def replaced() -> bool:
                return not former & workers_of(process.pid) and (await get(public))[1] == b"native"

            await until_answered(replaced)
            assert process.returncode is None


@pytest.mark.slow
async def test_group_of_failing_workers_ends_with_an_error(tmp_path: Path) -> None:
    # The native app's module is removed while the gateway runs, so no replacement can start.
    package = tmp_path / "vanishing.py"
    package.write_text(VANISHING)
    file = tmp_path / "routing.yaml"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    try:
        async with scripted(legacy) as port:
            file.write_text(config(port, "100%").replace("tests.support.gateway_process:native", "vanishing:native"))
            async with served(file, "--workers", "2") as (process, public, _):
                await until(lambda: len(list(tmp_path.glob("*.loaded"))) == 2)
                package.unlink()
                (first, second) = workers_of(process.pid)
                os.kill(first, signal.SIGKILL)
                await asyncio.sleep(3)
                assert {(await get(public))[1] for _ in range(10)} == {b"native"}  # the other one serves on
                os.kill(second, signal.SIGKILL)
                assert await asyncio.wait_for(process.wait(), START_TIMEOUT) == 1
    finally:
        os.environ["PYTHONPATH"] = os.environ["PYTHONPATH"].removeprefix(str(tmp_path)).lstrip(os.pathsep)


async def test_hanging_worker_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text("import proxy.runtime.worker_group as g\ng.HANG_TIMEOUT = 8.0\n")
    file = tmp_path / "routing.yaml"
    async with scripted(legacy) as port:
        file.write_text(config(port))
        async with served(file, "--workers", "2") as (process, public, _):
            stopped = min(workers_of(process.pid))
            await asyncio.sleep(2)
            os.kill(stopped, signal.SIGSTOP)

            async def gone() -> bool:
                now = workers_of(process.pid)
                return stopped not in now and len(now) == 2

            await until_answered(gone)
            assert (await get(public))[1] == b"legacy"


async def test_stopping_group_refuses_connections_while_a_request_ends(tmp_path: Path) -> None:
    received, proceed = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        received.set()
        await proceed.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")

    async def refuses(port: int) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    file = tmp_path / "routing.yaml"
    async with scripted(slow) as port:
        file.write_text(config(port).replace("legacy: {", "legacy: {timeouts: {response: 300s}, "))
        async with served(file, "--workers", "2", "--grace", "300") as (process, public, _):
            answering = asyncio.create_task(get(public))
            await received.wait()
            process.send_signal(signal.SIGTERM)
            await until_answered(lambda: refuses(public), HANG_TIMEOUT)  # a worker may still be starting
            proceed.set()
            assert (await answering)[1] == b"slow"
            assert await asyncio.wait_for(process.wait(), HANG_TIMEOUT) == 0


def test_failures_in_a_row_are_retried_later_each_time() -> None:
    slot = WorkerState()
    delays = [slot.record_end(100.0 * number) for number in range(1, 10)]
    assert delays == [*RETRY_DELAYS[1:], *[RETRY_DELAYS[-1]] * 3]
    assert slot.failures > MAX_FAILURES


def test_worker_that_ran_for_long_is_replaced_at_once() -> None:
    slot = WorkerState()
    slot.record_end(1.0)
    slot.ready_at = 10.0
    assert slot.record_end(9.9 + MIN_UPTIME) == RETRY_DELAYS[2]
    assert slot.failures == 2
    slot.ready_at = 30.0
    assert slot.record_end(30.0 + MIN_UPTIME) == 0.0
    assert slot.failures == 0
