"""Strategies for requests to every endpoint, mostly valid, with a few faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.actions import Action, spelled
from tests.differential.changes import CHANGES
from tests.differential.people import CONSULTATIONS, NOTES, PASSWORD, PROMPTS, TOKEN, TRANSCRIPTS
from tests.differential.values import (
    Strategy,
    anything,
    flags,
    ids,
    mostly,
    names,
    odd_answers,
    odd_ids,
    references,
    service_texts,
    texts,
)

image_parts = st.lists(
    st.sampled_from(
        [
            *(
                "http://",
                "HTTPS://",
                "data:",
                "DATA:",
                "data:image/png;base64,",
                "base64:",
                "BASE64:",
                "image/png",
                ":",
            ),
            *("image/", "IMAGE/gif", "text/plain", "AAAA", "AA==", "a+/9", "two words", "\n", " ", "", "é", "\u017f"),
        ]
    ),
    min_size=1,
    max_size=5,
)
images: Strategy[JSON] = st.lists(image_parts.map("".join), max_size=4)

emails: Strategy[JSON] = st.sampled_from(
    [
        *(
            "amara@clinic.example",
            "AMARA@clinic.example",
            "bola@clinic.example",
            "new@clinic.example",
            " amara@clinic.example",
            "amara@clinic.example ",
            "\ufeffamara@clinic.example",
            "AMARA@CL\u0130N\u0130C.EXAMPLE",
        )
    ]
)


_PATTERNS: Final = ("^a", "a(", "[", "a\0b", "(?i)AMARA", "amara@clinic.example", "bola@clinic.example")
_OPERANDS: Final[tuple[Any, ...]] = (
    *(0, 1, 2, -1, 99, 1.5, "string", "int", "number", "i", "im", "x", "ix", "q", "", None, True),
    *([], [1], ["amara@clinic.example"], [2], ["string", "x"], [3, 1], [0, 0], {}),
)
_OPERATORS: Final = (
    *("$regex", "$options", "$gt", "$lt", "$gte", "$lte", "$eq", "$ne", "$in", "$nin", "$exists", "$type", "$all"),
    *("$size", "$mod", "$not", "$elemMatch", "$comment", "$where", "$expr", "$jsonSchema", "$near", "$geoWithin"),
    *("$bitsAllSet", "$text", "$rand", "$sampleRate", "$ref", "$id", "$db", "$foo", "$"),
)
email_queries: Strategy[JSON] = st.recursive(
    st.dictionaries(st.sampled_from(_OPERATORS), st.sampled_from([*_PATTERNS, *_OPERANDS]), min_size=1, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["$not", "$elemMatch", "$eq", "$all"]), inner, min_size=1),
    max_leaves=2,
)
"""Query operators in place of an email, which legacy executes: the server refuses many with its own error."""


blanks: Strategy[JSON] = st.sampled_from([" ", "\t\n", "\xa0", "\ufeff", {"a": 1}, ["x"]])
"""Note bodies that are given, and refused by validation, beside other fields that may be."""


@dataclass(frozen=True)
class Endpoint:
    """A request and its resource: `{id}` in the path is drawn from `of`, `fields` make the body."""

    method: str
    path: str
    of: tuple[int, ...] = ()
    fields: Mapping[str, Strategy[JSON]] = field(default_factory=dict)
    query: Mapping[str, Strategy[JSON]] = field(default_factory=dict)


ENDPOINTS: Final = (
    Endpoint("GET", "/"),
    Endpoint("GET", "/users/users/checkEmail", query={"email": emails}),
    Endpoint("POST", "/users/login", fields={"email": emails, "password": st.just(PASSWORD)}),
    Endpoint("POST", "/users/login", fields={"email": email_queries, "password": st.just(PASSWORD)}),
    Endpoint("POST", "/users/logout"),
    Endpoint("GET", "/users/profile"),
    Endpoint("POST", "/api/consultation/start", fields={"patient_data": anything}),
    Endpoint("GET", "/api/consultation"),
    Endpoint("GET", "/api/consultation/{id}", (CONSULTATIONS,)),
    Endpoint("POST", "/api/consultation/{id}/end", (CONSULTATIONS,), {"prompt_used": references(PROMPTS)}),
    Endpoint(
        "POST",
        "/api/transcript/update-text",
        fields={"transcript_id": references(TRANSCRIPTS), "transcript_text": texts},
    ),
    Endpoint("GET", "/api/transcript/{id}", (CONSULTATIONS,)),
    Endpoint("POST", "/api/notes/{id}", (CONSULTATIONS,), {"body": texts, "transcriptId": references(TRANSCRIPTS)}),
    Endpoint("POST", "/api/notes/{id}", (CONSULTATIONS,), {"body": blanks, "transcriptId": anything}),
    Endpoint("GET", "/api/notes/{id}", (CONSULTATIONS,)),
    Endpoint("PATCH", "/api/notes/{id}", (NOTES,), {"body": texts}),
    Endpoint("DELETE", "/api/notes/{id}", (NOTES,)),
    Endpoint("POST", "/api/prompts", fields={"prompt_name": texts, "prompt_text": texts, "is_shareable": flags}),
    Endpoint("GET", "/api/prompts"),
    Endpoint(
        "PATCH", "/api/prompts/{id}", (PROMPTS,), {"prompt_name": texts, "prompt_text": texts, "is_shareable": flags}
    ),
    Endpoint("PATCH", "/api/prompts/{id}/add-prompt/{id}", (PROMPTS, TRANSCRIPTS)),
    Endpoint("DELETE", "/api/prompts/{id}", (PROMPTS,)),
    Endpoint("POST", "/api/ai/search", query={"query": service_texts}),
    Endpoint("GET", "/api/ai/search/clinicalcodes", query={"name": mostly(st.just("diabetes"), odd_answers)}),
    Endpoint("POST", "/api/ai/{id}/summarise", (CONSULTATIONS,), {"usedPrompt": texts}),
    Endpoint("POST", "/api/ai/analyze", fields={"prompt": service_texts, "images": images}),
)
REGISTER: Final = Endpoint(
    "POST",
    "/users/register",
    fields={
        "username": st.sampled_from(["dayo", " dayo ", "é"]),
        "email": emails,
        "password": st.sampled_from([PASSWORD, "", "x" * 80, "nul\0"]),
        "role": st.sampled_from(["clinician", "patient"]),
    },
)
"""Apart from the others, since whatever it does not like of username, email and role ends the legacy's process."""

SCHEMA_FIELDS: Final = ("is_deleted", "clinician", "transcript_ids", "created_at", "updated_at", "_id", "__v", "$set")


def _paths(endpoint: Endpoint) -> Strategy[str]:
    known = [references(kind).map(str) for kind in endpoint.of]
    parts = [mostly(one, ids, odd_ids.map(_in_path)) for one in known]
    return st.tuples(*parts).map(lambda drawn: filled(endpoint.path, drawn))


def _in_path(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass") or "%20"


def filled(path: str, drawn: tuple[str, ...]) -> str:
    for one in drawn:
        path = path.replace("{id}", one, 1)
    return path


@st.composite
def _bodies(draw: st.DrawFn, endpoint: Endpoint) -> JSON:
    """Draw an object with the endpoint's fields: some missing or of any type, or one too many."""
    body: dict[str, JSON] = {}
    for name, good in endpoint.fields.items():
        if draw(st.integers(0, 9)):
            body[name] = draw(mostly(good, anything, share=3))
    if draw(st.integers(0, 7)) == 0:
        body[draw(names | st.sampled_from(SCHEMA_FIELDS))] = draw(anything)
    return body


def _query(parameters: Mapping[str, Strategy[JSON]]) -> Strategy[str]:
    if not parameters:
        return st.sampled_from(["", "", "", "?", "?x=1", "?x=%zz&y[]=1", "??"])
    name, good = next(iter(parameters.items()))
    values = mostly(good, texts, share=3).map(lambda value: quote(str(value), safe="", errors="surrogatepass"))
    plain = values.map(lambda value: f"?{name}={value}")
    repeated = st.lists(values, min_size=2, max_size=3).map(
        lambda drawn: "?" + "&".join(f"{name}={value}" for value in drawn)
    )
    odd = st.sampled_from(
        [
            *(
                "",
                "?",
                f"?{name}",
                f"?{name}=",
                f"?{name}=a&{name}=b",
                f"?{name}[]=a",
                f"?{name}[$gt]=",
                f"?{name}=%zz",
            ),
            *(f"?{name.upper()}=a", f"?{name}=a+b", f"?{name}=%C3%A9", f"?{name}=%FF", f"?&&{name}=a&", f"?{name}=a=b"),
            *(
                f"?{name}=a#b",
                f"?%{ord(name[0]):x}{name[1:]}=a",
                "?__proto__=1",
                f"?{name}=a;{name}=b",
                f"?{name}=1&toString=2",
                *(
                    f"?{name}={value}"
                    for value in ("%ED%A0%80", "%00", "%u0041", "%", "a%2", "%C0%AF", "%26", "x" * 3000)
                ),
                *(
                    f"?{name}[0]=a&{name}[1]=b",
                    f"?{name}[__proto__]=a",
                    f"?{name}.a=b",
                    f"?{name}=a&{name}",
                    "?=x",
                    "?&=",
                ),
                *(f"?{'a=1&' * 999}{name}=b", f"?{'a=1&' * 1000}{name}=b", f"?{name}[a][b]=c", f"?{name}={{}}"),
            ),
        ]
    )
    return mostly(plain, repeated, odd)


@st.composite
def _sound(draw: st.DrawFn, endpoint: Endpoint) -> Action:
    """Draw a request of the form that a client sends, with any values."""
    target = draw(_paths(endpoint)) + draw(_query(endpoint.query))
    action = Action(endpoint.method, target, (("authorization", f"Bearer {TOKEN}"),))
    if endpoint.method == "GET":
        return action
    body = draw(_bodies(endpoint))
    return replace(action, body=spelled(body)).with_header("content-type", "application/json")


@st.composite
def actions(draw: st.DrawFn, changes: int) -> Action:
    """Draw any request with up to so many changes, often without any."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    action = draw(_sound(endpoint))
    for _ in range(max(draw(st.integers(-changes, changes)), 0)):
        action = draw(CHANGES)(action)
    return action


@st.composite
def registrations(draw: st.DrawFn) -> Action:
    """Draw a registration, with any password, that does not crash the legacy's process."""
    fields = {name: draw(good) for name, good in REGISTER.fields.items()}
    if draw(st.booleans()):
        fields["password"] = draw(anything)
    action = Action("POST", REGISTER.path, (), spelled(fields))
    return action.with_header("content-type", "application/json")
