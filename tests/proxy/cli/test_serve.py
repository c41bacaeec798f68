"""`scribe-proxy serve` as a process."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from demo.ports import free_port, is_free
from tests.support.command_line import PROGRAM, run_serve, served
from tests.support.gateway_process import config, get, legacy
from tests.support.sockets import read_head, scripted
from tests.support.waiting import HANG_TIMEOUT, until, until_async
from tests.support.worker_processes import shadows_of, signals_of, until_answered, workers_of

WORKERS = [pytest.param("1", marks=pytest.mark.slow), "2"]
"""With two workers, a worker and its supervisor each do what the one process does."""


async def test_sigterm_finishes_running_requests_and_accepts_no_others(tmp_path: Path) -> None:
    forwarded, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        forwarded.set()
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    async with scripted(slow) as legacy_port:
        file = tmp_path / "routing.yaml"
        file.write_text(f"legacy: {{url: http://127.0.0.1:{legacy_port}}}")
        async with served(file) as (process, port, _):
            under_way = asyncio.create_task(get(port))
            await forwarded.wait()
            process.send_signal(signal.SIGTERM)
            await until(lambda: is_free(port))
            go_on.set()
            assert (await under_way)[1] == b"late"
            assert await asyncio.wait_for(process.wait(), HANG_TIMEOUT) == 0


@pytest.mark.parametrize("workers", WORKERS)
async def test_connections_that_wait_at_a_shutdown_are_answered(workers: str, tmp_path: Path) -> None:
    async with scripted(legacy) as legacy_port:
        file = tmp_path / "routing.yaml"
        file.write_text(config(legacy_port))
        async with served(file, "--workers", workers) as (process, port, _):
            os.killpg(process.pid, signal.SIGSTOP)
            waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
            for _, writer in waiting:
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                await writer.drain()
            process.send_signal(signal.SIGTERM)
            os.killpg(process.pid, signal.SIGCONT)
            async with asyncio.timeout(HANG_TIMEOUT):
                heads = [await reader.readuntil(b"\r\n\r\n") for reader, _ in waiting]
            assert {head[:15] for head in heads} == {b"HTTP/1.1 200 OK"}
            for _, writer in waiting:
                writer.close()
            assert await asyncio.wait_for(process.wait(), HANG_TIMEOUT) == 0


async def test_closed_standard_streams_do_not_become_connections(tmp_path: Path) -> None:
    file, port, ops = tmp_path / "routing.yaml", free_port(), free_port()
    file.write_text("legacy: {url: http://127.0.0.1:9}")
    options = ("serve", "--workers", "2", "--config", str(file), "--port", str(port), "--ops-port", str(ops))
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", PROGRAM, *options), start_new_session=True
    )

    async def is_healthy() -> bool:
        return (await get(ops, "/healthz"))[0].startswith(b"HTTP/1.1 200")

    try:
        await until_answered(is_healthy, HANG_TIMEOUT)
        for pid in {process.pid, *workers_of(process.pid)}:
            assert {os.readlink(f"/proc/{pid}/fd/{descriptor}") for descriptor in range(3)} == {os.devnull}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def test_soft_limit_on_open_files_is_raised(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(config(1))
    own = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(own[0], own[1] - 1), own[1]))
    try:
        async with served(file) as (process, _, _):
            limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, own)
    assert limits == (own[1], own[1])


@pytest.mark.parametrize("workers", WORKERS)
async def test_ctrl_c_while_processes_start_prints_no_traceback(workers: str, tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(
        "legacy: {url: 'http://127.0.0.1:1'}\nnative: tests.support.gateway_process:native\ndefaults: {shadow: 100%}\n"
        "routes: [{name: a, match: GET /a}]\n"
    )
    async with served(file, "--workers", workers) as (process, _, _):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does; the shadow processes still import their modules
        assert process.stderr is not None
        errors = await asyncio.wait_for(process.stderr.read(), HANG_TIMEOUT)  # ends with the last process
    assert b"Traceback" not in errors, errors.decode()


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.slow
async def test_signal_to_all_processes_stops_the_gateway_once(ready: bool, tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(
        "legacy: {url: 'http://127.0.0.1:1'}\nnative: tests.support.gateway_process:native\ndefaults: {shadow: 100%}\n"
        "routes: [{name: a, match: GET /a}]\n"
    )

    async def is_ready(ops: int) -> bool:
        return bool(json.loads((await get(ops, "/status.json"))[1])["shadow_ready"])

    async with served(file) as (process, _, ops):
        if ready:
            await until_async(lambda: is_ready(ops))
        os.killpg(process.pid, signal.SIGTERM)  # as systemd does
        assert process.stderr is not None
        errors = await asyncio.wait_for(process.stderr.read(), HANG_TIMEOUT)
    assert b"the shadow process has ended" not in errors, errors.decode()


async def test_slow_request_is_cut_off_after_the_grace(tmp_path: Path) -> None:
    accepted = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await asyncio.sleep(3600)

    async with scripted(never) as legacy_port:
        file = tmp_path / "routing.yaml"
        file.write_text(f"legacy: {{url: http://127.0.0.1:{legacy_port}}}")
        async with served(file, "--grace", "1") as (process, port, _):
            under_way = asyncio.create_task(get(port))
            await accepted.wait()
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), HANG_TIMEOUT)
            await asyncio.gather(under_way, return_exceptions=True)


async def counted(ops: int) -> float:
    """Return the requests that the metrics count for the route `all`."""
    lines = (await get(ops, "/metrics"))[1].decode().splitlines()
    own = [line for line in lines if line.startswith("scribe_proxy_requests_total{") and 'route="all"' in line]
    return sum(float(line.split()[-1]) for line in own)


async def test_workers_share_both_ports_and_end_together(tmp_path: Path) -> None:
    async with scripted(legacy) as legacy_port:
        file = tmp_path / "routing.yaml"
        file.write_text(config(legacy_port, "0%, shadow: 100%"))
        async with served(file, "--workers", "2") as (process, port, ops):
            answers = await asyncio.gather(*(get(port) for _ in range(40)))
            assert {body for _, body in answers} == {b"legacy"}
            readings: list[float] = []
            while readings[-10:] != [40] * 10:  # from every worker; it has the others' after a second
                readings.append(await counted(ops))
                assert readings[-1] <= 40
                await asyncio.sleep(0.02)
            await until(lambda: len(shadows_of(process.pid)) == 2)
            os.killpg(process.pid, signal.SIGTERM)  # to all processes, as systemd does
            output, errors = await asyncio.wait_for(process.communicate(), HANG_TIMEOUT)
    assert process.returncode == 0
    assert b"worker" not in errors.replace(str(file).encode(), b"")
    assert len([line for line in output.splitlines() if json.loads(line)["route"] == "all"]) == 40


@pytest.mark.slow  # the test above sends it to workers that serve
async def test_signal_to_a_group_that_may_still_start_is_a_clean_end(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text("legacy: {url: 'http://127.0.0.1:1'}")
    async with served(file, "--workers", "2") as (process, _, _):
        os.killpg(process.pid, signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), HANG_TIMEOUT)
        assert process.returncode == 0
    assert b"worker" not in errors


async def test_workers_alone_import_native_and_ignore_reload_signals(tmp_path: Path) -> None:
    imported = tmp_path / "imported"
    text = f"import os\nwith open({str(imported)!r}, 'a') as file:\n    print(os.getpid(), file=file)\n"
    (tmp_path / "counting.py").write_text(f"{text}async def app(scope, receive, send): ...\n")
    file = tmp_path / "routing.yaml"
    file.write_text("legacy: {url: 'http://127.0.0.1:1'}\nnative: counting:app")
    async with served(file, "--workers", "2", "--app-dir", str(tmp_path)) as (process, _, ops):
        importing = imported.read_text().split()
        assert str(process.pid) not in importing
        assert len(set(importing)) == len(importing) > 0
        os.killpg(process.pid, signal.SIGHUP)
        assert (await get(ops, "/healthz"))[0].startswith(b"HTTP/1.1 200")
        for pid in {process.pid, *workers_of(process.pid)}:
            assert signal.SIGHUP in signals_of(pid, "SigIgn")
            assert not {signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU} & signals_of(pid, "SigCgt")


@pytest.mark.parametrize("app", ["nowhere_at_all:app", "json.nowhere:app", "nowhere_at_all.below.it:app"])
def test_native_app_without_a_module_stops_the_start(app: str, tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(f"legacy: {{url: 'http://127.0.0.1:1'}}\nnative: {app}")
    absent = f"Error: native app {app}: there is no module {app.partition(':')[0]} in the directory of --app-dir"
    for workers in "12":
        code, errors = run_serve("--config", file, "--workers", workers)
        assert (code, errors.count("\n")) == (1, 1)
        assert errors.startswith(absent)


def test_invalid_file_stops_the_start_with_all_problems(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text("legacy: {url: nonsense}\nroutez: []\n")
    code, output = run_serve("--config", file)
    assert code == 1
    assert f"{file}:1" in output
    assert f"{file}:2" in output


def test_ops_listener_in_the_open_demands_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPS_TOKEN", raising=False)
    for host in ("0.0.0.0", "::", "ops.example"):
        code, output = run_serve("--ops-host", host)
        assert code == 2
        assert "OPS_TOKEN" in output


@pytest.mark.parametrize("token", ["short", "fifteen-letters", "fifteen-letters ", " " * 16])
def test_short_ops_token_is_refused_beyond_loopback(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_TOKEN", token)
    code, output = run_serve("--ops-host", "0.0.0.0")
    assert code == 2
    assert "OPS_TOKEN needs 16 characters" in output
    assert token not in output


@pytest.mark.parametrize(
    ("token", "viewer", "message"),
    [
        (None, "a-viewer-of-some-length", "OPS_TOKEN is not"),
        ("one-token-of-some-length", "one-token-of-some-length", "are the same"),
        ("one-token-of-some-length", "short", "OPS_VIEWER_TOKEN needs 16 characters"),
        ("one-token-of-some-length", " a viewer\n".ljust(20), "OPS_VIEWER_TOKEN needs 16 characters"),
    ],
)
def test_viewer_token_without_an_ops_token_is_refused(
    token: str | None, viewer: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPS_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("OPS_TOKEN", token)
    monkeypatch.setenv("OPS_VIEWER_TOKEN", viewer)
    code, output = run_serve("--ops-host", "0.0.0.0" if token else "127.0.0.1")
    assert code == 2
    assert message in output
    assert viewer not in output


@pytest.mark.parametrize("ops_host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_one_port_for_both_listeners_is_refused(ops_host: str) -> None:
    code, output = run_serve("--host", "127.0.0.1", "--port", "8123", "--ops-host", ops_host, "--ops-port", "8123")
    assert code == 2
    assert "the ops pages need a port of their own" in output


@pytest.mark.parametrize(("prefix", "free"), [("", ()), ("ops-", ("--port", "0"))])
async def test_taken_port_is_reported_in_one_line(tmp_path: Path, prefix: str, free: tuple[str, ...]) -> None:
    async with scripted(legacy) as port:
        file = tmp_path / "routing.yaml"
        file.write_text(config(port))
        code, output = await asyncio.to_thread(run_serve, "--config", file, f"--{prefix}port", str(port), *free)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --{prefix}port" in output
    assert len(output.strip().splitlines()) == 1


def test_absent_address_is_reported_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(config(1))
    code, output = run_serve("--config", file, "--host", "2001:db8::9", "--port", "8123")
    assert code == 1
    assert "cannot listen on [2001:db8::9]:8123" in output
    assert "choose another --host" in output
    assert len(output.strip().splitlines()) == 1


def test_invalid_pin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(config(1))
    monkeypatch.setenv("SCRIBE_PROXY_PIN", "nativ")
    code, output = run_serve("--config", file)
    assert code in (1, 2)
    assert "SCRIBE_PROXY_PIN" in output


@pytest.mark.parametrize(("pin", "shown"), [("legacy", True), ("", False)])
def test_pin_is_logged_at_the_start(
    pin: str, shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SCRIBE_PROXY_PIN", pin)
    file = tmp_path / "routing.yaml"
    file.write_text("legacy: {url: 'http://127.0.0.1:1'}")
    assert run_serve("--config", file, "--host", "203.0.113.1", "--port", "0", "--ops-port", "0")[0] == 1
    assert ("SCRIBE_PROXY_PIN is legacy: that backend answers every request" in caplog.text) == shown


def test_failed_import_of_native_has_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(config(1).replace("tests.support.gateway_process:native", "tests.nowhere:app"))
    code, output = run_serve("--config", file, "--port", "0", "--ops-port", "0")
    assert code != 0
    assert "tests.nowhere" in output


@pytest.mark.parametrize("workers", WORKERS)
async def test_failed_start_of_native_ends_with_its_reason_and_1(workers: str, tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(
        config(1).replace("tests.support.gateway_process:native", "tests.proxy.backends.test_native:broken")
    )
    ports = ("--port", "0", "--ops-port", "0")
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "serve", "--config", file, *ports, "--workers", workers, stdout=PIPE, stderr=PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), HANG_TIMEOUT)
    messages = [json.loads(line)["message"] for line in errors.splitlines()]
    reason = "native app tests.proxy.backends.test_native:broken: its start-up failed: RuntimeError: no database"
    assert process.returncode == 1
    assert 1 <= messages.count(reason) <= int(workers)  # the first failure ends the group
    assert 1 <= sum("Traceback" in message for message in messages) <= int(workers)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MONGODB_URL", "mongo:x", "invalid MongoDB URL: it must begin with mongodb:// or mongodb+srv://; it is"),
        ("MONGODB_DRIVER", "mongoose", "MONGODB_DRIVER"),
    ],
)
def test_invalid_database_is_reported_with_its_setting(
    name: str, value: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URL", "mongodb://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    file = tmp_path / "routing.yaml"
    file.write_text("legacy: {url: 'http://127.0.0.1:1'}")
    code, output = run_serve("--config", file, "--port", "0", "--ops-port", "0")
    assert (code, output.count("\n")) == (1, 1)
    assert output.startswith(f"Error: {message}")
    assert name in output
    assert ("MONGODB_URL" in output) == (name == "MONGODB_URL")


def test_new_state_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    file, directory = tmp_path / "routing.yaml", tmp_path / "state" / "gateway"
    file.write_text("legacy: 1")
    assert run_serve("--config", file, "--state-dir", directory)[0] == 1
    assert directory.stat().st_mode & 0o777 == 0o700
