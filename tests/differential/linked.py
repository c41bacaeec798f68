"""Strategies for documents that refer to each other as they should, in any valid state, with a few odd values.

Most requests then succeed; with documents that are odd as a whole, most would fail early.
"""

from __future__ import annotations

import copy
from typing import Final

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.documents import Documents, odd, oid
from tests.differential.people import (
    ABSENT,
    AMARA,
    BOLA,
    CHIDI,
    CONSULTATIONS,
    HASH,
    HASHES,
    NOTES,
    PROMPTS,
    TRANSCRIPTS,
    USERS,
    identity,
)
from tests.differential.values import Strategy, mostly, odd_answers

_OWNERS: Final = (AMARA, AMARA, BOLA)
_FIRST: Final = oid(identity(CONSULTATIONS, 0))


def _date(day: int) -> JSON:
    return {"$date": f"2024-03-{day:02}T09:30:15.{day:03}Z"}


def _person(index: int, name: str, role: str) -> JSON:
    return {
        "_id": oid(identity(USERS, index)),
        "username": name,
        "email": f"{name}@clinic.example",
        "password": HASH,
        "role": role,
        "prompts": [],
        "notes": [],
        "transcripts": [],
        "createdAt": _date(1),
        "__v": 0,
    }


def _consultation(index: int, owner: str) -> JSON:
    return {
        "_id": oid(identity(CONSULTATIONS, index)),
        "clinician": oid(owner),
        "patient": {"name": "Jane Roe", "age": 45},
        "notes": [oid(identity(NOTES, note)) for note in range(3)] if index == 0 else [],
        "status": "active",
        "started_at": _date(2 + index),
        "__v": 1,
        "transcript": oid(identity(TRANSCRIPTS, index)),
    }


def _transcript(index: int, owner: str) -> JSON:
    return {
        "_id": oid(identity(TRANSCRIPTS, index)),
        "clinician": oid(owner),
        "consultation": oid(identity(CONSULTATIONS, index)),
        "transcript_text": "Chest pain since Monday.",
        "created_at": _date(3),
        "updated_at": _date(4),
        "summary": "Stored before.",
        "prompt_used": oid(identity(PROMPTS, index)),
        "__v": 0,
    }


def _note(index: int, owner: str) -> JSON:
    return {
        "_id": oid(identity(NOTES, index)),
        "clinician": oid(owner),
        "transcript": oid(identity(TRANSCRIPTS, 0)),
        "consultation": _FIRST,
        "body": f"Note {index}.",
        "created_at": _date(5 + index),
        "updated_at": _date(9),
    }


def _prompt(index: int, owner: str) -> JSON:
    return {
        "_id": oid(identity(PROMPTS, index)),
        "prompt_name": f"Prompt {index}",
        "prompt_text": "Summarise in three lines.",
        "is_shareable": owner == BOLA,
        "is_deleted": False,
        "clinician": oid(owner),
        "transcript_ids": [],
        "created_at": _date(6 + index),
        "updated_at": _date(9),
        "__v": 0,
    }


SOUND: Final[Documents] = {
    "users": [
        _person(index, name, "clinician" if index < 2 else "patient")
        for index, name in enumerate(("amara", "bola", "chidi"))
    ],
    "consultations": [_consultation(*one) for one in enumerate(_OWNERS)],
    "transcripts": [_transcript(*one) for one in enumerate(_OWNERS)],
    "notes": [_note(*one) for one in enumerate(_OWNERS)],
    "prompts": [_prompt(*one) for one in enumerate(_OWNERS)],
}

REFERENCES: Final = ("clinician", "consultation", "transcript", "prompt_used")
DATES: Final = ("started_at", "ended_at", "created_at", "updated_at", "createdAt")
LISTS: Final = ("notes", "prompts", "transcripts", "transcript_ids")
ABSENT_FIELDS: Final = ("extra", "ended_at", "consultation_id", "updated_at", "__v", "10", "id", "isAdmin", "a-b")
"""Names that a document is given besides those that it has."""

_ids: Final[Strategy[JSON]] = st.sampled_from(
    [
        *(oid(AMARA), oid(BOLA), oid(CHIDI), oid(ABSENT), AMARA, AMARA.upper(), ABSENT, "twelve bytes", "123456789012"),
        *(_FIRST, {"_id": oid(AMARA)}, [oid(AMARA)], 5, {"id": AMARA}, {"$ref": "users", "$id": oid(AMARA)}),
        {"$binary": {"base64": "MDEyMzQ1Njc4OTAx", "subType": "00"}},
    ]
)
_dates: Final[Strategy[JSON]] = st.sampled_from(
    [
        *("2024-03-05", "2024-03-05T10:00:00Z", "not a date", "", "1709632800000", "12:00", "2024-02-30"),
        *(0, -1, 1709632800000, 1.5, 8.64e15, 8.65e15, -8.64e15, 1e21, True, {"$numberLong": "1709632800000"}),
        {"$date": {"$numberLong": "8640000000000000"}},
        {"$date": {"$numberLong": "8640000000000001"}},
        {"$date": {"$numberLong": "-62135596800001"}},
        {"$date": {"$numberLong": "253402300800000"}},
        {"$date": {"$numberLong": "9223372036854775807"}},
        {"$timestamp": {"t": 1709632800, "i": 1}},
        oid(AMARA),
        {"$numberDecimal": "1709632800000"},
        {"$numberDouble": "NaN"},
    ]
)
_lists: Final[Strategy[JSON]] = st.sampled_from(
    [
        *(None, "", "abc", 0, {}, [None], [[]], [{}], ["abc"], [5], [True]),
        *([oid(identity(NOTES, 0)), oid(identity(NOTES, 0))], oid(identity(NOTES, 0)), identity(NOTES, 1)),
        *([identity(NOTES, 1), oid(ABSENT)], [[oid(identity(NOTES, 0))]], [{"_id": oid(identity(NOTES, 2))}]),
        *([None, oid(identity(NOTES, 2))], {"0": oid(identity(NOTES, 0)), "length": 1}),
    ]
)
_odder: Final[Strategy[JSON]] = st.sampled_from(
    [
        *({"$numberDouble": "-0.0"}, {"$numberDouble": "Infinity"}, {"$numberDouble": "-Infinity"}),
        *({"$numberDecimal": value} for value in ("NaN", "-0", "1E+3", "Infinity", "0.10", "12345678901234567890")),
        *({"$numberLong": value} for value in ("-9223372036854775808", "9223372036854775807", "4294967296")),
        *({"$binary": {"base64": "", "subType": "00"}}, {"$binary": {"base64": "/w==", "subType": "80"}}),
        *({"$symbol": "abc"}, {"$code": "x"}, {"$maxKey": 1}, {"$minKey": 1}, {"$ref": "notes", "$id": oid(ABSENT)}),
        *("x" * 20_000, "é" * 4000, [[[[["deep"]]]]], [1, [2, [3, [None]]]], {"a": {"b": {"c": [{"d": None}]}}}),
        *({"_id": "x", "id": 1, "__v": 2}, {"toString": "x"}, {"constructor": {"name": "x"}}, {"length": -1}),
        *({"toBSON": 1}, {"toJSON": "x"}, {"_bsontype": "ObjectId"}, {"2": "b", "1": "a", "z": 0}),
    ]
)


def _values(name: str) -> Strategy[JSON]:
    """Return what a stored field of this name may hold that today's code does not write."""
    if name in REFERENCES:
        return mostly(_ids, odd)
    if name in DATES:
        return mostly(_dates, odd)
    if name in LISTS:
        return mostly(_lists, odd)
    return st.one_of(odd, _odder)


STATES: Final[dict[str, dict[str, list[JSON]]]] = {
    "users": {"password": list(HASHES), "username": ["", " Amara "], "role": ["patient"]},
    "consultations": {
        "clinician": [oid(AMARA), oid(BOLA)],
        "status": ["ended"],
        "ended_at": [_date(8)],
        "notes": [[], [oid(identity(NOTES, index)) for index in (2, 0, 1)]],
        "started_at": [_date(2)],
        "transcript": [oid(identity(TRANSCRIPTS, 2)), oid(ABSENT)],
    },
    "transcripts": {
        "clinician": [oid(AMARA), oid(BOLA)],
        "consultation": [_FIRST],
        "transcript_text": ["", "ends with\x1c", "FAIL-AI", "BADJSON"],
        "summary": ["", None],
        "prompt_used": [oid(identity(PROMPTS, 2)), oid(ABSENT)],
    },
    "notes": {
        "clinician": [oid(AMARA), oid(BOLA), oid(ABSENT), None],
        "consultation": [oid(identity(CONSULTATIONS, 1))],
        "created_at": [_date(5)],
        "updated_at": [_date(1), _date(10)],
    },
    "prompts": {
        "clinician": [oid(AMARA), oid(BOLA)],
        "is_deleted": [True],
        "is_shareable": [True, False],
        "prompt_text": ["", " "],
        "created_at": [_date(6)],
        "transcript_ids": [[oid(identity(TRANSCRIPTS, 1)), oid(identity(TRANSCRIPTS, 0))]],
    },
}
"""Valid values beside those of `SOUND`: other owners, shared, deleted, ended, of the same time; and a lost owner."""

_CROWD: Final = 120
"""More documents than a cursor's first batch has."""


@st.composite
def linked_documents(draw: st.DrawFn) -> Documents:
    """Draw the valid documents in any state, mostly with up to three odd values.

    Most of these values are in the first document of its kind. The members of a document come in another order, and one
    kind has many documents, now and then.
    """
    documents = copy.deepcopy(SOUND)
    if draw(st.booleans()):
        _alter(draw, documents)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        _spoil(draw, documents)
    if draw(st.integers(0, 9)) == 0:
        _reorder(draw, documents)
    if draw(st.integers(0, 29)) == 0:
        _multiply(draw, documents)
    return documents


@st.composite
def valid_documents(draw: st.DrawFn) -> Documents:
    """Draw the valid documents in any state."""
    documents = copy.deepcopy(SOUND)
    _alter(draw, documents)
    return documents


def _choose(draw: st.DrawFn, documents: Documents) -> tuple[str, dict[str, JSON]]:
    """Draw a document, most often the first of its kind; return its collection as well."""
    collection = draw(st.sampled_from(sorted(documents)))
    document = documents[collection][draw(st.sampled_from([0, 0, 0, 1, 2]))]
    assert isinstance(document, dict)
    return collection, document


def _alter(draw: st.DrawFn, documents: Documents) -> None:
    """Give some fields of every document another valid value; now and then, a transcript names an odd answer."""
    for collection, fields in STATES.items():
        for document in documents[collection]:
            assert isinstance(document, dict)
            for name, values in fields.items():
                if draw(st.integers(0, 3)) == 0:
                    document[name] = copy.deepcopy(draw(st.sampled_from(values)))
    if draw(st.integers(0, 3)) == 0:
        transcript = documents["transcripts"][0]
        assert isinstance(transcript, dict)
        transcript["transcript_text"] = draw(odd_answers)


def _reorder(draw: st.DrawFn, documents: Documents) -> None:
    _, document = _choose(draw, documents)
    members = draw(st.permutations(sorted(document.items())))
    document.clear()
    document.update(members)


def _multiply(draw: st.DrawFn, documents: Documents) -> None:
    """Repeat a document under ids of its own."""
    kinds = {"consultations": CONSULTATIONS, "transcripts": TRANSCRIPTS, "notes": NOTES, "prompts": PROMPTS}
    collection = draw(st.sampled_from(sorted(kinds)))
    first = documents[collection][0]
    assert isinstance(first, dict)
    copies = [{**first, "_id": oid(identity(kinds[collection], 100 + index))} for index in range(_CROWD)]
    documents[collection] += copies


def _spoil(draw: st.DrawFn, documents: Documents) -> None:
    _, document = _choose(draw, documents)
    own = [name for name in document if name not in ("_id", "email")]
    name = draw(st.sampled_from([*own, *own, *ABSENT_FIELDS]))
    if draw(st.integers(0, 4)):
        document[name] = draw(_values(name))
    else:
        document.pop(name, None)
