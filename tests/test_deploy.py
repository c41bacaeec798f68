"""The files of `deploy/` beside the code: metric names, commands, a real nginx in front of a real listener.

Its formats are checked by their fields' own validators: `make validate`.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from demo.ports import free_port
from proxy.cli.main import COMMANDS
from proxy.config.loading import parse
from proxy.gateway.bucketing import bucket
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.observability import metrics
from tests.support.sockets import exchange, serving
from tests.support.waiting import HANG_TIMEOUT, until_listening

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
SHADOW_MIB = parse("legacy: {url: http://127.0.0.1:9}", {}).shadow.max_memory >> 20
NAME = re.compile(r"\bscribe_proxy_[a-z_]+\b")


def exposed() -> set[str]:
    """Return every metric name that a scrape can contain."""
    assert metrics.RELOADS
    names = set()
    for family in REGISTRY.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


@pytest.mark.parametrize("file", ["prometheus/alerts.yaml", "grafana/dashboards/scribe-proxy.json"])
def test_metrics_of_alerts_and_dashboards_exist(file: str) -> None:
    used = set(NAME.findall((DEPLOY / file).read_text()))
    assert used
    assert used <= exposed()


def test_every_public_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = (DEPLOY / "grafana/dashboards/scribe-proxy.json").read_text() + (
        DEPLOY / "prometheus/alerts.yaml"
    ).read_text()
    own = {family.name for family in REGISTRY.collect() if family.name.startswith("scribe_proxy_")}
    internal = {"webhooks", "shadow_memory_exceeded"}
    assert {name for name in own if name not in shown} <= {f"scribe_proxy_{name}" for name in internal}


def test_every_alert_leads_to_a_section_of_the_runbook() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
    assert {rule["annotations"]["runbook_url"].partition("#")[2] for rule in rules} <= anchors


def test_every_command_of_the_runbook_exists() -> None:
    named = re.findall(r"scribe-proxy ([a-z]+)\b", (ROOT / "docs" / "runbook.md").read_text())
    assert named
    assert set(named) <= set(COMMANDS)


def test_routing_file_of_the_config_map_is_valid() -> None:
    (config_map,) = yaml.safe_load_all((DEPLOY / "kubernetes/routing.yaml").read_text())
    config = parse(config_map["data"]["routing.yaml"], {"LEGACY_URL": "http://legacy:4500"})
    assert all(route.share == 0 for route in config.routes)


def test_every_manifest_is_part_of_the_kustomization() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    there = {file.name for file in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed) == there


def test_files_used_by_the_deployments_are_in_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        assert all(f"!{name}" in ignored and (ROOT / name).exists() for name in source.split())


IMAGES = ("Dockerfile", "demo/legacy/Dockerfile", "compose.yaml")
REFERENCE = re.compile(r"^(?:ARG [A-Z]+_IMAGE=| *image: )(\S+)$", re.MULTILINE)


def pinned(directory: Path, digest: str) -> subprocess.CompletedProcess[str]:
    """Run `make pin-images` on a copy, with a `crane` that returns this digest for every image."""
    return pin_images(directory, f"echo {digest}")


def pin_images(directory: Path, crane: str, *options: str, required: str = "") -> subprocess.CompletedProcess[str]:
    """Run `deploy/pin-images` on a copy, with a `crane` of these commands."""
    (directory / "bin").mkdir(exist_ok=True)
    (directory / "bin" / "crane").write_text(f"#!/bin/sh\n{crane}\n")
    (directory / "bin" / "crane").chmod(0o755)
    for name in (*IMAGES, "deploy/pin-images"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        if not (directory / name).exists():
            shutil.copy(ROOT / name, directory / name)
    env = {"PATH": f"{directory}/bin:/usr/bin:/bin", "PINS_REQUIRED": required}
    command = ["sh", str(directory / "deploy/pin-images"), *options]
    return subprocess.run(command, env=env, text=True, capture_output=True, check=False)


def references(directory: Path) -> list[str]:
    images = [one for name in IMAGES for one in REFERENCE.findall((directory / name).read_text())]
    return [one for one in images if not one.startswith("scribe-proxy:")]


def test_images_are_pinned_and_repinned(tmp_path: Path) -> None:
    before = [one.partition("@")[0] for one in references(ROOT)]
    assert len(before) == 5
    for digest in (f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"):
        assert pinned(tmp_path, digest).returncode == 0
        assert references(tmp_path) == [f"{image}@{digest}" for image in before]


@pytest.mark.parametrize("digest", ["", "sha256:short", "; exit 1"])
def test_malformed_digest_is_not_pinned(tmp_path: Path, digest: str) -> None:
    done = pinned(tmp_path, digest)
    assert (done.returncode, "pin-images: " in done.stderr) == (1, True)
    assert references(tmp_path) == references(ROOT)


@pytest.mark.parametrize(
    ("crane", "required", "code"),
    [("echo no such host >&2; exit 1", "", 0), ("echo no such host >&2; exit 1", "1", 1), ("echo sha256:a", "", 1)],
)
def test_check_of_unpinned_images_fails_by_registry(tmp_path: Path, crane: str, required: str, code: int) -> None:
    (tmp_path / "Dockerfile").write_text("ARG PYTHON_IMAGE=python\n")  # neither a tag nor a digest
    checked = pin_images(tmp_path, crane, "--check", required=required)
    assert (checked.returncode, "no such host" in checked.stdout) == (code, code == 0)
    assert checked.stdout.startswith("NOT PINNED: ")
    assert " python\n" in checked.stdout


def test_check_of_pinned_images_passes(tmp_path: Path) -> None:
    assert pinned(tmp_path, f"sha256:{'a' * 64}").returncode == 0
    checked = pin_images(tmp_path, "exit 1", "--check", required="1")
    assert (checked.returncode, checked.stdout) == (0, "")


def test_dockerfiles_use_images_that_can_be_pinned() -> None:
    for name in IMAGES[:2]:
        text = (ROOT / name).read_text()
        bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
        assert bases
        assert set(bases) == {f"${{{name}}}" for name in re.findall(r"^ARG (\w+_IMAGE)=", text, re.MULTILINE)}


def manifest(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / name).read_text())
    return document


def test_compose_publishes_on_loopback_by_default() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith(("127.0.0.1:", "${PUBLISH_ON:-127.0.0.1}:")) for port in published)


def test_pod_runs_as_the_user_of_the_image() -> None:
    security = manifest("deployment.yaml")["spec"]["template"]["spec"]["securityContext"]
    user, group = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))
    assert security["runAsNonRoot"]


def mebibytes(text: str) -> int:
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


def test_pod_memory_covers_all_processes() -> None:
    # 400 MiB of a gateway whose buffers are full, the shadow process, and the files in /tmp.
    pod = manifest("deployment.yaml")["spec"]["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    temporary = sum(mebibytes(one["emptyDir"]["sizeLimit"]) for one in pod["volumes"] if "emptyDir" in one)
    assert mebibytes(resources["requests"]["memory"]) >= 400 + SHADOW_MIB + temporary
    assert mebibytes(resources["limits"]["memory"]) >= mebibytes(resources["requests"]["memory"])


def test_network_policy_allows_the_gateways_targets() -> None:
    spec = manifest("network-policy.yaml")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (legacy,) = re.findall(r"LEGACY_URL=http://([\w-]+):(\d+)", (DEPLOY / "README.md").read_text())
    by_port = {port["port"]: rule.get("to") for rule in spec["egress"] for port in rule["ports"]}
    assert {53, 443, 27017, 4318, int(legacy[1])} == by_port.keys()
    assert by_port[int(legacy[1])] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": legacy[0]}}}]
    metadata_service = ip_address("169.254.169.254")
    for block in (peer["ipBlock"] for peer in by_port[443]):
        inside = [network for network in map(ip_network, block["except"]) if metadata_service in network]
        assert inside or metadata_service not in ip_network(block["cidr"])


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the target and the headers of the request; accept any WebSocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001})
        return
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = json.dumps({"target": scope["raw_path"].decode(), "headers": headers}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def nginx(directory: Path, upstream: int, port: int) -> Iterator[None]:
    site = (DEPLOY / "nginx/scribe-proxy.conf").read_text()
    site = site.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}").replace("listen 8080", f"listen 127.0.0.1:{port}")
    (directory / "site.conf").write_text(site)
    own = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;"
        f"events {{}} http {{ access_log off; {own} include {directory}/site.conf; }}"
    )
    process = subprocess.Popen(["nginx", "-e", f"{directory}/error.log", "-c", f"{directory}/nginx.conf"])
    try:
        yield
    finally:
        process.terminate()
        process.wait(HANG_TIMEOUT)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx here")
async def test_nginx_in_front_passes_requests_unchanged(tmp_path: Path) -> None:
    port = free_port()
    async with serving(echo) as upstream:
        with nginx(tmp_path, upstream, port):
            await until_listening(port)
            head = "Host: api.example:8443\r\nx_odd: kept\r\nConnection: close\r\n"
            raw = await exchange(port, f"GET //a/../b%2Fc?x=%20 HTTP/1.1\r\n{head}\r\n".encode())
            received = json.loads(raw.partition(b"\r\n\r\n")[2])
            async with connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as websocket:
                with pytest.raises(ConnectionClosed):
                    await websocket.recv()
    assert received["target"] == "//a/../b%2Fc"
    assert received["headers"]["host"] == "api.example:8443"
    assert received["headers"]["x_odd"] == "kept"
    assert received["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert websocket.close_code == 4001


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx here")
async def test_callers_behind_nginx_spread_over_the_buckets(tmp_path: Path) -> None:
    text = """
    legacy: {url: http://127.0.0.1:1}
    native: tests.nowhere:app
    bucketing: {key: client-ip, salt: test}
    trusted_proxies: 127.0.0.1
    routes: [{name: half, match: GET /half, native: 50%}]
    """
    gateway = Gateway(RoutingSnapshot.of(parse(text, {}), PlainTextResponse("legacy"), PlainTextResponse("native")))
    callers = [f"127.0.{third}.{fourth}" for third in (1, 2) for fourth in range(1, 101)]
    port = free_port()
    async with serving(gateway) as upstream:
        with nginx(tmp_path, upstream, port):
            await until_listening(port)
            served = {caller: await _served_by(caller, port) for caller in callers}
    assert served == {caller: "native" if bucket("test", "half", caller) < 5000 else "legacy" for caller in callers}
    assert 60 < list(served.values()).count("native") < 140


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx here")
async def test_nginx_removes_forged_forwarding_headers(tmp_path: Path) -> None:
    text = "legacy: {url: http://127.0.0.1:1}\ntrusted_proxies: 127.0.0.1"
    port = free_port()
    async with serving(Gateway(RoutingSnapshot.of(parse(text, {}), echo, None))) as upstream:
        with nginx(tmp_path, upstream, port):
            await until_listening(port)
            forged = "Forwarded: for=198.51.100.66\r\nX-Real-IP: 198.51.100.66\r\nX-Forwarded-Proto: https\r\n"
            raw = await exchange(port, f"GET / HTTP/1.1\r\nHost: a\r\n{forged}Connection: close\r\n\r\n".encode())
    headers = json.loads(raw.partition(b"\r\n\r\n")[2])["headers"]
    assert "forwarded" not in headers
    assert (headers["x-real-ip"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert headers["x-forwarded-for"] == "127.0.0.1, 127.0.0.1"


async def _served_by(caller: str, port: int) -> str:
    """Ask from an address of the loopback network, with a forged chain; return the side that answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(caller, 0))
    writer.write(b"GET /half HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.66\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\r\n\r\n")[2].decode()
