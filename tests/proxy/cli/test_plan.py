"""`scribe-proxy plan`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli.main import main

HEAD = "legacy: {url: http://x}\nnative: a:b\n"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.yaml"
    path.write_text(
        HEAD + "routes:\n- {name: a, match: GET /a, native: 25%}\n- {name: b, match: GET /b, native: 50%}\n"
    )
    return path


def plan(old: Path, new: str, *options: str, env: dict[str, str] | None = None) -> Result:
    path = old.with_name("new.yaml")
    path.write_text(new)
    return CliRunner(env=env).invoke(main, ["plan", str(old), str(path), *options])


def test_unchanged_routes_are_reported(old: Path) -> None:
    result = plan(old, old.read_text())
    assert (result.exit_code, result.output) == (0, "No route changes.\n")


def test_table_shows_moves_by_route(old: Path) -> None:
    new = old.read_text().replace("25%", "40%").replace("50%", "12.5%").replace("http://x", "http://y")
    result = plan(old, new)
    assert result.exit_code == 2
    rows = [line.split() for line in result.output.splitlines()]
    assert ["a", "GET", "/a", "25%", "→", "40%", "15%", "-"] in rows
    assert ["b", "GET", "/b", "50%", "→", "12.5%", "-", "37.5%"] in rows
    assert "legacy.url: http://x → http://y" in result.output
    assert "Routes changed: 2, of which 2 move callers." in result.output


@pytest.mark.parametrize("charset", ["ascii", "latin-1", "koi8-r", "utf-8"])
def test_locale_without_arrows_gets_substitutes(old: Path, charset: str) -> None:
    new = old.with_name("new.yaml")
    new.write_text(old.read_text().replace("25%", "40%"))
    result = CliRunner(charset=charset).invoke(main, ["plan", str(old), str(new)])
    assert result.exit_code == 2, result.output
    assert ("25% → 40%" if charset == "utf-8" else "25% -> 40%") in result.output


def test_redrawn_buckets_have_expected_moves(old: Path) -> None:
    result = plan(old, old.read_text() + "bucketing: {salt: other}\n")
    assert "≈18.75%" in result.output
    assert "New buckets are drawn (salt changed): callers of both backends are reassigned." in result.output


def test_added_and_removed_routes_are_marked(old: Path) -> None:
    result = plan(old, old.read_text().replace("name: b, match: GET /b", "name: c, match: GET /c"))
    assert "+ c" in result.output
    assert "- b" in result.output
    assert "now taken by no route (legacy)" in result.output


def test_machines_get_json_in_percent(old: Path) -> None:
    changes = json.loads(plan(old, old.read_text().replace("25%", "40%"), "--json").output)
    assert [(each["name"], each["before"], each["after"], each["to_native"]) for each in changes["routes"]] == [
        ("a", 25.0, 40.0, 15.0)
    ]
    assert changes["settings"] == []


def test_invalid_file_is_reported_with_its_problems(old: Path) -> None:
    result = plan(old, "legacy: {}\n")
    assert result.exit_code == 1
    assert result.stderr.endswith("new.yaml:1:1: legacy.url: is missing\n    1 | legacy: {}\n        ^\n")


def test_environment_pin_is_ignored(old: Path) -> None:
    result = plan(old, old.read_text().replace("25%", "40%"), env={"SCRIBE_PROXY_PIN": "legacy"})
    assert "15%" in result.output


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("native: 25%", "native: 26%", 2),
        ("native: 25%", "native: 24%", 2),
        ("native: 25%", "native: 25%, timeouts: {response: 9s}", 0),
        ("name: a", "name: renamed", 2),
        ("native: 25%", "native: {share: 25%, include: {client-ip: 192.0.2.1}}", 2),
        ("native: 25%", "native: {share: 25%, exclude: {client-ip: 192.0.2.1}}", 2),
        ("match: GET /b, native: 50%", "match: GET /b, native: 50%}\n- {name: c, match: GET /c", 0),
    ],
)
def test_exit_code_is_2_where_callers_move(old: Path, before: str, after: str, code: int) -> None:
    new = old.read_text().replace(before, after)
    assert plan(old, new).exit_code == code
    assert plan(old, new, "--json").exit_code == code


UNSET = "limits: {memory: '${UNSET_SIZE}'}\nnotify: {url: '${UNSET_URL}'}\n"


def test_plan_needs_no_variables_of_other_sections(old: Path) -> None:
    text = old.read_text().replace("native: a:b", "native: ${UNSET_APP}").replace("http://x", "'${UNSET_LEGACY}'")
    old.write_text(text + UNSET)
    result = plan(old, text.replace("25%", "40%") + UNSET + "served_by: false\n")
    assert result.exit_code == 2
    assert "Routes changed: 1, of which 1 moves callers." in result.stdout
    assert "served_by: true → false" in result.stdout
    assert "limits" not in result.stdout
    unset = "Not compared, because a variable of the environment is not set: legacy, limits, native, notify\n"
    assert result.stderr == unset
    assert json.loads(plan(old, text + UNSET, "--json").stdout)["not_compared"] == [
        "legacy", "limits", "native", "notify",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change", [("native: 25%", "native: '${UNSET}'"), ("routes:", "bucketing: {salt: '${UNSET}'}\nroutes:")]
)
def test_plan_needs_the_variables_of_shares_and_buckets(old: Path, change: tuple[str, str]) -> None:
    result = plan(old, old.read_text().replace(*change))
    assert result.exit_code == 1
    assert "the environment variable UNSET is not set" in result.stderr
