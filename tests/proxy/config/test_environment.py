"""`${NAME}` in values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.environment import SubstitutionError, references, substitute

ENV = {"HOST": "legacy", "PORT": "4500", "EMPTY": "", "TRICKY": "${HOST}"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("http://${HOST}:${PORT}", "http://legacy:4500"),
        ("${NOPE:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", ""),
        ("${HOST:-x}", "legacy"),
        ("${NOPE:-}", ""),
        ("${NOPE:-http://a:1/?b={c}", "http://a:1/?b={c"),
        ("$${HOST} costs $5", "${HOST} costs $5"),
        ("$$$${HOST}", "$${HOST}"),
        ("$$${HOST}", "$legacy"),
        ("${TRICKY}", "${HOST}"),
    ],
)
def test_references_are_substituted_once(text: str, result: str) -> None:
    assert substitute(text, ENV) == result


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("${NOPE}", "the environment variable NOPE is not set (${NOPE:-…} gives a default)"),
        ("${}", "${} is not a reference"),
        ("${A-b}", "${A-b} is not a reference"),
        ("${1A}", "${1A} is not a reference"),
        ("${HOST", "${ is not a reference"),
    ],
)
def test_invalid_reference_is_named(text: str, complaint: str) -> None:
    with pytest.raises(SubstitutionError) as caught:
        substitute(text, ENV)
    assert complaint in str(caught.value)


def test_escaped_dollars_are_not_references() -> None:
    assert references("a ${HOST} b")
    assert not references("$${HOST} $5 $")


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_text_without_a_dollar_is_unchanged(text: str) -> None:
    assert substitute(text, {}) == text
    assert substitute(text.join("ab") + "$$", {}) == text.join("ab") + "$"
