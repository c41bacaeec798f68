"""`scribe-proxy status` reads a running gateway."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from demo.ports import free_port
from proxy.cli.main import main
from proxy.cli.ops_client import ops_client
from proxy.cli.status import listed, refresh
from proxy.ops.board.lines import GroupLine, NeededEvidence, NextStep
from tests.support.command_line import PROGRAM
from tests.support.gateway_process import get, legacy, process
from tests.support.sockets import read_head, scripted
from tests.support.waiting import HANG_TIMEOUT

ROUTES = """\
legacy: {{url: http://127.0.0.1:{port}}}
native: tests.support.gateway_process:native
mongodb: {{url: ""}}
access_log: false
routes:
  - {{name: moved, match: GET /moved, native: 100%, guard: {{minimum: 5}}}}
  - {{name: staged, match: GET /staged, guard: {{}}, rollout: {{stages: [1%, 50%], bake_time: 7d}}}}
  - {{name: pair.one, match: GET /one, group: pair}}
  - {{name: pair.two, match: GET /two, group: pair}}
  - {{name: rest, match: "* /*"}}
"""


async def fail(request: object) -> PlainTextResponse:
    return PlainTextResponse("no", 503)


sick = Starlette(routes=[Route("/{rest:path}", fail)])


def run(ops: int, *arguments: str, token: str = "", command: str = "status") -> Result:
    line = [command, "--ops-url", f"http://127.0.0.1:{ops}", *arguments]
    return CliRunner().invoke(main, line, env={"OPS_TOKEN": token, "COLUMNS": "160"})


async def test_board_route_and_history_are_printed(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    async with scripted(legacy) as port:
        file.write_text(ROUTES.format(port=port))
        async with process(file) as (public, ops):
            for path in ("/moved", "/moved", "/elsewhere"):
                await get(public, path)
            board = await asyncio.to_thread(run, ops)
            while "50% in" not in board.stdout:  # its rollout begins in a moment
                board = await asyncio.to_thread(run, ops)
            data = await asyncio.to_thread(run, ops, "--json")
            route = await asyncio.to_thread(run, ops, "moved")
            group = await asyncio.to_thread(run, ops, "pair")
            failing = await asyncio.to_thread(run, ops, "--failing")
            missing = [await asyncio.to_thread(run, ops, "mooved", command=name) for name in ("status", "history")]
            changes = await asyncio.to_thread(run, ops, command="history")
            old = await asyncio.to_thread(run, ops, "staged", "--kind", "start", "--json", command="history")
    assert board.exit_code == 0, board.output
    lines = {line.split()[0]: line for line in board.stdout.splitlines() if line.strip()}
    assert "1 of 5 routes" in board.stdout
    assert "no MongoDB: shares belong to this gateway only" in board.stdout
    assert "done" in lines["moved"]
    assert re.search("rolling out +1% +50% in (7 d|6 d 23 h)", lines["staged"])
    assert {line["name"]: line["share"] for line in json.loads(data.stdout)["groups"]} == {
        "moved": 100.0,
        "staged": 1.0,
        "pair": 0.0,
        "rest": 0.0,
    }
    assert re.search("native +2 ", route.stdout)
    assert "the file's share" in route.stdout
    assert group.stdout.startswith("pair · 2 routes with one share\n")
    assert re.search("pair.one native .*pair.two legacy ", group.stdout, re.DOTALL)
    assert (failing.exit_code, "staged" in failing.stdout) == (0, False)
    said = "Error: routing.yaml has no route or group mooved; did you mean moved?\n"
    assert [(each.exit_code, each.stderr) for each in missing] == [(2, said)] * 2
    assert re.search("rollout started +staged +0% → 1% +schedule", changes.stdout)
    assert [change["after"] for change in json.loads(old.stdout)["changes"]] == [1.0]


async def test_problems_are_printed_above_the_routes(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    text = ROUTES.format(port=free_port()).replace("tests.support.gateway_process:native", f"{__name__}:sick")
    file.write_text(text + "health: {interval: 20ms, failures: 1}\n")
    async with process(file) as (public, ops):
        for _ in range(5):
            await get(public, "/elsewhere")
        file.write_text("routes: 5")
        output = ""
        texts = (
            "routing.yaml is refused",
            "Legacy is unreachable",
            "Native fails its health checks",
        )
        async with asyncio.timeout(HANG_TIMEOUT):
            while not all(text in output for text in texts):
                output = (await asyncio.to_thread(run, ops)).stdout


def test_watch_survives_an_absence(capsys: pytest.CaptureFixture[str]) -> None:
    remaining = iter(range(2))

    def pause(seconds: float) -> None:
        if next(remaining, None) is None:
            raise KeyboardInterrupt

    with ops_client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(KeyboardInterrupt):
        refresh(client, None, failing=False, pause=pause)
    assert capsys.readouterr().out.count("cannot be reached") == 3


INTERRUPTIBLE = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Run a program that heeds SIGINT, although the tests may run in the background of a shell, where it is ignored."""


async def test_watch_ends_when_interrupted() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", INTERRUPTIBLE),
        *(PROGRAM, "status", "--watch", "--ops-url", f"http://127.0.0.1:{free_port()}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    async with asyncio.timeout(HANG_TIMEOUT):
        await process.stdout.readuntil(b"reached")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130


async def answering(status: str, body: str) -> tuple[int, str]:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    async with scripted(script) as port:
        result = await asyncio.to_thread(run, port)
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("status", "body", "code", "text"),
    [
        ("401 Unauthorized", "", 2, "requires a token: set OPS_TOKEN"),
        ("500 No", "", 1, "answered 500"),
        ("404 No", "", 2, "is not the ops listener of a gateway; --ops-url or OPS_URL names another address"),
        ("200 OK", "{}", 1, "is not an ops listener of this version"),
    ],
)
async def test_other_answers_are_reported_in_one_line(status: str, body: str, code: int, text: str) -> None:
    exit_code, output = await answering(status, body)
    assert exit_code == code
    assert text in output


async def test_token_of_the_environment_is_sent() -> None:
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    async with scripted(script) as port:
        result = await asyncio.to_thread(lambda: run(port, token="abc"))
    assert "accepts another token than the one in OPS_TOKEN" in result.stderr
    assert b"authorization: Bearer abc" in heads[0].replace(b"Authorization", b"authorization")


def test_unreachable_gateway_is_reported() -> None:
    result = run(free_port())
    assert result.exit_code == 2
    assert "cannot be reached: Connection refused; is a gateway running? --ops-url or OPS_URL" in result.stderr


def test_narrow_terminal_has_a_paragraph_for_each_group() -> None:
    step = NextStep("50%", 60.0, "too little evidence", needed=(NeededEvidence("requests", 7, 100),))
    line = GroupLine("consultations", ("a", "b"), "rolling out", 10.0, 50.0, step, 7, 0, 0, 0, 0, None, None)
    out = Console(width=40, file=io.StringIO())
    out.print(*listed([line], out.width))
    assert out.file.getvalue().split("\n") == [  # type: ignore[attr-defined]
        "",
        "consultations (2) · rolling out · 10%",
        "  next: 50% in 1 min",
        "  too little evidence; 7 of 100 requests",
        "",
    ]
