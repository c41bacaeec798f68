"""Names and docstrings: no word that misleads a reader, one class for a class name, plain sentences."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
DROPPED = re.compile(
    r"adopts?|amid|anew|ask(s|ed|ing)?|aside|away|beside|busy|clamp(ed)?|found|heard?|keeps?|kept|lest|looks?|lose|lost"
    r"|noted?|patience|pauses|places?|pressure|rehears(al|ed?)|seen|stand(ing)?|tell(s|ing)?|told|trial|turn(ed)?"
    r"|uncompared|who|why"
)
"""Words with an exact term in the field: `report` for tell, `record` for note, `index` or `path` for place …"""
TERMS = re.compile(
    "keep_?alive|not_?found|keep_legacy|connection_lost|go(ing)?_away|keep_subprocess_alive", re.IGNORECASE
)
"""Terms of HTTP, WebSocket, asyncio and uvicorn, and the first words of environment variables."""
PRODUCT_WORDS = {"handlers": {"note"}, "proxy": set[str]()}
"""Words of the product: clinicians write notes."""
SUBORDINATE = re.compile(r"(?:^|[.;:?!]\s+)(What|Who|Whoever|Whether|That which)\b")
"""The beginning of a sentence without a subject."""
NOT_A_VERB = re.compile(
    "(A|All|An|Another|Any|As|Both|Each|Every|Everything|From|Half|How|In|It|Its|No|Nothing|One|The|This|Two|Until|With"
    "|Without) "
)
"""First words of a docstring that says what a function is, not what it does."""
FILES = sorted(path for package in ("proxy", "handlers") for path in (ROOT / package).rglob("*.py"))


def identifiers(tree: ast.AST) -> set[str]:
    """Return the names that a module gives: functions, classes, arguments, variables and attributes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


def words(identifier: str) -> list[str]:
    """Return the words of a snake_case, CamelCase or UPPER_CASE name, in lower case."""
    identifier = TERMS.sub("", identifier)
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)]


def dropped(path: Path) -> list[str]:
    allowed = PRODUCT_WORDS[path.relative_to(ROOT).parts[0]]
    return sorted(
        name
        for name in identifiers(ast.parse(path.read_text()))
        if any(DROPPED.fullmatch(word) and word not in allowed for word in words(name))
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("is_asked_for", ["is", "asked", "for"]),
        ("NoTrial", ["no", "trial"]),
        ("_PATIENCE", ["patience"]),
        ("keep_alive_timeout", ["timeout"]),
    ],
)
def test_a_name_is_split_into_its_words(name: str, expected: list[str]) -> None:
    assert words(name) == expected


def test_identifiers_use_no_dropped_word() -> None:
    found = {str(path.relative_to(ROOT)): dropped(path) for path in FILES}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize("package", ["proxy", "handlers"])
def test_class_names_are_unique_in_a_package(package: str) -> None:
    counts = Counter(
        node.name
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in counts.items() if count > 1} == set()


class Docstring(NamedTuple):
    """The text at a place; `function` is the name of its function, empty for a constant's or a property's."""

    place: str
    function: str
    text: str


@functools.cache
def docstrings(package: str) -> tuple[Docstring, ...]:
    """Return the docstrings of functions and constants of a package."""
    return tuple(_docstrings(package))


def _docstrings(package: str) -> Iterator[Docstring]:
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())) if "node_modules" not in path.parts else ():
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Docstring(place, "" if is_property(node) else node.name, ast.get_docstring(node) or "")
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                yield Docstring(place, "", str(node.value.value))


def is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return True for a function that is read as an attribute, whose docstring may be a noun phrase."""
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


@pytest.mark.parametrize("package", ["proxy", "handlers", "demo", "bench", "tests"])
def test_no_sentence_of_a_docstring_begins_with_what(package: str) -> None:
    assert [place for place, _, text in docstrings(package) if SUBORDINATE.search(text)] == []


@pytest.mark.parametrize("package", ["proxy", "handlers", "demo", "bench", "tests"])
def test_docstrings_of_functions_begin_with_a_verb(package: str) -> None:
    assert [place for place, name, text in docstrings(package) if name and NOT_A_VERB.match(text)] == []


def test_the_name_of_a_test_is_its_docstring() -> None:
    described = [place for place, name, text in docstrings("tests") if name.startswith("test_") and text]
    assert described == [], "a comment gives the reason that a name cannot"
