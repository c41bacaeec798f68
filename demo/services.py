"""The servers of the demo, each a child process: outside services, legacy, gateway, frontend."""

import json
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from demo.managed_process import ProcessServer
from demo.node import find_node, install, is_installed
from demo.web import API_VARIABLE

ROOT = Path(__file__).parent.parent
LEGACY = ROOT / "demo" / "legacy"
INSTRUCTIONS = ROOT / "demo" / "instructions.yaml"
SECRET = "dev-secret"  # noqa: S105 - signs the tokens of the demo and of the recordings, nothing else
_READY_S = 120.0  # ends a hang only: a process that fails is reported at once
_SHADOW_S = 30.0
_ANSWER_S = 15.0  # a busy machine delays each answer, and an answer that is given up is more work for the server
_GRACE_S = 10
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs of this machine, without the proxies of the environment."""
_TOKEN_PATH = "/authorisation/auth/realms/nhs-digital-terminology/protocol/openid-connect/token"  # noqa: S105


def backend_environment(mongodb_url: str, upstreams_url: str, database: str = "scribe") -> dict[str, str]:
    """Return the environment that both backends need to find the demo's other servers."""
    return {
        "MONGODB_URL": mongodb_url,
        "DATABASE_NAME": database,
        "JWT_SECRET_KEY": SECRET,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": f"{upstreams_url}/v1",
        "MODEL_INSTRUCTIONS": str(INSTRUCTIONS),
        "NHS_CLIENT_ID": "cid",
        "NHS_CLIENT_SECRET": "csecret",
        "NHS_AUTH_URL": f"{upstreams_url}{_TOKEN_PATH}",
        "NHS_API_URL": f"{upstreams_url}/production1/fhir/",
        "NO_PROXY": "127.0.0.1,localhost",
    }


class Service(Protocol):
    """A server of the demo. `start` returns when it answers; `check` raises ManagedProcessError if it has ended."""

    def start(self) -> None: ...
    def check(self) -> None: ...
    def stop(self) -> None: ...


class _UvicornService(ProcessServer):
    """An app of the demo under uvicorn. `port` 0 is any free port; `url` is available after the start."""

    def __init__(
        self, name: str, app: Sequence[str], log: Path, port: int, env: Mapping[str, str], host: str = "127.0.0.1"
    ) -> None:
        self.port = port
        self._host, self._name, self._log = host, name, log
        self._command = [sys.executable, "-m", "uvicorn", *app, "--port", str(port), "--no-access-log"]
        self._env = {"PYTHONPATH": str(ROOT), **env}

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers. Raises ManagedProcessError."""
        child = self._run(self._name, self._command, self._log, self._env)
        self.port = int(child.wait_for(r"running on http://[\d.]+:(\d+)", _READY_S)[1])


class Upstreams(_UvicornService):
    """`demo.upstreams`: OpenAI and the NHS, offline."""

    def __init__(self, log: Path, port: int = 0) -> None:
        super().__init__("offline OpenAI and NHS", ["demo.upstreams:app"], log, port, {})


class DemoLegacy(ProcessServer):
    """The demo's legacy under Node, with the environment of a backend. `port` 0 is any free port.

    Its process is a supervisor, which starts another worker when one ends. Missing packages are installed. NodeError is
    raised if that fails, or without Node.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, port: int = 0) -> None:
        self.port = port
        self._environment = environment
        self._log = log

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it listens. Raises ManagedProcessError or NodeError."""
        node = find_node()
        if not is_installed(LEGACY):
            install(LEGACY, self._log)
        env = {**self._environment, "PORT": str(self.port)}
        child = self._run("the demo's legacy", [node, LEGACY / "server.js"], self._log, env)
        self.port = int(child.wait_for(r"listening on (\d+)", _READY_S)[1])


class Frontend(_UvicornService):
    """The server of the page, at `http://localhost`. The page calls the API at `api`.

    Browsers allow the microphone for that host name, and the legacy's CORS accepts it.
    """

    def __init__(self, api: str, log: Path, port: int = 0) -> None:
        app = ["--factory", "demo.web:create_app"]
        super().__init__("the frontend", app, log, port, {API_VARIABLE: api}, host="localhost")


class Gateway(ProcessServer):
    """`scribe-proxy serve` on given ports, with the backends' environment. It completes its requests when stopped."""

    _stop_timeout = _GRACE_S + 5

    def __init__(
        self, config: Path, environment: Mapping[str, str], log: Path, *, host: str, port: int, ops_port: int
    ) -> None:
        self._ops_url = f"http://127.0.0.1:{ops_port}"
        self._log = log
        self._command = [sys.executable, "-c", "from proxy.cli.main import main; main()", "serve"]
        self._command += ["--config", str(config), "--host", host, "--port", str(port), "--ops-port", str(ops_port)]
        self._command += ["--grace", str(_GRACE_S)]
        self._env = {**environment, "PYTHONPATH": str(ROOT)}

    def start(self) -> None:
        """Start, and wait until it reports that it is ready. Raises ManagedProcessError."""
        child = self._run("the gateway", self._command, self._log, self._env)
        deadline = time.monotonic() + _READY_S
        while self._read("/readyz") is None:
            child.check(deadline)
            time.sleep(0.05)

    def await_shadow(self) -> None:
        """Wait until requests are compared, at most `_SHADOW_S` seconds. Raises ManagedProcessError."""
        end = time.monotonic() + _SHADOW_S
        while time.monotonic() < end and not self._compares():
            self.check()
            time.sleep(0.05)

    def _compares(self) -> bool:
        """Return whether the shadow process has started, or no route needs it."""
        status = json.loads(self._read("/status.json") or b"{}")
        return bool(status) and (status["shadow_ready"] or not any(route["shadow"] for route in status["routes"]))

    def _read(self, path: str) -> bytes | None:
        """Return the body of a 200 of the ops listener; None without one."""
        headers = {"authorization": f"Bearer {self._env.get('OPS_TOKEN', '')}"}
        request = urllib.request.Request(self._ops_url + path, headers=headers)  # noqa: S310 - a loopback address
        try:
            with _OPENER.open(request, timeout=_ANSWER_S) as answer:
                return bytes(answer.read())
        except OSError:
            return None
