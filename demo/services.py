"""The servers of the demo, each a child process with an address: outside services, stand-in, gateway, frontend."""

import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from demo.child import Child
from demo.node import find_node, install, is_installed
from demo.web import API_VARIABLE

ROOT = Path(__file__).parent.parent
LEGACY = ROOT / "demo" / "legacy"
INSTRUCTIONS = ROOT / "demo" / "instructions.yaml"
SECRET = "dev-secret"  # noqa: S105 - signs the tokens of the demo and of the recordings, nothing else
_READY_S = 30.0
_GRACE_S = 10
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
    """What the demo's servers have in common: `start` returns once it answers, `check` raises once it has gone."""

    def start(self) -> None: ...
    def check(self) -> None: ...
    def stop(self) -> None: ...


class Upstreams:
    """`demo.upstreams` under uvicorn. `port` 0 means any; `url` is known once it has started."""

    def __init__(self, log: Path, port: int = 0) -> None:
        self.port = port
        self._child = Child(
            "offline OpenAI and NHS",
            [sys.executable, "-m", "uvicorn", "demo.upstreams:app", "--port", str(port), "--no-access-log"],
            log=log,
            env={"PYTHONPATH": str(ROOT)},
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Wait until it answers. Raises ChildError."""
        self._child.start()
        self.port = int(self._child.wait_for(r"running on http://[\d.]+:(\d+)", _READY_S)[1])

    def check(self) -> None:
        """Raise ChildError if it has ended."""
        self._child.check()

    def stop(self) -> None:
        self._child.stop()


class StandIn:
    """The Node stand-in for the legacy service, with the backend's environment. `port` 0 means any.

    Its packages are installed when they are not: raises NodeError where they cannot be, or where Node is absent.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, port: int = 0) -> None:
        self.port = port
        self._environment = environment
        self._log = log
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The supervisor's; its worker is another."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Wait until it listens. Raises ChildError, NodeError."""
        node = find_node()
        if not is_installed(LEGACY):
            install(LEGACY, self._log)
        env = {**self._environment, "PORT": str(self.port)}
        self._child = Child("the legacy stand-in", [node, LEGACY / "server.js"], log=self._log, env=env)
        self._child.start()
        self.port = int(self._child.wait_for(r"listening on (\d+)", _READY_S)[1])

    def check(self) -> None:
        """Raise ChildError if it was started and has ended; a replaced worker does not count."""
        if self._child:
            self._child.check()

    def stop(self) -> None:
        if self._child:
            self._child.stop()
            self._child = None


class Frontend:
    """The page under uvicorn, as `http://localhost`.

    Browsers allow that name the microphone, and the legacy's CORS knows it. The page calls the API at `api`; `port` 0
    means any.
    """

    def __init__(self, api: str, log: Path, port: int = 0) -> None:
        self.port = port
        command = [sys.executable, "-m", "uvicorn", "--factory", "demo.web:create_app", "--no-access-log"]
        env = {"PYTHONPATH": str(ROOT), API_VARIABLE: api}
        self._child = Child("the frontend", [*command, "--port", str(port)], log=log, env=env)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        """Wait until it answers. Raises ChildError."""
        self._child.start()
        self.port = int(self._child.wait_for(r"running on http://[\d.]+:(\d+)", _READY_S)[1])

    def check(self) -> None:
        """Raise ChildError if it has ended."""
        self._child.check()

    def stop(self) -> None:
        self._child.stop()


class Gateway:
    """`scribe-proxy serve` on the ports given, with the backends' environment. Its stopping lets requests finish."""

    def __init__(
        self, config: Path, environment: Mapping[str, str], log: Path, *, host: str, port: int, ops_port: int
    ) -> None:
        self._ready_url = f"http://127.0.0.1:{ops_port}/readyz"
        command = [sys.executable, "-c", "from proxy.cli.main import main; main()", "serve", "--config", str(config)]
        command += ["--host", host, "--port", str(port), "--ops-port", str(ops_port), "--grace", str(_GRACE_S)]
        env = {**environment, "PYTHONPATH": str(ROOT)}
        self._child = Child("the gateway", command, log=log, env=env)

    def start(self) -> None:
        """Wait until it reports that it is ready. Raises ChildError."""
        self._child.start()
        deadline = time.monotonic() + _READY_S
        while not _answers(self._ready_url):
            self._child.check(deadline)
            time.sleep(0.05)

    def check(self) -> None:
        """Raise ChildError if it has ended."""
        self._child.check()

    def stop(self) -> None:
        self._child.stop(_GRACE_S + 5)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - a loopback address of ours
            return bool(answer.status == 200)
    except OSError:
        return False
