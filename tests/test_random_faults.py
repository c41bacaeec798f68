"""Random faults in the legacy's recorded answers are named at their paths; equal answers have no difference.

Answers with a token are for reads only: in a dry run, the claims of a token are compared instead of its text.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.comparison.modes import DRY_RUN, READ
from proxy.comparison.volatile import VOLATILE
from tests.support.exchanges import NOW, object_id
from tests.support.profile import examples
from tests.support.random_faults import COOKIES, FAULTS, IGNORED, SETS, Draw, applies, value_of, with_body, with_cookies
from tests.support.recorded_answers import exceeding, is_related, recorded

ANSWERS = recorded()
JSON_ANSWERS = [each for each in ANSWERS if value_of(each) is not None]


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A change that is not a difference, with the rule that says so."""

    name: str
    rule: str
    change: Callable[[Draw, Exchange], Exchange | None]


def _headers_as(change: Callable[[Draw, tuple[tuple[bytes, bytes], ...]], Any]) -> Callable[[Draw, Exchange], Exchange]:
    return lambda draw, exchange: exchange._replace(headers=tuple(change(draw, exchange.headers)))


EQUIVALENTS: Final = (
    Equivalent(
        "headers reordered",
        "RFC 9110 §5.3: the order of different names has no meaning",
        _headers_as(lambda draw, headers: draw(st.permutations(headers))),
    ),
    Equivalent(
        "white space around a value",
        "RFC 9110 §5.5: it is not a part of the value",
        _headers_as(lambda draw, headers: [(name, b" " + value + b"\t") for name, value in headers]),
    ),
    Equivalent(
        "headers of the connection",
        "modes.TRANSPORT_HEADERS and DEPLOYMENT_HEADERS",
        _headers_as(
            lambda draw, headers: [
                *((name, value) for name, value in headers if name not in IGNORED),
                *((name, draw(st.binary(max_size=5)).hex().encode()) for name in (*IGNORED, b"server", b"via", b"age")),
            ]
        ),
    ),
    Equivalent(
        "tokens reordered",
        "headers._SETS: lists without a meaningful order",
        _headers_as(
            lambda draw, headers: [
                (name, b",".join(draw(st.permutations(value.split(b",")))) if name in SETS else value)
                for name, value in headers
            ]
        ),
    ),
)
"""Chunk boundaries, extensions and trailers never reach a comparison: the server and the pool undo the framing."""


@functools.cache
def suitable(name: str) -> list[Exchange]:
    """Return the answers that a fault can change."""
    return [each for each in JSON_ANSWERS if applies(FAULTS[name], each)]


def check_fault(name: str, data: st.DataObject) -> None:
    legacy = data.draw(st.sampled_from(suitable(name)))
    legacy = with_cookies(legacy, *COOKIES) if name == "cookies" else legacy
    planted = FAULTS[name](data.draw, legacy)
    assume(planted is not None and planted.exchange != legacy)
    assert planted is not None
    for mode in (READ,) if b"eyJ" in legacy.body.data else (READ, DRY_RUN):
        verdict = compare(legacy, planted.exchange, mode=mode)
        paths = [one.path for one in verdict.unexplained]
        assert (mode, verdict.name, bool(paths)) == (mode, "mismatch", True)
        assert [path for path in paths if not is_related(path, planted.path)] == []
        mirrored = compare(planted.exchange, legacy, mode=mode)
        assert sorted(one.path for one in mirrored.unexplained) == sorted(paths)


@pytest.mark.parametrize("name", FAULTS)
@given(data=st.data())
def test_random_fault_is_named_at_its_location(name: str, data: st.DataObject) -> None:
    check_fault(name, data)


@pytest.mark.slow  # more choices
@pytest.mark.parametrize("name", FAULTS)
@settings(max_examples=examples(100))
@given(data=st.data())
def test_every_random_fault_is_named_at_its_location(name: str, data: st.DataObject) -> None:
    check_fault(name, data)


@pytest.mark.parametrize("equivalent", EQUIVALENTS, ids=lambda each: each.name)
@given(data=st.data())
def test_equivalent_change_is_not_a_difference(equivalent: Equivalent, data: st.DataObject) -> None:
    legacy = data.draw(st.sampled_from(ANSWERS))
    native = equivalent.change(data.draw, legacy)
    assume(native is not None)
    assert native is not None
    for mode in (READ, DRY_RUN):
        assert compare(legacy, native, mode=mode).differences == ()


@given(data=st.data())
def test_generated_values_are_not_a_difference(data: st.DataObject) -> None:
    # Ids and dates of the exchange replace any number of recorded ones, each the same everywhere.
    recorded_answer = data.draw(st.sampled_from([each for each in JSON_ANSWERS if VOLATILE.search(text_of(each))]))
    texts = sorted({match.group() for match in VOLATILE.finditer(text_of(recorded_answer)) if is_made(match)})
    assume(texts)
    chosen = data.draw(st.lists(st.sampled_from(texts), min_size=1, unique=True))
    legacy, native = (generated(recorded_answer, chosen, side) for side in (1, 2))
    assert compare(legacy, native, mode=DRY_RUN).differences == ()
    assert len(compare(legacy, native, mode=READ).differences) >= 1


def text_of(answer: Exchange) -> str:
    return answer.body.data.decode()


def is_made(match: re.Match[str]) -> bool:
    return match.lastgroup == "id" or (match.lastgroup == "date" and match.group().endswith("Z"))


def generated(answer: Exchange, texts: list[str], side: int) -> Exchange:
    """Return an answer in which one side made the ids and dates `texts`, each date 100 ms after the one before."""
    text = text_of(answer)
    for number, one in enumerate(texts):
        at = f"2026-11-22T19:41:09.{number % 10}{side:02d}Z"
        text = text.replace(one, object_id(10 * number + side) if len(one) == 24 and "T" not in one else at)
    return with_body(answer, text.encode())._replace(started=float(NOW))


@given(data=st.data())
def test_changed_byte_of_a_large_body_is_named(data: st.DataObject) -> None:
    body = json.dumps([data.draw(st.text(max_size=20)) for _ in range(3)] * 20).encode()
    index = data.draw(st.integers(0, len(body) - 1))
    flipped = body[:index] + bytes([body[index] ^ data.draw(st.integers(1, 255))]) + body[index + 1 :]
    legacy, native = (exceeding(each, limit=10) for each in (body, flipped))
    assert [one.path for one in compare(legacy, native).differences] == [("body",)]
    assert compare(legacy, exceeding(body, limit=10)).name == "match"


def test_recordings_suffice_for_the_search() -> None:
    assert len(FAULTS) >= 30
    assert len(JSON_ANSWERS) >= 50
