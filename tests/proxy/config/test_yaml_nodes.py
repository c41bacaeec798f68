"""YAML read with line numbers, within limits for any text."""

from __future__ import annotations

import contextlib
import sys
from types import FrameType

import pytest

from proxy.config.problems import ConfigError
from proxy.config.yaml_nodes import MAX_DEPTH, Mapping, Scalar, Sequence, read


def refusal(text: str) -> tuple[int, str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    (problem,) = caught.value.problems
    return problem.line, problem.message


def test_nodes_have_lines_and_scalars_are_text() -> None:
    root, duplicates = read("a: no\nb:\n  - 1:30\n  - 2026-01-01\nc: ~\nd: '~'\n")
    assert root == Mapping(
        1,
        {
            "a": (1, Scalar(1, "no")),
            "b": (2, Sequence(3, [Scalar(3, "1:30"), Scalar(4, "2026-01-01")])),
            "c": (5, Scalar(5, None)),
            "d": (6, Scalar(6, "~")),
        },
    )
    assert duplicates == ()


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_empty_text_has_no_node(text: str) -> None:
    assert read(text) == (None, ())


def test_alias_resolves_to_its_anchor() -> None:
    root, _ = read("x: &x {a: 1}\ny: *x\n")
    assert isinstance(root, Mapping)
    assert root.entries["y"][1] == root.entries["x"][1]


def test_duplicate_keys_are_reported_with_both_lines() -> None:
    _, duplicates = read("a: 1\nb: {c: 1,\n  c: 2}\na: 3\na: 4\n")
    assert [(problem.line, problem.where, problem.message) for problem in duplicates] == [
        (3, "c", "already given on line 2"),
        (4, "a", "already given on line 1"),
        (5, "a", "already given on line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("a:\n\tb: 1\n\tc: 1\n", 2, "indented with a tab; YAML wants spaces (and 1 more lines below)"),
        ("a: [1,\n", 1, "not YAML: did not find expected"),
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("a: 'open\n\nb: 1\n", 3, "(while scanning a quoted scalar that begins on line 1)"),
        ("a: \x07\n", 1, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: 1\nb: *c\n", 2, "the alias *c has no anchor"),
        ("a: &a [*a]\n", 1, "the alias *a has no anchor"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "the tag tag:yaml.org,2002:python/object:os.system"),
        ("a: 1\n? [b]\n: 1\n", 2, "a key must be plain text"),
    ],
)
def test_other_documents_are_refused_with_their_line(text: str, line: int, complaint: str) -> None:
    at, message = refusal(text)
    assert at == line
    assert complaint in message


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 500_000,
        "a:\n" + "- " * 400_000,
        "a: " + "{b: " * 200_000,
        "a: &a0 [x]\n" + "".join(f"b{n}: &a{n + 1} [*a{n}]\n" for n in range(MAX_DEPTH + 1)),
    ],
    ids=["flow", "block", "mapping", "by aliases"],
)
def test_nesting_is_bounded(text: str) -> None:
    assert "nested more than 20 levels" in refusal(text)[1]
    assert calls_of_reading(text) < 2 * MAX_DEPTH**2, "it is read up to the limit only"


def test_aliases_cannot_multiply() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9)
    )
    line, message = refusal(bomb)
    assert line == 5
    assert "more than 100,000 values" in message


def calls_of_reading(text: str) -> int:
    """Return the number of calls of Python functions."""
    number = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal number
        number += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with contextlib.suppress(ConfigError):
            read(text)
    finally:
        sys.setprofile(before)
    return number


def test_entry_takes_few_calls() -> None:
    many, few = ("".join(f"key{number}: value\n" for number in range(size)) for size in (1100, 100))
    calls_per_entry = (calls_of_reading(many) - calls_of_reading(few)) / 1000
    assert calls_per_entry < 4.5  # callbacks of garbage collections may be among them
