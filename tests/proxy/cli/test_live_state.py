"""`scribe-proxy explain --live`: the stage and the cap of a running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli.main import main
from tests.support.gateway_process import legacy, process
from tests.support.sockets import read_head, scripted

ROUTES = """\
legacy: {{url: http://127.0.0.1:{port}}}
native: tests.support.gateway_process:native
bucketing: {{key: header:x-caller}}
mongodb: {{url: ""}}
access_log: false
routes:
  - {{name: moved, match: GET /moved, native: 50%}}
  - {{name: staged, match: GET /staged, rollout: {{stages: [1%, 50%], bake_time: 7d, start_at: 50%}}}}
"""


def explain(file: Path, ops: int, path: str, *arguments: str) -> Result:
    command = ["explain", "GET", path, "--live", "--ops-url", f"http://127.0.0.1:{ops}", "--config", str(file)]
    return CliRunner().invoke(main, [*command, *arguments], env={"OPS_TOKEN": "t"})


async def test_stage_and_the_cap_are_those_of_a_running_gateway(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"

    async def explain_json(ops: int, path: str) -> dict[str, Any]:
        result = await asyncio.to_thread(explain, file, ops, path, "--json", "--header", "X-Caller: amara")
        assert result.exit_code == 0, result.output
        explanation: dict[str, Any] = json.loads(result.stdout)
        return explanation

    async with scripted(legacy) as port:
        file.write_text(ROUTES.format(port=port))
        async with process(file) as (_, ops):
            moved, staged, nowhere = [await explain_json(ops, path) for path in ("/moved", "/staged", "/nowhere")]
            file.with_name("other.yaml").write_text(ROUTES.format(port=port).replace("name: moved", "name: gone"))
            other = await asyncio.to_thread(explain, file.with_name("other.yaml"), ops, "/moved")
    assert (moved["live"], moved["reason"]) == ("the file's share", "share")
    assert (staged["stage"], staged["native"]) == ("50%", "100%")
    assert (nowhere["reason"], nowhere["live"]) == ("no-route", "no route")
    assert moved["live_revision"] == moved["revision"]
    assert (other.exit_code, "has no route gone" in other.stderr) == (2, True)


CAPPED = {
    "status": {"revision": "abc"},
    "routes": [
        {
            "name": "moved",
            "by": "cap",
            "reason": "limited to 0% by guard: errors",
            "progress": None,
            "cap": {"share": 0},
        },
        {"name": "staged", "by": "stage", "reason": "the rollout is at 1%", "progress": {"stage": 1.0}, "cap": None},
    ],
}


async def answered(file: Path, status: str, body: str, path: str = "/moved") -> Result:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"authorization: bearer t" in (await read_head(reader)).lower()
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    async with scripted(script) as port:
        return await asyncio.to_thread(explain, file, port, path, "--header", "X-Caller: amara")


async def test_cap_and_other_revision_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(ROUTES.format(port=1).replace("50%}", "100%}", 1))
    output = (await answered(file, "200 OK", json.dumps(CAPPED))).output
    assert "cap: limited to 0% by guard: errors" in output
    assert "the gateway runs revision abc, not this file" in output
    staged = (await answered(file, "200 OK", json.dumps(CAPPED), "/staged")).output
    assert "1%" in next(line for line in staged.splitlines() if line.startswith("stage"))


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        ("401 Unauthorized", "", "accepts another token than the one in OPS_TOKEN"),
        ("500 No", "", "answered 500"),
        ("200 OK", "<html>", "is not an ops listener of this version"),
    ],
)
async def test_unusable_answer_is_reported_in_one_line(tmp_path: Path, status: str, body: str, text: str) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(ROUTES.format(port=1))
    result = await answered(file, status, body)
    assert (result.exit_code, text in result.stderr) == (2 if status.startswith("401") else 1, True)
