"""One process of the gateway: its two listeners, its reloads, its backends' lifespans."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.backends.native import NativeUnavailable
from proxy.config.problems import ConfigError
from proxy.runtime.config_watcher import WatchTimings
from proxy.runtime.process import GatewayProcess
from tests.support.gateway_process import config, get, legacy, process
from tests.support.sockets import exchange, read_head, scripted, serving
from tests.support.watched_config import settle
from tests.support.webhook_receiver import WebhookReceiver


async def until(port: int, body: bytes) -> None:
    """Ask until that is the answer."""
    while (await get(port))[1] != body:
        await asyncio.sleep(0.05)


async def status(port: int) -> dict[str, object]:
    parsed: dict[str, object] = json.loads((await get(port, "/status.json"))[1])
    return parsed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "routing.yaml"


async def test_ports_have_separate_apps(file: Path) -> None:
    async with scripted(legacy) as port:
        file.write_text(config(port))
        async with process(file) as (public, ops):
            assert (await get(public, "/healthz"))[1] == b"legacy"
            assert json.loads((await get(ops, "/healthz"))[1]) == {"status": "ok"}


async def test_change_of_share_moves_traffic(file: Path) -> None:
    async with scripted(legacy) as port:
        file.write_text(config(port))
        async with process(file) as (public, _):
            assert (await get(public))[1] == b"legacy"
            file.write_text(config(port, "100%"))
            await until(public, b"native")


async def test_invalid_change_applies_nothing_and_is_shown(file: Path) -> None:
    async with scripted(legacy) as port:
        file.write_text(config(port))
        async with process(file) as (public, ops):
            revision = (await status(ops))["revision"]
            file.write_text(config(port, "101%"))
            while not (await status(ops))["problems"]:
                await asyncio.sleep(0.05)
            assert (await get(public))[1] == b"legacy"
            assert (await status(ops))["revision"] == revision
            assert b"scribe_proxy_config_valid 0.0" in (await get(ops, "/metrics"))[1]
            file.write_text(config(port, "100%"))
            await until(public, b"native")
            assert (await status(ops))["problems"] == []
            assert b"scribe_proxy_config_valid 1.0" in (await get(ops, "/metrics"))[1]


async def test_changed_settings_of_the_listeners_are_applied(file: Path) -> None:
    file.write_text("legacy: {url: http://127.0.0.1:1}\nroutes: []\n")
    gateway = GatewayProcess(file, {})
    listeners, connection = gateway.listeners, gateway.listeners.timeouts
    async with gateway.running():
        file.write_text(
            "legacy: {url: http://127.0.0.1:1}\nlimits: {memory: 64MiB}\ntrusted_proxies: 10.0.0.1\nroutes: []\n"
            "server: {keep_alive: 7s, header_timeout: 8s, request_timeout: 9s, drain_timeout: 6s,\n"
            "  proxy_protocol: true}\n"
        )
        await settle(gateway.watcher)
        assert gateway.watcher.problems == ()
        current = connection.current
        assert (current.keep_alive, current.header, current.request, current.drain) == (7.0, 8.0, 9.0, 6.0)
        assert gateway.memory.limit == 64 << 20
        assert listeners.proxy_protocol.trusted is not None
        assert listeners.proxy_protocol.trusted.trusts_peer("10.0.0.1")


async def test_changed_legacy_is_applied(file: Path) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")

    async with scripted(legacy) as port, scripted(other) as other_port:
        file.write_text(config(port))
        async with process(file) as (public, _):
            assert (await get(public))[1] == b"legacy"
            file.write_text(config(other_port))
            await until(public, b"other")


async def test_changed_native_app_needs_a_restart(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with scripted(legacy) as port:
        file.write_text(config(port))
        async with process(file) as (public, _):
            file.write_text(config(port, "100%").replace(":native\n", ":elsewhere\n"))
            await until(public, b"native")
            assert "takes effect at a restart" in caplog.text


async def test_changed_mongodb_needs_a_restart(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with scripted(legacy) as port:
        file.write_text(config(port, extra="mongodb: {url: ''}"))
        async with process(file) as (public, _):
            file.write_text(config(port, "100%", extra="mongodb: {url: 'mongodb://127.0.0.1:1'}"))
            await until(public, b"native")
            assert "mongodb: takes effect at a restart" in caplog.text


async def test_access_log_can_be_switched_off(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with scripted(legacy) as port:
        file.write_text(config(port, extra="access_log: false"))
        async with process(file) as (public, _):
            await get(public)
        assert capfd.readouterr().out == ""
        file.write_text(config(port))
        async with process(file) as (public, _):
            await get(public)
        assert json.loads(capfd.readouterr().out)["route"] == "all"


def test_faulty_file_is_fatal_at_the_start(file: Path) -> None:
    file.write_text("routes: 5")
    with pytest.raises(ConfigError):
        GatewayProcess(file, {})


async def test_failed_start_of_native_is_fatal(file: Path) -> None:
    file.write_text(config(1).replace(":native\n", ":missing\n"))
    with pytest.raises(NativeUnavailable):
        async with GatewayProcess(file, {}).running():
            pass


async def test_missing_native_app_leaves_all_to_legacy(file: Path) -> None:
    async with scripted(legacy) as port:
        file.write_text(f"legacy: {{url: http://127.0.0.1:{port}}}")
        async with process(file) as (public, ops):
            assert (await get(public))[1] == b"legacy"
            assert (await status(ops))["native"] is False


def test_watch_interval_allows_two_checks_in_two_seconds() -> None:
    assert 2 * WatchTimings().interval < 2


async def test_refused_file_is_reported_to_the_webhook_in_force(tmp_path: Path) -> None:
    receiver = WebhookReceiver(200)
    async with scripted(legacy) as legacy_port, serving(receiver) as hook:
        file = tmp_path / "routing.yaml"
        file.write_text(config(legacy_port, extra="notify: {url: http://127.0.0.1:1/}"))
        async with process(file) as (public, _):
            file.write_text(config(legacy_port, share="100%", extra=f"notify: {{url: http://127.0.0.1:{hook}/}}"))
            await until(public, b"native")
            file.write_text(config(legacy_port, share="a lot", extra=f"notify: {{url: http://127.0.0.1:{hook}/}}"))
            event: dict[str, Any] = {}
            while event.get("type") != "config_refused":  # after the change of the share
                await receiver.wait(1)
                event = json.loads(receiver.received.pop(0)[1])
    assert event["data"]["problems"][0].startswith("routing.yaml:4:45: routes[all].native: must be a percentage")


async def test_changed_header_timeout_applies_to_new_connections(file: Path) -> None:
    async with scripted(legacy) as port:
        file.write_text(config(port))
        async with process(file) as (public, _):
            file.write_text(config(port, "100%", extra="server: {header_timeout: 100ms}"))
            await until(public, b"native")
            assert (await exchange(public, b"GET / HT")).startswith(b"HTTP/1.1 408 ")


async def test_stalled_body_is_408_and_releases_its_slot(file: Path) -> None:
    raw = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"

    async def reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if head.startswith(b"POST"):
            await reader.readexactly(9)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlegacy")

    async with scripted(reading) as port:
        extra = "server: {header_timeout: 300ms, request_timeout: 300ms}\nlimits: {in_flight: 5}"
        file.write_text(config(port, extra=extra).replace("legacy: {", "legacy: {max_connections: 5, "))
        async with process(file) as (public, _):
            answers = await asyncio.gather(*(exchange(public, raw) for _ in range(5)))
            assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
            assert (await get(public))[1] == b"legacy"
