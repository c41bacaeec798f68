"""The docs can be followed: named paths and links exist, and a forgotten page of docs/ is noticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from handlers.v1.app import route_methods
from proxy.cli.main import COMMANDS, SECTIONS

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:md|yaml|toml|py))`")
"""A path in backticks: a directory, or a file below one or of a known suffix."""
BASES = {"CONTRIBUTING.md": (ROOT,), "ARCHITECTURE.md": (ROOT, ROOT / "proxy")}
"""The directories that paths of a page are relative to."""
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [ROOT / name for name in ("deploy/README.md", "demo/legacy/README.md", "contracts/recordings/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
WRITTEN_BY_MAKE = {"requirements.lock"}


def named_paths(page: str) -> list[str]:
    return sorted(set(NAMED.findall((ROOT / page).read_text())) - WRITTEN_BY_MAKE)


@pytest.mark.parametrize("page", sorted(BASES))
def test_named_paths_exist(page: str) -> None:
    paths = named_paths(page)
    assert len(paths) > 5
    assert [path for path in paths if not any((base / path).exists() for base in BASES[page])] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_broken(page: Path, link: str) -> bool:
    """Return whether a relative link leads to no file, or to no heading of a page."""
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target))


def test_links_lead_to_headings_that_exist() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text()) if "://" not in link]
    assert len(links) > 50
    assert [(page.name, link) for page, link in links if is_broken(page, link)] == []


def heading_paths(page: Path) -> list[tuple[str, ...]]:
    """Return each heading of a page below the headings of the sections that contain it; blocks of code are left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    paths: list[tuple[str, ...]] = []
    for marks, title in re.findall(r"^(#+) (.+)$", text, flags=re.MULTILINE):
        above = paths[-1] if paths else ()
        paths.append((*above[: len(marks) - 1], title))
    return paths


def test_headings_are_unique_in_their_section() -> None:
    paths = {page: heading_paths(page) for page in PAGES}
    assert all(paths.values())
    repeated = {(page.name, path) for page, own in paths.items() for path in own if own.count(path) > 1}
    assert repeated == set()


def tables(page: Path) -> list[list[int]]:
    """Return the number of cells of each row, by table; blocks of code are left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    rows = re.findall(r"(?:^\|.*\n)+", text + "\n", flags=re.MULTILINE)
    return [[len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()] for table in rows]


def test_table_rows_have_as_many_cells_as_their_head() -> None:
    all_tables = [(page.name, table) for page in PAGES for table in tables(page)]
    assert len(all_tables) > 20
    assert [(name, table) for name, table in all_tables if len(set(table)) > 1] == []


def test_pages_are_all_linked() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in LINK.findall(page.read_text())
    }
    assert [page.name for page in PAGES if page.parent == ROOT / "docs" and page not in linked] == []


def test_each_kind_of_change_names_a_test_to_copy() -> None:
    sections = re.split(r"^## ", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    steps = {title: text for title, _, text in (section.partition("\n") for section in sections)}
    added = {title: text for title, text in steps.items() if title.startswith("Add ")}
    assert len(added) == 6
    for title, text in added.items():
        *_, last = re.findall(r"^\d+\. .*", text, flags=re.MULTILINE)
        assert re.match(r"\d+\. Tests? to copy: `tests/", last), title


def test_introductory_pages_are_short() -> None:
    lengths = {page: len((ROOT / page).read_text().splitlines()) for page in ("README.md", "ARCHITECTURE.md")}
    assert lengths["README.md"] <= 120
    assert lengths["ARCHITECTURE.md"] <= 70


def test_every_command_is_documented_and_in_a_section() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"`scribe-proxy {name}" not in page and f", `{name}" not in page] == []
    assert set(COMMANDS) - {name for names in SECTIONS.values() for name in names} == {"completion"}


def test_every_path_of_v1_is_documented() -> None:
    page = re.sub(r"\{\w+\}", "{}", (ROOT / "docs" / "api.md").read_text())
    paths = {re.sub(r"\{[^}]+\}", "{}", path) for path, _ in route_methods()}
    assert len(paths) > 10
    assert [path for path in paths if f" {path}`" not in page] == []
