"""The times at which rollouts reach their stages, printed offline."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli.main import main

FILE = """\
legacy: {url: http://x}
native: a:b
routes:
  - {name: a, match: GET /a, guard: {}, rollout: {stages: [1%, 10%, 100%], bake_time: 7d, approve: true}}
  - {name: b, match: GET /b, native: 50%, guard: {}, rollout: {stages: [{share: 5%, bake_time: 12h}, 100%]}}
  - {name: c, match: GET /c, native: 5%}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "routing.yaml"
    file.write_text(FILE)
    return file


def schedule(file: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["schedule", str(file), *arguments])
    return result.exit_code, result.output


def test_stages_have_their_earliest_date(file: Path) -> None:
    code, output = schedule(file, "--from", "2026-12-01")
    assert code == 0
    lines = [line.split("  ") for line in output.splitlines() if "2026" in line]
    cells = [[part.strip() for part in line if part.strip()] for line in lines]
    assert cells == [
        ["a", "1%", "Tue 01 Dec 2026 00:00", "bake time 7d"],
        ["10%", "Tue 08 Dec 2026 00:00", "waits for `scribe-proxy promote`"],
        ["100%", "Tue 15 Dec 2026 00:00", "waits for `scribe-proxy promote`"],
        ["b", "5%", "Tue 01 Dec 2026 00:00", "bake time 12h"],
        ["100%", "Tue 01 Dec 2026 12:00", "`native` limits it to 50%"],
    ]


def test_group_has_one_schedule(file: Path) -> None:
    file.write_text("""\
legacy: {url: http://x}
native: a:b
groups: {notes: {guard: {}, rollout: {stages: [1%, 100%]}}}
routes:
  - {name: notes.pinned, match: GET /p, group: notes, pin: legacy}
  - {name: notes.list, match: GET /n, group: notes}
  - {name: notes.create, match: POST /n, group: notes}
""")
    output = schedule(file)[1]
    assert ([line.split()[:3] for line in output.splitlines() if "1% " in line], output.count("100%")) == (
        [["notes", "(3)", "1%"]],
        1,
    )
    assert "notes.list" in schedule(file, "--route", "notes.list")[1]
    listed = json.loads(schedule(file, "--json")[1])
    assert {each["route"] for each in listed} == {"notes.pinned", "notes.list", "notes.create"}


def test_stages_show_their_own_bake_times(file: Path) -> None:
    file.write_text(FILE.replace("stages: [1%, 10%, 100%]", "stages: [1%, {share: 10%, bake_time: 2d}, 50%, 100%]"))
    _, output = schedule(file, "--route", "a", "--from", "2026-12-01")
    notes = [line.partition(":00")[2].strip() for line in output.splitlines() if "2026" in line]
    approval = "waits for `scribe-proxy promote`"
    assert notes == ["bake time 7d", f"{approval}, bake time 2d", approval, approval]


def test_json_starts_at_the_present_stage_of_one_route(file: Path) -> None:
    code, output = schedule(file, "--route", "b", "--json")
    stages = json.loads(output)
    assert code == 0
    assert [(each["route"], each["stage"]) for each in stages] == [("b", 5.0), ("b", 100.0)]
    first, second = (datetime.fromisoformat(each["at"]) for each in stages)
    assert second - first == timedelta(hours=12)
    assert abs(first.timestamp() - datetime.now(UTC).timestamp()) < 60


def test_route_without_a_rollout_has_no_schedule(file: Path) -> None:
    assert schedule(file, "--route", "c") == (0, "No route has a rollout.\n")
    assert schedule(file, "--route", "d") == (1, "Error: there is no route d\n")
