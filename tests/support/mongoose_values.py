"""Hypothesis strategies for values that mongoose casts."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.support.profile import examples

KNOWN_ID = "64b7f0f0f0f0f0f0f0f0f0f0"
WORDS = (
    *("", " ", "  a ", "A", "true", "false", "yes", "no", "1", "0", "maybe", "5", "-1", "1e3", "0x10"),
    *("patient", "clinician", "active", "ended", "abc", "123456789012", KNOWN_ID, KNOWN_ID.upper()),
    *("2020-01-01", "2020-01-01T10:00:00Z", "1795383299108", "275761", "-271821", "Jan 5, 2020", "now"),
    *("it's", 'say "x"', "`$&` {VALUE} $$", "x" * 31, "\ud800", "é✓😀", "\u2028\n", "[object Object]"),
)
KEYS = (
    *("a", "b", "1", "0", "_id", "id", "toString", "valueOf", "constructor", "__proto__", "a.b", "$a", "$ref"),
    *("length", "name", "ä"),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(WORDS),
    st.sampled_from([0, 1, -1, 5, 2**31, -(2**31), 2**31 - 1, 2**53, 10**15, 1.5, -0.0, 1e21, 0.1, 8.64e15, 1e16]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)
many_examples = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
OPERANDS: list[Any] = [
    *(None, True, "yes", "maybe", "", 5, 1.5, "5", KNOWN_ID, "2020-01-01", [], [[]], [KNOWN_ID], [None], ["bad"]),
    *({}, {"a": 1}, {"_id": KNOWN_ID}),
    *({"$each": [KNOWN_ID]}, {"$each": "bad"}, {"$type": "date"}, {"$ne": KNOWN_ID}, {"$in": ["5"]}),
    {"$each": [KNOWN_ID, 5], "$slice": "-2.5", "$sort": 1, "$position": "1"},
    {"$each": [], "$slice": "x", "$sort": 0, "$position": None},
    {"$elemMatch": {"$in": [KNOWN_ID], "x": 1, "$gt": None}},
    [{"$elemMatch": {"$eq": 1}}, KNOWN_ID],
]
DOUBLES: list[Any] = [
    {"_bsontype": "Double", "value": value} for value in ("5", 1, 1.5, "x", None, {"toString": 1}, 1577836800000)
]
"""Objects that an update makes numbers, and a filter does not."""
UPDATE_PATHS = ("prompt_name", "is_shareable", "transcript_ids", "created_at", "clinician", "nonsense")
