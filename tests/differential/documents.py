"""Strategies for stored documents: as written today, and as older versions may have written them.

The documents are relaxed MongoDB extended JSON, by collection.
"""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.people import (
    ABSENT,
    AMARA,
    BOLA,
    CHIDI,
    CONSULTATIONS,
    HASH,
    NOTES,
    PROMPTS,
    TRANSCRIPTS,
    USERS,
    identity,
)
from tests.differential.values import Strategy, mostly, words

Documents = dict[str, list[JSON]]

_TEXTS = words.filter(lambda text: "\ud800" not in text)


def oid(text: str) -> JSON:
    """Return an id in extended JSON."""
    return {"$oid": text}


def _ids(kind: int, count: int = 3) -> Strategy[JSON]:
    return st.sampled_from([oid(identity(kind, index)) for index in range(count)])


clinicians: Strategy[JSON] = st.sampled_from([oid(AMARA)] * 4 + [oid(BOLA), oid(CHIDI), oid(ABSENT)])
dates: Strategy[JSON] = st.sampled_from(
    [{"$date": f"20{year}-0{month}-05T10:20:30.{year}0Z"} for year, month in ((19, 1), (21, 6), (21, 7))]
)
wrong: Strategy[JSON] = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 42, 1.5, 1e21, "", "abc", ABSENT, AMARA, "2020-01-01", "ended"]),
    st.sampled_from([[], [1], [None], {}, {"a": 1}, {"a": {}}, [[]], [{}], {"_id": oid(ABSENT)}, [oid(ABSENT)]]),
    st.sampled_from([oid(ABSENT), {"$date": "2020-01-01T00:00:00Z"}, {"$date": {"$numberLong": "-62198755200001"}}]),
    st.sampled_from([{"1": "b", "0": "a"}, {"a.b": 1}, {"$c": 2}, {"$numberDouble": "NaN"}]),
    _TEXTS,
)
odd: Strategy[JSON] = wrong | st.sampled_from(
    [
        {"$numberDecimal": "1.5"},
        {"$numberLong": "5"},
        {"$numberLong": "9007199254740993"},
        {"$numberDouble": "1.0"},
        {"$binary": {"base64": "aGVsbG8=", "subType": "00"}},
        {"$binary": {"base64": "MDEyMzQ1Njc4OWFiY2RlZg==", "subType": "04"}},
        {"$timestamp": {"t": 1, "i": 2}},
        {"$minKey": 1},
        {"$code": "f()"},
        {"$code": "f()", "$scope": {"a": 1}},
        {"$regularExpression": {"pattern": "a", "options": "i"}},
        [{"$regularExpression": {"pattern": "a/b", "options": ""}}],
    ]
)

extra_names = st.sampled_from(
    ["extra", "id", "consultation_id", "updatedAt", "__v", "10", "isAdmin", "doc", "summary", "a-b"]
)
patients: Strategy[JSON] = st.sampled_from([{"name": "Jane Roe", "age": 45}, {"a": {}}, {"2": 1, "1": {"b": [{}]}}])
counts: Strategy[JSON] = st.sampled_from([0, 0, 0, 1, 7])


@st.composite
def _document(
    draw: st.DrawFn,
    age: int,
    kind: int,
    index: int,
    fields: Mapping[str, Strategy[JSON]],
    required: tuple[str, ...] = (),
) -> JSON:
    """Draw a document of one kind.

    In `age` of three cases it is an older one: fields are missing, of a wrong type, or one too many.
    """
    document: dict[str, JSON] = {"_id": oid(identity(kind, index))}
    older = draw(st.integers(0, 2)) < age
    for name, good in fields.items():
        fate = draw(st.integers(0, 9)) if older and name not in required else 9
        if fate == 0:
            document[name] = draw(odd)
        elif fate != 1:
            document[name] = draw(good)
    if older and draw(st.booleans()):
        document[draw(extra_names)] = draw(odd)
    return document


def _people(age: int) -> list[Strategy[JSON]]:
    names = ("amara", "bola", "chidi")
    return [
        _document(
            age,
            USERS,
            index,
            {
                "username": st.just(name),
                "email": st.just(f"{name}@clinic.example"),
                "password": st.just(HASH),
                "role": st.just("clinician" if index < 2 else "patient"),
                "prompts": st.just([]),
                "notes": st.just([]),
                "transcripts": st.just([]),
                "createdAt": dates,
                "__v": counts,
            },
            required=("email",) if index else ("email", "password"),
        )
        for index, name in enumerate(names)
    ]


def _consultation(age: int, index: int) -> Strategy[JSON]:
    return _document(
        age,
        CONSULTATIONS,
        index,
        {
            "clinician": clinicians,
            "patient": patients | odd,
            "notes": mostly(st.lists(_ids(NOTES) | st.just(oid(ABSENT)), max_size=3), st.lists(odd, max_size=2)),
            "status": st.sampled_from(["active", "ended"]),
            "started_at": dates,
            "__v": counts,
            "transcript": st.one_of(
                st.just(oid(identity(TRANSCRIPTS, index))), _ids(TRANSCRIPTS), st.just(oid(ABSENT))
            ),
        },
    )


def _transcript(age: int, index: int) -> Strategy[JSON]:
    return _document(
        age,
        TRANSCRIPTS,
        index,
        {
            "clinician": clinicians,
            "consultation": st.just(oid(identity(CONSULTATIONS, index))) | _ids(CONSULTATIONS),
            "transcript_text": _TEXTS,
            "created_at": dates,
            "__v": counts,
            "prompt_used": _ids(PROMPTS) | st.just(oid(ABSENT)),
            "summary": _TEXTS | odd,
        },
    )


def _note(age: int, index: int) -> Strategy[JSON]:
    return _document(
        age,
        NOTES,
        index,
        {
            "clinician": clinicians,
            "transcript": _ids(TRANSCRIPTS),
            "consultation": _ids(CONSULTATIONS),
            "body": _TEXTS,
            "created_at": dates,
            "updated_at": dates,
        },
    )


def _prompt(age: int, index: int) -> Strategy[JSON]:
    return _document(
        age,
        PROMPTS,
        index,
        {
            "prompt_name": _TEXTS,
            "prompt_text": _TEXTS,
            "is_shareable": st.booleans(),
            "is_deleted": st.sampled_from([False, False, False, True]),
            "clinician": clinicians,
            "transcript_ids": st.lists(_ids(TRANSCRIPTS), max_size=2),
            "created_at": dates,
            "__v": counts,
        },
    )


@st.composite
def databases(draw: st.DrawFn, age: int) -> Documents:
    """Draw the first documents of both databases: the three people, and up to three of everything else."""
    documents: Documents = {"users": [draw(person) for person in _people(age)]}
    makers = {"consultations": _consultation, "transcripts": _transcript, "notes": _note, "prompts": _prompt}
    for name, make in makers.items():
        count = draw(st.sampled_from([3, 3, 3, 2, 1, 0]))
        if count:
            documents[name] = [draw(make(age, index)) for index in range(count)]
    return documents
