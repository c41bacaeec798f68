"""Paths that CONTRIBUTING.md and ARCHITECTURE.md name exist, so that their steps can be followed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:md|yaml|toml|py))`")
"""A path in backticks: a directory, or a file below one or of a known suffix."""
BASES = {"CONTRIBUTING.md": (ROOT,), "ARCHITECTURE.md": (ROOT, ROOT / "proxy")}
"""The directories that paths of a page are relative to."""
WRITTEN_BY_MAKE = {"requirements.lock"}


def named_paths(page: str) -> list[str]:
    return sorted(set(NAMED.findall((ROOT / page).read_text())) - WRITTEN_BY_MAKE)


@pytest.mark.parametrize("page", sorted(BASES))
def test_named_paths_exist(page: str) -> None:
    paths = named_paths(page)
    assert len(paths) > 5
    assert [path for path in paths if not any((base / path).exists() for base in BASES[page])] == []


def test_each_kind_of_change_names_a_test_to_copy() -> None:
    sections = re.split(r"^## ", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    steps = {title: text for title, _, text in (section.partition("\n") for section in sections)}
    added = {title: text for title, text in steps.items() if title.startswith("Add ")}
    assert len(added) == 6
    for title, text in added.items():
        *_, last = re.findall(r"^\d+\. .*", text, flags=re.MULTILINE)
        assert re.match(r"\d+\. Tests? to copy: `tests/", last), title


def test_pages_for_readers_in_a_hurry_are_short() -> None:
    lengths = {page: len((ROOT / page).read_text().splitlines()) for page in ("README.md", "ARCHITECTURE.md")}
    assert lengths["README.md"] <= 120
    assert lengths["ARCHITECTURE.md"] <= 70
