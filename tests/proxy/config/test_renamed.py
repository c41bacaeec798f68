"""Former keys and values of routing.yaml: `check` names the present one, with the line of the former."""

from __future__ import annotations

import re

import pytest

from proxy.config import renamed
from proxy.config.error_messages import all_keys, meant_by
from proxy.config.loading import parse
from proxy.config.problems import ConfigError


def file_with(dotted: str, value: str) -> tuple[str, int]:
    """Return a file that has a value at a dotted path, and the line of that path's last key."""
    section, *below = dotted.split(".")
    lines = ["legacy: {url: http://x}", "native: a:b"]
    if section == "routes":
        lines += ["routes:", "  - name: a", "    match: POST /a"]
    else:
        below = [section, *below]
    indent = 4 if section == "routes" else 0
    for depth, key in enumerate(below):
        lines.append(f"{' ' * (indent + 2 * depth)}{key}:{f' {value}' if depth == len(below) - 1 else ''}")
    return "\n".join(lines), len(lines)


def problems(text: str) -> list[str]:
    """Return the problems of a text, as `line: where: message`."""
    with pytest.raises(ConfigError) as caught:
        parse(text, {}, "f")
    return [problem.located("f").removeprefix("f:") for problem in caught.value.problems]


RENAMED_KEYS = [row for row in renamed.KEYS.items() if row[0] not in all_keys()]


@pytest.mark.parametrize("old", renamed.KEYS)
def test_renamed_key_exists_under_one_name(old: str) -> None:
    assert (old in all_keys()) != (renamed.KEYS[old] in all_keys())


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS)
def test_old_key_is_reported_with_its_line_and_new_name(old: str, new: str) -> None:
    text, line = file_with(old, "1")
    said = [problem for problem in problems(text) if problem.startswith(f"{line}: ")]
    assert [problem for problem in said if problem.endswith(f": renamed to `{new}`")], problems(text)


@pytest.mark.parametrize(("at", "old"), renamed.VALUES)
def test_old_value_is_reported_with_its_line_and_new_name(at: str, old: str) -> None:
    new = renamed.VALUES[at, old]
    text, line = file_with(at, old)
    if not accepts(file_with(at, new)[0]):
        assert accepts(text), "either the old or the new value is known"
        return
    assert any(re.match(rf"{line}: .*: renamed to `{new}`, not '{old}'$", problem) for problem in problems(text))


@pytest.mark.parametrize("section", ["defaults", "groups.g"])
def test_old_names_in_inherited_settings_are_reported(section: str) -> None:
    at = section.replace(".", ": {") + ": {rollout: {hold: 1h}, shadow: {writes: rehearse}}" + "}" * section.count(".")
    reported = problems(f"legacy: {{url: http://x}}\nnative: a:b\n{at}\n")
    assert f"3: {section}.rollout.hold: renamed to `{section}.rollout.bake_time`" in reported
    assert f"3: {section}.shadow.writes: renamed to `dry_run`, not 'rehearse'" in reported


def accepts(text: str) -> bool:
    """Return whether a text is a sound file."""
    try:
        parse(text, {}, "f")
    except ConfigError:
        return False
    return True


def test_renamed_key_message_does_not_depend_on_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(renamed.KEYS, "bucketing.pepper", "bucketing.salt")
    monkeypatch.setitem(renamed.KEYS, "bucketing.crumb", "overrides.secret")
    text = "legacy: {url: http://x}\nbucketing:\n  pepper: x\n  crumb: y\n"
    assert problems(text) == [
        "3: bucketing.pepper: renamed to `bucketing.salt`",
        "4: bucketing.crumb: renamed to `overrides.secret`",
    ]
    assert meant_by(("bucketing", "pepper")) == ("bucketing", "salt")
    assert meant_by(("bucketing", "crumb")) is None
