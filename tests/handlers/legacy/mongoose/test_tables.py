"""Documents written by columns have the same text as documents written one by one."""

from __future__ import annotations

import pytest
from bson import Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handlers.legacy.javascript import JavaScriptTypeError, JsonText, Value, stringify
from handlers.legacy.models import NOTES
from handlers.legacy.mongoose import (
    BooleanPath,
    DatePath,
    Document,
    IdListPath,
    IdPath,
    MixedPath,
    Schema,
    StringPath,
    arrange,
    now,
    write,
    write_object,
)
from tests.support.javascript_values import names, scalars
from tests.support.profile import examples

A, B = ObjectId("64b7f0f0f0f0f0f0f0f0f0f1"), ObjectId("64b7f0f0f0f0f0f0f0f0f0f2")
MOMENT = DatetimeMS(1_700_000_000_123)
OWNERS = Schema("owners in the table's tests", [StringPath("name"), IdListPath("visits")])
VISITS = Schema(
    "visits in the table's tests",
    [
        IdPath("of", ref=OWNERS.model),
        IdListPath("notes", ref=OWNERS.model),
        MixedPath("what"),
        StringPath("name"),
        BooleanPath("done", default=False),
        DatePath("at", default=now, early=False),
    ],
)
SETTLED: dict[str, Value] = {"_id": A, "of": B, "notes": [A, B], "what": "x", "name": "n", "done": True, "at": MOMENT}

_objects = st.dictionaries(names, scalars | st.dictionaries(names, scalars, max_size=2), max_size=3)
values = scalars | st.lists(scalars | _objects, max_size=3) | _objects
_usual = st.fixed_dictionaries(
    {},
    optional={
        "_id": st.just(A),
        "of": st.sampled_from([A, B, None, str(B)]),
        "notes": st.sampled_from([[], [A], [B, A], [str(A)], None, A]),
        "what": values,
        "name": st.sampled_from(["n", "é\ud800", "%s", None, 5]),
        "done": st.sampled_from([True, False, None, "yes"]),
        "at": st.sampled_from([MOMENT, DatetimeMS(8_640_000_000_000_001), None, 5]),
        "__v": st.sampled_from([0, 7, 1.5, Int64(7), float("nan")]),
    },
)
_odd = st.dictionaries(
    st.sampled_from(["of", "notes", "what", "name", "at", "__v", "10", "2", "extra", "50%", "constructor", ""]),
    values,
    max_size=5,
)
documents = st.lists(_usual | _odd | st.builds(lambda left, right: left | right, _usual, _odd), max_size=4)


def one_by_one(stored: list[dict[str, Value]], selected: tuple[str, ...] = ()) -> list[str]:
    return [stringify(Document.read(VISITS, each, selected, MOMENT).to_json()) for each in stored]


@settings(max_examples=examples(150), deadline=None)
@given(documents, st.sampled_from([(), ("name",), ("notes", "at")]))
@example([SETTLED, {**SETTLED, "what": {"a": {}}}, SETTLED, {**SETTLED, "what": {"a": {"b": {}}}}], ())
@example([{**SETTLED, "what": {"constructor": 1}}, {**SETTLED, "what": {"_bsontype": "Double", "value": "1"}}], ())
@example([{**SETTLED, "what": {}}, {}, {**SETTLED, "notes": [A, "x"]}], ())
@example([{**SETTLED, "what": {"n": "é", "age": each}} for each in (1, None, 2**40, Int64(2**40), 1.5, True)], ())
@example([{"what": {"n": "%s", "of": A, "at": MOMENT}}, {"what": {"of": A, "n": "", "at": MOMENT}}], ("what",))
@example([{**SETTLED, "at": DatetimeMS(at)} for at in (8_640_000_000_000_001, 0, -8_640_000_000_000_000)], ())
def test_tables_equal_documents_one_by_one(stored: list[dict[str, Value]], selected: tuple[str, ...]) -> None:
    try:
        expected = one_by_one(stored, selected)
    except JavaScriptTypeError as error:  # mongoose cannot report a fault in a value without a text
        with pytest.raises(JavaScriptTypeError, match=str(error)):
            arrange(VISITS, stored, selected, MOMENT)
    else:
        assert write(arrange(VISITS, stored, selected, MOMENT)) == expected


def test_documents_of_one_shape_share_a_table() -> None:
    tables = arrange(VISITS, [SETTLED, {**SETTLED, "of": None}, {**SETTLED, "name": "m"}])
    assert [(table.positions, table.column("of")) for table in tables] == [([0, 2], (B, B)), ([1], (None,))]
    assert tables[0].column("nothing") == ()
    assert tables[0].kinds["notes"] is list


@pytest.mark.parametrize("what", ["x", {}, {"1": "b", "0": 1.5}])
def test_filled_column_is_written_verbatim(what: Value) -> None:
    tables = arrange(VISITS, [{"_id": A, "of": B, "notes": [], "what": what, "done": True, "at": MOMENT}])
    tables[0].fill("of", [JsonText('{"name":"100%"}')])
    shown = "" if what == {} else f'"what":{stringify(what)},'
    (text,) = write(tables)
    assert text == (
        f'{{"_id":"{A}","of":{{"name":"100%"}},"notes":[],{shown}"done":true,"at":"2023-11-14T22:13:20.123Z"}}'
    )


def test_partly_written_object_is_stringified() -> None:
    assert (
        write_object({"count": 1, "notes": JsonText('[{"a":1}]'), "0": "x"}) == '{"0":"x","count":1,"notes":[{"a":1}]}'
    )


def test_documents_of_one_query_have_one_default_date() -> None:
    stored: list[dict[str, Value]] = [{"_id": A, "body": "x"} for _ in range(3000)]  # the clock advances meanwhile
    dates = {date for table in arrange(NOTES, stored) for date in table.column("created_at")}
    assert len(dates) == 1
    assert {date for table in arrange(NOTES, stored, at=MOMENT) for date in table.column("updated_at")} == {MOMENT}
