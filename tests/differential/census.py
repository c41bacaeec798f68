"""A census: valid documents of every kind in one database, and for each endpoint requests that vary one thing each.

A drawn request varies many things at once, so that a certain value at a certain endpoint comes rarely. A sequence
is some twenty requests of the census, so that a hundred sequences contain each of them several times.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.actions import Action, spelled
from tests.differential.documents import Documents, oid
from tests.differential.linked import SOUND, STATES
from tests.differential.people import (
    ABSENT,
    CONSULTATIONS,
    HASHES,
    LONG_PASSWORD,
    NOTES,
    OTHER_TOKEN,
    PASSWORD,
    PASSWORDS,
    PROMPTS,
    TOKEN,
    TRANSCRIPTS,
    USERS,
    identity,
)
from tests.differential.values import Strategy
from tests.support.random_seed import seed_of

CHUNK: Final = 20
"""Requests of one sequence."""

KINDS: Final = {"consultations": CONSULTATIONS, "transcripts": TRANSCRIPTS, "notes": NOTES, "prompts": PROMPTS}
MORE_STATES: Final[Mapping[str, Mapping[str, list[JSON]]]] = {
    "consultations": {"notes": [[oid(ABSENT)], [oid(ABSENT), oid(identity(NOTES, 1))], None], "status": ["abc"]},
    "transcripts": {"transcript_text": ["\ufeffbegins", " both\xa0"], "summary": [{"a": 1}], "clinician": [None]},
    "notes": {"body": ["", " padded "], "transcript": [None]},
    "prompts": {"prompt_text": ["FAIL-AI", "BADJSON"], "is_deleted": [None], "clinician": [None]},
}
"""States beside those of valid documents: dangling links, a lost owner, texts with other white space at their ends."""

_TEXTS: Final[tuple[Any, ...]] = (
    *("New.", "", " ", " padded\xa0", "ends with\x1c", "\ufeffbegins", "FAIL-AI", "BADJSON", "\ud800", "x" * 20_000),
    *(None, False, True, 0, 5, [], ["a"], {}, {"a": 1}),
)
_FLAGS: Final[tuple[Any, ...]] = (True, False, None, "true", "yes", "0", 1, 2, "", "abc", [], {})
_PATIENTS: Final[tuple[Any, ...]] = (*_TEXTS, {"name": "Jane", "age": 45}, {"2": 1, "1": {"a": {}}}, [{}], -0.0, 1e21)
_IMAGES: Final[tuple[Any, ...]] = (
    *(
        None,
        "AAAA",
        [],
        ["AAAA"],
        ["AAAA two words"],
        ["AA=="],
        ["AA==="],
        ["\nAAAA"],
        ["AAAA\n"],
        ["http://x", "https"],
    ),
    *(
        ["HTTP://x"],
        ["data:image/png;base64,AA"],
        ["DATA:image/png,AA"],
        ["data:IMAGE/x"],
        ["data:text/plain,x"],
        [None],
    ),
    *(
        ["base64:image/png:AA:BB"],
        ["base64::AA"],
        ["base64:AA"],
        ["base64:text/plain:AA"],
        ["BASE64:image/gif:AA"],
        [5],
    ),
)
_QUERIES: Final = (
    "",
    "?query",
    "?query=",
    "?query=a&query=b",
    "?query=&query=",
    "?query[]=a",
    "?Query=a",
    "?query=a%00b",
)
_EMAILS: Final = (
    *("amara@clinic.example", "AMARA@Clinic.Example", " amara@clinic.example", "amara@clinic.example ", "absent@x"),
    *("\ufeffamara@clinic.example", "\xa0amara@clinic.example", "AMARA@CL\u0130NIC.EXAMPLE", ""),
)


def _documents() -> Documents:
    collections: dict[str, list[JSON]] = {name: list(documents) for name, documents in SOUND.items()}
    for name, kind in KINDS.items():
        first: Any = SOUND[name][0]
        states = [*_states(STATES[name]), *_states(MORE_STATES[name])]
        collections[name] += [{**first, "_id": oid(identity(kind, 50 + n)), **state} for n, state in enumerate(states)]
    consultation: Any = SOUND["consultations"][0]
    collections["consultations"] += [
        {**consultation, "_id": oid(identity(CONSULTATIONS, 200 + n)), "transcript": oid(identity(TRANSCRIPTS, 50 + n))}
        for n in range(len(collections["transcripts"]) - 3)
    ]
    person: Any = SOUND["users"][0]
    collections["users"] += [
        {**person, "_id": oid(identity(USERS, 50 + index)), "email": f"p{index}@x", "password": password}
        for index, password in enumerate(HASHES)
    ]
    return collections


def _states(fields: Mapping[str, list[JSON]]) -> Iterator[dict[str, JSON]]:
    for name, values in fields.items():
        for value in values:
            yield {name: value}


DOCUMENTS: Final = _documents()


def _ids(name: str) -> list[str]:
    """Return the ids of a collection's documents, and one without a document."""
    return [*(document["_id"]["$oid"] for document in _fields(name)), ABSENT]


def _fields(name: str) -> list[Any]:
    return list(DOCUMENTS[name])


def _action(method: str, path: str, body: dict[str, JSON] | None = None) -> Action:
    action = Action(method, path, (("authorization", f"Bearer {TOKEN}"),))
    if body is None:
        return action
    return Action(method, path, (*action.headers, ("content-type", "application/json")), spelled(body))


def _vary(method: str, path: str, sound: dict[str, JSON], field: str, values: Iterable[JSON]) -> Iterator[Action]:
    """Return requests that vary one member, and one without it."""
    for value in values:
        yield _action(method, path, {**sound, field: value})
    yield _action(method, path, {name: value for name, value in sound.items() if name != field})


def _read(path: str) -> Iterator[Action]:
    """Return a read, twice more with the tag of an answer before it, and as HEAD."""
    yield _action("GET", path)
    for method, tag in itertools.product(("GET", "HEAD"), ("<etag 0>", "*", "<opaque-tag 1>")):
        yield _action(method, path).with_header("if-none-match", tag)
    yield _action("GET", path).with_header("if-none-match", "*").with_header("cache-control", "no-cache")


def _of_consultations() -> Iterator[Action]:
    ids, prompt = _ids("consultations"), identity(PROMPTS, 0)
    yield from _read("/api/consultation")
    yield from _read(f"/api/consultation/{ids[0]}")
    yield from _vary("POST", "/api/consultation/start", {}, "patient_data", _PATIENTS)
    for each in ids:
        yield _action("GET", f"/api/consultation/{each}")
        yield _action("GET", f"/api/notes/{each}")
        yield _action("GET", f"/api/transcript/{each}")
        yield _action("POST", f"/api/ai/{each}/summarise", {"usedPrompt": "Brief."})
        yield _action("POST", f"/api/consultation/{each}/end", {"prompt_used": prompt})
        yield _action("POST", f"/api/notes/{each}", {"body": "New.", "transcriptId": identity(TRANSCRIPTS, 0)})
    for prompt in _ids("prompts"):
        yield _action("POST", f"/api/consultation/{ids[0]}/end", {"prompt_used": prompt})


def _of_notes() -> Iterator[Action]:
    path = f"/api/notes/{identity(CONSULTATIONS, 0)}"
    sound: dict[str, JSON] = {"body": "New.", "transcriptId": identity(TRANSCRIPTS, 0)}
    yield from _read(path)
    yield from _vary("POST", path, sound, "body", _TEXTS)
    yield from _vary("POST", path, sound, "transcriptId", [*_TEXTS[10:], ABSENT, "abc"])
    yield from _vary("PATCH", f"/api/notes/{identity(NOTES, 0)}", {}, "body", _TEXTS)
    for each in _ids("notes"):
        yield _action("PATCH", f"/api/notes/{each}", {"body": ""})
        yield _action("PATCH", f"/api/notes/{each}", {"body": "New."})
        yield _action("DELETE", f"/api/notes/{each}")


def _of_prompts() -> Iterator[Action]:
    own, transcript = identity(PROMPTS, 0), identity(TRANSCRIPTS, 0)
    sound: dict[str, JSON] = {"prompt_name": "Name", "prompt_text": "Text.", "is_shareable": False}
    yield from _read("/api/prompts")
    for field, values in {"prompt_name": _TEXTS, "prompt_text": _TEXTS, "is_shareable": _FLAGS}.items():
        yield from _vary("POST", "/api/prompts", sound, field, values)
        yield from _vary("PATCH", f"/api/prompts/{own}", {}, field, values)
    for each in _ids("prompts"):
        yield _action("PATCH", f"/api/prompts/{each}", {"prompt_name": "New."})
        yield _action("PATCH", f"/api/prompts/{each}/add-prompt/{transcript}")
        yield _action("DELETE", f"/api/prompts/{each}")
    for each in _ids("transcripts"):
        yield _action("PATCH", f"/api/prompts/{own}/add-prompt/{each}")
        yield _action("POST", "/api/transcript/update-text", {"transcript_id": each, "transcript_text": "New."})
    text: dict[str, JSON] = {"transcript_id": transcript, "transcript_text": "New."}
    yield from _vary("POST", "/api/transcript/update-text", text, "transcript_text", _TEXTS)
    yield from _vary("POST", "/api/transcript/update-text", text, "transcript_id", [*_TEXTS[10:], transcript.upper()])


def _of_people() -> Iterator[Action]:
    yield from _read("/users/profile")
    for email in _EMAILS:
        yield _action("GET", f"/users/users/checkEmail?email={quote(email)}")
        yield _action("POST", "/users/login", {"email": email, "password": PASSWORD})
    for index, (hashed, password) in enumerate(zip(HASHES, itertools.cycle(PASSWORDS), strict=False)):
        yield _action(
            "POST", "/users/login", {"email": f"p{index}@x", "password": PASSWORD if index else LONG_PASSWORD}
        )
        if index == 0 or hashed == "":
            yield _action("POST", "/users/login", {"email": f"p{index}@x", "password": password})
    yield _action("POST", "/users/login", {"email": "p0@x", "password": LONG_PASSWORD + "x"})
    yield _action("POST", "/users/login", {"email": "amara@clinic.example", "password": PASSWORD + "\0x"})
    for index, (username, role) in enumerate(itertools.product(("dayo", " dayo\xa0"), ("clinician", "patient"))):
        fields: dict[str, JSON] = {"username": username, "email": f"New{index}@x", "password": PASSWORD, "role": role}
        yield _action("POST", "/users/register", fields)
        yield _action("POST", "/users/register", {**fields, "password": 5})
        yield _action("POST", "/users/login", {"email": f"new{index}@x", "password": PASSWORD})


def _of_assistant() -> Iterator[Action]:
    texts = (text for text in _TEXTS if isinstance(text, str) and text.isprintable())
    for query in (*_QUERIES, *(f"?query={quote(text)}" for text in texts)):
        yield _action("POST", f"/api/ai/search{query}")
    for name in ("diabetes", "two%20words", "%C3%A9", "a&name=b", "100%25", ""):
        yield _action("GET", f"/api/ai/search/clinicalcodes?name={name}")
    yield from _vary("POST", "/api/ai/analyze", {"images": []}, "prompt", _TEXTS)
    yield from _vary("POST", "/api/ai/analyze", {"prompt": "What?"}, "images", _IMAGES)


def _requests() -> list[Action]:
    parts = (_of_consultations(), _of_notes(), _of_prompts(), _of_people(), _of_assistant())
    actions = list(itertools.chain.from_iterable(parts))
    random.Random(seed_of(1)).shuffle(actions)  # so that a sequence has requests of every resource
    return actions


REQUESTS: Final = _requests()


@st.composite
def _chunks(draw: st.DrawFn) -> tuple[Documents, list[Action]]:
    start = draw(st.integers(0, (len(REQUESTS) - 1) // CHUNK)) * CHUNK
    chosen = REQUESTS[start : start + CHUNK]
    if draw(st.integers(0, 3)) == 0:
        chosen = [action.with_header("authorization", f"Bearer {OTHER_TOKEN}") for action in chosen]
    return DOCUMENTS, chosen


def censuses() -> Strategy[tuple[Documents, list[Action]]]:
    """Return a strategy for parts of the census, by its owner or by another clinician."""
    return _chunks()
