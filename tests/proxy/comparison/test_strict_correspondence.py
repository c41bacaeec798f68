"""Strictly compared, dates are equal on both sides or on neither, and generated values have one order."""

from __future__ import annotations

from itertools import permutations
from typing import cast

import pytest

from proxy.comparison.correspondence import Correspondence
from proxy.recordings.comparing import compare_recorded_values
from proxy.types import JSON

RECORDED_AT = 1_795_376_460_000


def object_id(at: int, serial: int) -> str:
    return f"{at // 1000:08x}{serial:016x}"


def date(ms: int) -> str:
    return "2026-11-22T19:41:{:02d}.{:03d}Z".format(*divmod(ms - RECORDED_AT, 1000))


def differ(recorded: object, live: object, correspondence: Correspondence) -> list[str]:
    values = cast(JSON, recorded), cast(JSON, live)
    return [one.location for one in compare_recorded_values(*values, correspondence, "body")]


def strict() -> Correspondence:
    return Correspondence(RECORDED_AT, RECORDED_AT, answer_time=9000, strict=True)


@pytest.mark.parametrize("apart", [1, 20])
def test_strict_dates_coincide_on_both_sides_or_on_neither(apart: int) -> None:
    together = {"a": date(RECORDED_AT), "b": date(RECORDED_AT)}
    close = {"a": date(RECORDED_AT + 5000), "b": date(RECORDED_AT + 5000 + apart)}
    for recorded, live in ((together, close), (close, together)):
        assert differ(recorded, live, strict()) == ["body.b"]
    assert differ(together, {name: date(RECORDED_AT + 5000) for name in together}, strict()) == []
    assert differ(close, {name: date(RECORDED_AT + 9000 + n) for n, name in enumerate(close)}, strict()) == []


def test_strict_dates_have_one_order_on_both_sides() -> None:
    recorded = {"a": date(RECORDED_AT), "b": date(RECORDED_AT + 1), "c": date(RECORDED_AT + 2)}
    for order in permutations(range(3)):
        live = {name: date(RECORDED_AT + 5000 + n) for name, n in zip(recorded, order, strict=True)}
        assert (differ(recorded, live, strict()) == []) is (order == (0, 1, 2))
        assert differ(recorded, live, Correspondence(RECORDED_AT, RECORDED_AT)) == []


def test_strict_dates_of_callers_have_any_order() -> None:
    given = date(RECORDED_AT + 3000)
    assert differ([date(RECORDED_AT), given], [date(RECORDED_AT + 6000), given], strict()) == []
    assert differ([date(RECORDED_AT), given], [given, given], strict()) == ["body.1"]


@pytest.mark.parametrize("number", [2, 40])
def test_strict_ids_of_one_process_have_one_order_on_both_sides(number: int) -> None:
    recorded: JSON = [{"_id": object_id(RECORDED_AT, serial)} for serial in range(number)]
    live: JSON = [{"_id": object_id(RECORDED_AT + 9000, 100 + serial)} for serial in range(number)]
    swapped: JSON = [{"_id": object_id(RECORDED_AT + 9000, 100 - serial)} for serial in range(number)]
    assert differ(recorded, live, strict()) == []
    assert differ(recorded, swapped, strict()) == [f"body.{index}._id" for index in range(1, number)]
    assert differ(recorded, swapped, Correspondence(RECORDED_AT, RECORDED_AT)) == []


def test_strict_ids_of_two_processes_have_any_order() -> None:
    recorded = [object_id(RECORDED_AT, 1 << 24), object_id(RECORDED_AT, 2 << 24)]
    live = [object_id(RECORDED_AT, 4 << 24), object_id(RECORDED_AT, 3 << 24)]
    assert differ(recorded, live, strict()) == []
