"""The demo on one machine: MongoDB, offline OpenAI and NHS, a Node legacy, the gateway in front of it, a frontend.

Each is a child process. They start in this order and stop in the reverse order, so that no server loses a service that
it needs. When one ends, its last output is printed and all are stopped.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from demo.bad_release import Ops, Play, Scenario
from demo.given_mongodb import NoAnswerError, given_url, require_answer
from demo.managed_process import ManagedProcessError
from demo.mongod import Mongod, MongodError
from demo.node import NodeError, find_node, install, is_installed
from demo.ports import is_free, owner
from demo.services import LEGACY, ROOT, SECRET, DemoLegacy, Frontend, Gateway, Service, Upstreams, backend_environment
from demo.shell import exports, ops_token
from demo.traffic import Traffic

_NAMES = {
    "port": "the gateway",
    "ops_port": "the ops listener",
    "legacy_port": "the demo's legacy",
    "upstreams_port": "offline OpenAI and NHS",
    "mongodb_port": "MongoDB",
    "frontend_port": "the frontend",
}
_FRONTENDS = "https://scribe-project-nextjs.vercel.app,http://localhost:3000,http://localhost:3001"

UNREDACTED = {"REPORTS_REDACT": "off", "REPORTS_STAGING": "true"}
"""The demo has no patient data, so its reports are not redacted."""


@dataclass(frozen=True)
class Ports:
    """The port of each server. A field has the name of the command's option."""

    port: int = 8000
    ops_port: int = 8001
    legacy_port: int = 4500
    upstreams_port: int = 4501
    mongodb_port: int = 27117
    frontend_port: int = 3000


@dataclass(frozen=True)
class TrafficOptions:
    """Simulated traffic: its seed, and `once` to stop after one day."""

    seed: int = 1
    once: bool = False


S = TypeVar("S", bound=Service)


class StackError(Exception):
    """The demo cannot run. The message is one line."""


class _Stopped(Exception):
    """A signal to stop was received."""


def run(
    ports: Ports = Ports(),
    *,
    host: str = "127.0.0.1",
    config: Path = ROOT / "routing.yaml",
    data: Path = Path(".data"),
    env: Mapping[str, str] = os.environ,
    console: Console | None = None,
    traffic: TrafficOptions | None = None,
    scenario: Scenario | None = None,
) -> int:
    """Run the demo until Ctrl-C or SIGTERM and return the exit code: 0, or 1 if it failed.

    `host` applies to the gateway; everything else is on loopback. `data` is for documents and logs. MONGODB_URL in
    `env` replaces the demo's own MongoDB. `traffic` simulates a clinic's days; a `scenario` has its own routing file
    and callers.
    """
    out = console or Console(highlight=False)
    stack = Stack(ports, host, scenario.config if scenario else config, data, env, out)
    try:
        with _stopping_on_signals(), ExitStack() as running:
            stack.run(running, traffic, scenario)
    except _Stopped:
        out.print("everything is stopped")
        return 0
    except (StackError, ManagedProcessError, MongodError, NoAnswerError, NodeError) as error:
        out.print(f"[red]cannot run:[/] {_escape(str(error))}", soft_wrap=True)
        return 1


class Stack:
    """The servers of one run."""

    def __init__(
        self, ports: Ports, host: str, config: Path, data: Path, env: Mapping[str, str], console: Console
    ) -> None:
        self._ports, self._host, self._config = ports, host, config
        self._data, self._env, self._console = data.absolute(), env, console
        self._services: list[Service] = []
        self._mongodb_url = given_url(env, ports.mongodb_port)
        self._ops_token = ""

    @property
    def url(self) -> str:
        return f"http://{'127.0.0.1' if self._host == '0.0.0.0' else self._host}:{self._ports.port}"  # noqa: S104

    @property
    def page_url(self) -> str:
        return f"http://localhost:{self._ports.frontend_port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self._ports.ops_port}"

    def run(self, running: ExitStack, traffic: TrafficOptions | None, scenario: Scenario | None) -> NoReturn:
        """Start everything and watch it until a signal or an error ends it."""
        self.start(running, scenario.environment if scenario else {})
        self.introduce()
        if scenario is not None:
            self.perform(running, scenario)
        if traffic is not None:
            self.play(running, traffic)
        self.watch()

    def start(self, running: ExitStack, more: Mapping[str, str] = {}) -> None:
        """Start everything in order; `running` stops it. `more` extends the gateway's environment."""
        self._check()
        self._ops_token = self._read_token()
        with _progress(self._console) as progress:
            if not is_installed(LEGACY):
                with _step(progress, "packages of the legacy (once)") as task:
                    install(LEGACY, self._log("npm"), _bar(progress, task))
            if self._mongodb_url:
                require_answer(self._mongodb_url)
            else:
                with _step(progress, "MongoDB"):
                    mongod = self._begin(running, Mongod(self._data / "mongod", self._ports.mongodb_port))
                    self._mongodb_url = mongod.url
            with _step(progress, "offline OpenAI and NHS"):
                upstreams = self._begin(running, Upstreams(self._log("upstreams"), self._ports.upstreams_port))
            environment = {**backend_environment(self._mongodb_url, upstreams.url), **self._origins()}
            with _step(progress, "legacy"):
                legacy = self._begin(running, DemoLegacy(environment, self._log("legacy"), self._ports.legacy_port))
            with _step(progress, "gateway"):
                own = {"LEGACY_URL": legacy.url, "OPS_TOKEN": self._ops_token, **UNREDACTED}
                gateway = self._begin(running, self._gateway({**environment, **more, **own}))
            with _step(progress, "frontend"):
                self._begin(running, Frontend(self.url, self._log("frontend"), self._ports.frontend_port))
            with _step(progress, "shadow process"):  # requests before it would not be compared
                gateway.await_shadow()

    def play(self, running: ExitStack, traffic: TrafficOptions) -> None:
        """Start to simulate a clinic's days."""
        self._begin(running, Traffic(self.url, self._console, seed=traffic.seed, once=traffic.once))

    def perform(self, running: ExitStack, scenario: Scenario) -> Play:
        """Start to play a scenario."""
        ops = Ops(self.ops_url, self._ops_token)
        return self._begin(running, Play(scenario, self.url, ops, self._mongodb_url, self._console))

    def watch(self) -> NoReturn:
        """Watch the servers, and raise ManagedProcessError when one has ended."""
        while True:
            for service in self._services:
                service.check()
            time.sleep(0.2)

    def introduce(self) -> None:
        """Print the addresses, and first steps."""
        introduction = _INTRODUCTION.format(
            page_url=self.page_url,
            url=self.url,
            ops_url=self.ops_url,
            legacy_url=f"http://127.0.0.1:{self._ports.legacy_port}",
            config=_escape(_short(self._config)),
            logs=_escape(_short(self._data / "logs")),
        )
        self._console.print(introduction, soft_wrap=True)
        line = exports(self._for_commands())
        self._console.print(line, soft_wrap=True, markup=False, emoji=False)
        self._console.print("\n[dim]Ctrl-C stops everything.[/]")

    def _for_commands(self) -> dict[str, str]:
        """Return the environment that the commands of the docs need."""
        elsewhere = self._ports.ops_port != Ports().ops_port
        own = {"MONGODB_URL": self._mongodb_url, "JWT_SECRET_KEY": SECRET, "OPS_TOKEN": self._ops_token}
        return own | ({"OPS_URL": self.ops_url} if elsewhere else {})

    def _check(self) -> None:
        if sys.platform == "win32":
            raise StackError("the demo runs on Linux and macOS; on Windows run it in WSL, or use compose")
        find_node()
        if not self._config.is_file():
            raise StackError(f"{self._config} does not exist: name a routing file with --config")
        taken = [line for field in fields(Ports) if (line := self._complaint(field.name))]
        if taken:
            raise StackError("; ".join(taken))

    def _complaint(self, name: str) -> str | None:
        port: int = getattr(self._ports, name)
        if name == "mongodb_port" and self._mongodb_url:
            return None
        hosts = {"port": [self._host], "frontend_port": ["127.0.0.1", "::1"]}  # localhost may be either
        if all(is_free(port, host) for host in hosts.get(name, ["127.0.0.1"])):
            return None
        user = owner(port) or "another program"
        return f"port {port}, meant for {_NAMES[name]}, is in use by {user}: choose another with --{_option(name)}"

    def _read_token(self) -> str:
        """Return the ops token; create one if there is none."""
        try:
            return ops_token(self._data, self._env)
        except OSError as error:
            raise StackError(
                f"{self._data} cannot be written: {error.strerror}; name another directory with --data"
            ) from None

    def _origins(self) -> dict[str, str]:
        """Return the environment that allows the page's origin, whose port may differ from the backends' default."""
        known = self._env.get("ALLOWED_ORIGINS") or _FRONTENDS
        return {} if self.page_url in known.split(",") else {"ALLOWED_ORIGINS": f"{known},{self.page_url}"}

    def _log(self, name: str) -> Path:
        return self._data / "logs" / f"{name}.log"

    def _begin(self, running: ExitStack, service: S) -> S:
        running.callback(service.stop)
        service.start()
        self._services.append(service)
        return service

    def _gateway(self, environment: Mapping[str, str]) -> Gateway:
        ports = self._ports
        return Gateway(
            self._config.absolute(),
            environment,
            self._log("gateway"),
            host=self._host,
            port=ports.port,
            ops_port=ports.ops_port,
        )


_INTRODUCTION = """\
[bold]{page_url}[/]  Scribe in the browser: register, record, read the summary
[bold]{url}[/]  the gateway, which the frontend uses
[bold]{ops_url}[/]  ops: shares, reports, metrics, health
{legacy_url}  the demo's legacy, directly
[dim]routes: {config} (changes are in force within 2 s), logs: {logs}
reports store the compared values unredacted: enter no data of real patients[/]

[bold]Try[/]
  1. Open {page_url}, register, and write a prompt.
  2. In {config}, change `prompts: {{native: 0%}}` to `prompts: {{native: 100%}}`, and save.
  3. Write another prompt: the page looks the same, and {ops_url} shows which backend answered.
  Without a browser: change `users` in place of `prompts`, and read the header x-served-by before and after it:
     curl -i '{url}/users/users/checkEmail?email=amara@clinic.example'

[bold]In another shell[/] paste this line; the commands of README and docs then work as written. OPS_TOKEN is
also the token for the ops pages, with any name."""


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """Raise _Stopped at the first SIGINT, SIGTERM or SIGHUP, and ignore further ones during the stop."""

    def stop(number: int, frame: FrameType | None) -> None:
        for known in before:
            signal.signal(known, signal.SIG_IGN)
        raise _Stopped

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"), BarColumn(20))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        yield progress


@contextmanager
def _step(progress: Progress, name: str) -> Iterator[TaskID]:
    """Show a step while it runs; without a terminal, print a line when it is done."""
    began = time.monotonic()
    task = progress.add_task(name, total=None)
    yield task
    progress.update(task, total=1, completed=1)
    if not progress.console.is_terminal:
        progress.console.print(f"{name}: {time.monotonic() - began:.1f} s")


def _bar(progress: Progress, task: TaskID) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)

    return show


def _option(name: str) -> str:
    return name.replace("_", "-")


def _short(path: Path) -> str:
    """Return the path relative to the working directory."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def _port(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    default: int = getattr(Ports(), name)
    known = click.IntRange(1, 65535)
    return click.option(
        f"--{_option(name)}", type=known, default=default, show_default=True, help=f"Port of {_NAMES[name]}."
    )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the gateway; the rest is on loopback.")
@_port("port")
@_port("ops_port")
@_port("legacy_port")
@_port("upstreams_port")
@_port("mongodb_port")
@_port("frontend_port")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=ROOT / "routing.yaml",
    metavar="FILE",
    help="The routing file.  [default: routing.yaml of the project]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".data"),
    show_default=True,
    help="Directory for documents and logs.",
)
@click.option("--traffic", is_flag=True, help="Simulate a clinic's day in a minute, repeatedly.")
@click.option("--traffic-once", is_flag=True, help="Simulate one day only.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated days.")
@click.option(
    "--scenario", type=click.Choice(["bad-release"]), help="Play a scenario of a rollout, with its own routing file."
)
def command(
    host: str,
    config: Path,
    data: Path,
    traffic: bool,
    traffic_once: bool,
    seed: int,
    scenario: str | None,
    **ports: int,
) -> None:
    """Run everything on this machine: MongoDB, offline OpenAI and NHS, a Node legacy, the gateway, a frontend.

    Needs Node 20 or newer. MONGODB_URL replaces the demo's own MongoDB.
    """
    simulated = TrafficOptions(seed, once=traffic_once) if traffic or traffic_once else None
    story = Scenario(data) if scenario is not None else None
    sys.exit(run(Ports(**ports), host=host, config=config, data=data, traffic=simulated, scenario=story))
