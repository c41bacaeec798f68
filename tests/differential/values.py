"""Strategies for values: JSON of every type, with cases that mongoose and Express distinguish."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.outside_services import ODD_ANSWERS, name_of
from tests.differential.people import ABSENT, AMARA, BOLA, CONSULTATIONS, NOTES, PROMPTS, TRANSCRIPTS, identity

Strategy = st.SearchStrategy
T = TypeVar("T")


def mostly(usual: Strategy[T], *others: Strategy[T], share: int = 4) -> Strategy[T]:
    """Draw the usual value in `share` of five cases (`one_of` counts a strategy that is given twice once)."""
    choices = [usual] * share * len(others) + [other for other in others for _ in range(5 - share)]
    return st.sampled_from(choices).flatmap(lambda chosen: chosen)


WORDS = (
    *(
        "",
        " ",
        "x",
        "  padded  ",
        "Chest pain.",
        "line\nbreak",
        "tab\there",
        "nul\0inside",
        "\ufeffbom",
        "\xa0nbsp\xa0",
    ),
    *(
        "naïve — ✓",
        "😀",
        "\ud800",
        "\u2028",
        "it's",
        'say "hi"',
        'it\'s "both"',
        "`tick` ${x}",
        "back\\slash",
        "\x1b[0m",
    ),
    *(
        "true",
        "false",
        "yes",
        "no",
        "1",
        "0",
        "null",
        "undefined",
        "NaN",
        "[object Object]",
        "0x10",
        "1e3",
        "-0",
        "Infinity",
    ),
    *("2020-01-01", "2020-02-30", "Jan 1 2020", "not a date", "12:00", "123456789012", "1577836800000", "275761", "+0"),
    *("active", "ended", "patient", "clinician", "AMARA@Clinic.example", "__proto__", "constructor", "$set", "a.b"),
    *("FAIL-AI", "BADJSON", "zzz", "boom", "x" * 200, "two words and more than sixteen characters", "é" * 40),
)
words = st.sampled_from(WORDS)
ids = st.one_of(
    st.sampled_from([identity(kind, index) for kind in range(1, 6) for index in range(2)]),
    st.sampled_from([AMARA, BOLA, ABSENT]),
    st.integers(0, 9).map(lambda index: f"<_id {index}|{ABSENT}>"),
)
odd_ids = st.sampled_from(
    [
        *("abc", "123456789012", ABSENT.upper(), "g" * 24, ABSENT[:-1], ABSENT + "0", "", "0", "null", "undefined"),
        *("[object Object]", " " + ABSENT, "ünïcödé-12b", "twelve bytes", "\0" * 12, "-1", "1e3", "true", "éééééé"),
    ]
)
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, -0.0, 1e21, 1e-7, 2**31, 2**31 - 1, -(2**31) - 1, 2**53, 2**53 + 2, 2**63, 1.7e308]),
    st.sampled_from([1577836800000, 8.64e15, 8.65e15, 3.14, 100, 1e100, -1e9, 4294967296, 123456789012]),
)
names = st.sampled_from(
    [
        *(
            "a",
            "b",
            "name",
            "_id",
            "id",
            "1",
            "0",
            "a.b",
            "$gt",
            "$ne",
            "$in",
            "$set",
            "$oid",
            "$where",
            "$ref",
            "",
            "x y",
        ),
        *(
            "__proto__",
            "constructor",
            "toString",
            "toJSON",
            "valueOf",
            "length",
            "_bsontype",
            "é",
            "$",
        ),
        *("prototype", "toObject", "__v", "buffer", "type", "$numberDecimal", "$each", "$push", "toBSON", "self", "10"),
        *(
            "$__",
            "_doc",
            "isMongooseBuffer",
            "hasOwnProperty",
            "toLocaleString",
            "__defineGetter__",
            "$elemMatch",
            "$not",
        ),
        *("nul\0", "01", "4294967295", "then", "inspect", "\ud800", "\u2028", "constructor.name", "__proto__.b"),
        *("$unset", "$pull", "$min", "$mul", "$rename", "a.$[x].$[x]", "transcript_ids.$[x]", "$isMongooseMap"),
    ]
)


def _containers(inner: Strategy[JSON]) -> Strategy[JSON]:
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)


scalars: Strategy[JSON] = st.one_of(st.none(), st.booleans(), numbers, words, ids, odd_ids)
anything: Strategy[JSON] = st.recursive(scalars, _containers, max_leaves=8) | st.sampled_from(
    [
        [[[[[1]]]]],
        {"a": {"b": {"c": {"d": 1}}}},
        list(range(8)),
        list(range(120)),
        [{}],
        [[]],
        {},
        [],
        [ABSENT],
        {"_id": ABSENT},
        {"_id": {"_id": ABSENT}},
        {"id": ABSENT},
        {"$oid": ABSENT},
        {"$date": "2020-01-01T00:00:00Z"},
        {"$gt": ""},
        {"$ne": None},
        {"$in": [ABSENT]},
        {"_bsontype": "ObjectId", "id": ABSENT},
        {"_bsontype": "ObjectID", "id": "twelve bytes"},
        {"type": "Buffer", "data": [1, 2]},
        {"buffer": {"0": 1}, "length": 12},
        {"toString": 1},
        {"toString": "x", "valueOf": "y"},
        {"length": 1e9},
        {"0": "a", "1": "b", "length": 2},
    ]
)
texts: Strategy[JSON] = words
odd_answers: Strategy[str] = st.builds(name_of, st.integers(0, len(ODD_ANSWERS) - 1), of_codes=st.booleans())
"""Names of odd answers of the outside services."""
service_texts: Strategy[JSON] = mostly(words, odd_answers, share=3)
"""Texts that are sent to an outside service."""
flags: Strategy[JSON] = st.booleans() | st.sampled_from(["true", "false", "yes", "no", "1", "0", 1, 0])

REFERENCES = {
    kind: [identity(kind, index) for index in range(3)] for kind in (CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS)
}


def references(kind: int) -> Strategy[JSON]:
    """Draw ids of documents of one kind, most of which exist."""
    return mostly(st.sampled_from(REFERENCES[kind]), ids)
