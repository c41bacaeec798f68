"""Every command in README and docs works as written, after the line that the demo prints was pasted.

Shell blocks run against a demo on free ports, command by command. Commands that need a container engine or a cluster,
and those within sentences, are compared with the Makefile and the command line's options instead. The last test kills a
server of the demo, which ends it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import httpx
import pytest
import yaml
from pymongo import MongoClient

from demo.ports import free_port, is_free, owner
from demo.services import ROOT
from demo.stack import Ports
from demo.stack import command as demo_command
from proxy.cli.main import main
from proxy.config.loading import parse
from proxy.config.quantities import FULL
from tests.support.shipped import ROUTING
from tests.support.waiting import HANG_TIMEOUT

DOCS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
OTHERS = (ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", ROOT / "deploy" / "README.md")
SCRIBES = [page for page in DOCS if page.name != "another-service.md"]
"""Pages whose commands run against the demo; `test_another_service` runs those of the other one."""
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
NOT_RUN = ("make ", "docker ", "kubectl ", ".ci/run")
"""Commands of which only options and names are checked: a container engine and a cluster are not available."""
WRONG_USE = re.compile("No such|Missing|unexpected|Invalid value|not found")
ENDLESS = "--watch"
CODES = {"--sample": {0, 1, 2}, "--revision": {0, 2}, "--max-mismatch": {0, 1, 2}, "scribe-proxy plan": {0, 2}}
"""Exit codes of commands for samples and comparisons that a demo of a minute does not have; all others exit with 0."""


@dataclass(frozen=True)
class Block:
    """A shell block and its position."""

    where: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Yield commands in order, each with its continued lines and without comments."""
        joined = re.sub(r"\\\n\s*|(?<=\$)\(([^()]*)\n", " ", re.sub(r"\s+#\s.*$", "", self.text, flags=re.MULTILINE))
        return [line.strip() for line in joined.splitlines() if line.strip()]


def blocks(*files: Path) -> list[Block]:
    shell_blocks = []
    for file in files:
        text = file.read_text()
        for fence in FENCE.finditer(text):
            if fence[1] == "sh":
                line = text[: fence.start()].count("\n") + 1
                shell_blocks.append(Block(f"{file.relative_to(ROOT)}:{line}", fence[2]))
    return shell_blocks


def inline() -> Iterator[tuple[str, str]]:
    """Return the commands in sentences and tables, with their positions."""
    for file in (*DOCS, *OTHERS):
        for quoted in re.findall(r"`([^`\n]+)`", FENCE.sub("", file.read_text())):
            if quoted.startswith(("scribe-proxy ", "make ")):
                yield str(file.relative_to(ROOT)), quoted


def test_code_blocks_name_their_language() -> None:
    for file in (*DOCS, *OTHERS):
        assert "" not in {fence[1] for fence in FENCE.finditer(file.read_text())}, file
    assert len(blocks(*DOCS)) >= 9


@pytest.mark.parametrize("block", blocks(*DOCS, *OTHERS), ids=lambda block: block.where)
def test_shell_block_is_valid_shell(block: Block) -> None:
    process = subprocess.run(["bash", "-n", "-c", block.text], text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr


def named() -> list[tuple[str, str]]:
    """Return every command that the docs name."""
    within = [(block.where, line) for block in blocks(*DOCS, *OTHERS) for line in block.commands]
    return list(dict.fromkeys((*within, *inline())))


def test_make_targets_in_the_docs_exist() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [case for case in named() if case[1].startswith("make ")]
    assert lines
    for where, line in lines:
        _, *arguments = shlex.split(line)
        assert {argument for argument in arguments if "=" not in argument} <= known, f"{where}: {line}"
        for argument in arguments:
            if argument.startswith("ARGS="):
                demo_command.make_context("demo", shlex.split(argument.removeprefix("ARGS=")))


def test_options_of_scribe_proxy_exist() -> None:
    lines = [case for case in named() if "scribe-proxy " in case[1]]
    assert lines
    for where, line in lines:
        for part in re.findall(r"scribe-proxy (\S[^;|&]*)", line):
            words = [word.strip("[]…") for word in shlex.split(part.replace("…", ""))]
            if re.fullmatch(r"[a-z]+,?", words[0] if words else ""):
                assert_options_exist(words, f"{where}: {line}")


def assert_options_exist(words: list[str], where: str) -> None:
    command: click.Command | None = main
    context = click.Context(main)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        for name in (one for one in words.pop(0).rstrip(",").split("|") if one):
            subcommand = command.get_command(context, name)
            assert subcommand is not None, f"{where}: {name} does not exist"
        command = subcommand
    assert command is not None
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.partition("=")[0].rstrip(",") for word in words if word.startswith("-") and word != "-"}
    assert options <= known | {"-h", "--help"}, where


@pytest.mark.parametrize("file", ["README.md", "demo/stack.py"])
def test_proposed_edit_of_routing_yaml_is_valid(file: str) -> None:
    text = (ROOT / file).read_text().replace("{{", "{").replace("}}", "}")
    ((old, new),) = re.findall(r"change `([^`]+)` to `([^`]+)`", text)
    shipped = ROUTING.read_text()
    assert shipped.count(old) == 1
    group = old.partition(":")[0]
    config = parse(shipped.replace(old, new), {})
    assert {route.native for route in config.routes if route.group == group} == {FULL}


def test_deployment_commands_name_existing_files() -> None:
    (block,) = blocks(ROOT / "deploy" / "README.md")
    assert (ROOT / re.findall(r"apply -k (\S+)", block.text)[0] / "kustomization.yaml").is_file()
    known = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    secrets = re.findall(r"--from-literal=([A-Z_]+)=", block.text)
    assert secrets
    assert set(secrets) <= set(known)


@dataclass(frozen=True)
class Demo:
    """A running demo: the reader's directory, its ports, the line that it printed, its process and all its output."""

    directory: Path
    ports: Ports
    line: str
    process: subprocess.Popen[bytes]
    output: Path

    def run(self, text: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a text of the docs in a new shell, with the default ports replaced by this demo's."""
        for name in ("port", "ops_port", "legacy_port", "upstreams_port", "frontend_port"):
            text = text.replace(f":{getattr(Ports(), name)}", f":{getattr(self.ports, name)}")
        return subprocess.run(
            ["timeout", "--kill-after=5", str(seconds), "bash", "-c", f"{self.line}\n{text}"],
            cwd=self.directory,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "NO_PROXY": "localhost,127.0.0.1",
                "LC_ALL": "C.UTF-8",
                "USER": "reader",
            },
            text=True,
            capture_output=True,
            check=False,
        )


def shortened(line: str) -> str:
    """Return a capture that lasts seconds, with callers at the same time; return any other command unchanged."""
    calls = "(for each in {1..20}; do curl -s localhost:8000/api/prompts; sleep 0.4; done >calls) &\n"
    return calls + line.replace("--for 10m", "--for 8s") if "--for 10m" in line else line


def set_group(file: Path, **settings: str) -> None:
    """Write a routing file whose group of prompts has other settings."""
    config = yaml.safe_load(ROUTING.read_text())
    config["groups"]["prompts"].update(settings)
    config["shadow"] = {"max_cpu_wait": "100%"}  # however busy the machine is
    file.write_text(yaml.safe_dump(config, sort_keys=False))


def is_compared(demo: Demo) -> bool:
    """Request a list of prompts, and return whether such a list has been compared."""
    token = re.findall(r"OPS_TOKEN=(\S+)", demo.line)[0]
    with httpx.Client(trust_env=False, verify=False, timeout=HANG_TIMEOUT) as client:
        client.get(f"http://127.0.0.1:{demo.ports.port}/api/prompts")
        metrics = client.get(
            f"http://127.0.0.1:{demo.ports.ops_port}/metrics", headers={"authorization": f"Bearer {token}"}
        ).raise_for_status()
    return re.search('^scribe_proxy_comparisons_total{.*route="prompts.list".* [1-9]', metrics.text, re.M) is not None


@pytest.fixture(scope="module")
def demo(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Start the demo for a reader in a copy of the project's files; a list of prompts has been compared."""
    directory = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "contracts", directory / "contracts")
    set_group(directory / "routing.yaml", shadow="100%")
    ports = Ports(*(free_port() for _ in range(6)))
    options = [f"--{name.replace('_', '-')}={port}" for name, port in asdict(ports).items()]
    command = [
        sys.executable,
        "-c",
        "from proxy.cli.main import main; main()",
        "demo",
        "--config=routing.yaml",
        *options,
    ]
    env = {**os.environ, "MONGODB_URL": mongodb_url, "PYTHONPATH": str(ROOT)}
    output = directory.parent / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=directory, stdout=file, stderr=subprocess.STDOUT, env=env)
    try:
        deadline = time.monotonic() + 500
        while "Ctrl-C stops everything" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        (line,) = (line for line in output.read_text().splitlines() if line.startswith("export "))
        demo = Demo(directory, ports, line, process, output)
        while not is_compared(demo):
            assert time.monotonic() < deadline, "nothing is compared"
            time.sleep(0.3)
        while demo.run("scribe-proxy report --route prompts.list").returncode:
            assert time.monotonic() < deadline, "the comparison is not reported"
        yield demo
    finally:
        process.terminate()
        process.wait(60)


def runnable_blocks() -> Iterator[object]:
    """Yield blocks to be run; those of the README always, as options and names of all are compared above."""
    for block in blocks(*SCRIBES):
        if not any(line.startswith(NOT_RUN) for line in block.commands):
            marks = () if block.where.startswith("README") else pytest.mark.slow
            yield pytest.param(block, id=block.where, marks=marks)


@pytest.mark.parametrize("block", list(runnable_blocks()))
def test_shell_block_runs_against_the_demo(demo: Demo, block: Block) -> None:
    if all(line.startswith(("curl", "token=")) for line in block.commands):
        process = demo.run(f"set -e\n{block.text.replace('curl ', 'curl --fail ')}")
        assert process.returncode == 0, process.stderr
        return
    for line in block.commands:
        process = demo.run(shortened(line), 8 if ENDLESS in line else 300)
        assert not WRONG_USE.search(process.stderr), f"{line}: {process.stderr}"
        assert "Traceback" not in process.stderr, f"{line}: {process.stderr}"
        expected = {124} if ENDLESS in line else next((codes for part, codes in CODES.items() if part in line), {0})
        assert process.returncode in expected, f"{line}: {process.returncode} {process.stdout} {process.stderr}"


def test_steps_of_the_runbook_work_with_the_pasted_line(demo: Demo) -> None:
    set_group(demo.directory / "routing.yaml", native="5%")
    process = demo.run('scribe-proxy rollback prompts.list --why "a look"')
    assert process.returncode == 0, process.stderr
    process = demo.run('scribe-proxy ack prompts.list --why "seen"')
    assert process.returncode == 0, process.stderr
    history = demo.run('curl -sf -H "authorization: Bearer $OPS_TOKEN" localhost:8001/history.json')
    assert "a look" in history.stdout


def test_dead_server_is_named_and_stops_the_demo(demo: Demo, mongodb_url: str) -> None:
    assert not (demo.directory / ".data" / "mongod").exists()
    listener = re.search(r"pid (\d+)", owner(demo.ports.upstreams_port) or "")
    assert listener is not None
    os.kill(int(listener[1]), signal.SIGKILL)
    assert demo.process.wait(HANG_TIMEOUT) == 1
    assert "cannot run: offline OpenAI and NHS ended with code -9" in demo.output.read_text()
    assert all(is_free(port) for port in asdict(demo.ports).values())
    with MongoClient[dict[str, object]](mongodb_url) as client:
        assert client.admin.command("ping")["ok"] == 1
