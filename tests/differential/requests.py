"""Strategies for requests: of every endpoint, mostly sound, with one thing or another wrong."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

import brotli  # type: ignore[import-untyped]
from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.actions import Action, spelled
from tests.differential.people import CONSULTATIONS, NOTES, OTHER_TOKEN, PASSWORD, PROMPTS, TOKEN, TRANSCRIPTS
from tests.differential.tokens import AUTHORISATIONS
from tests.differential.values import Strategy, anything, flags, ids, mostly, names, odd_ids, references, texts

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
        )
    ]
)


@dataclass(frozen=True)
class Endpoint:
    """What is asked of whom: `{id}` in the path is drawn from `of`, `fields` make the body."""

    method: str
    path: str
    of: tuple[int, ...] = ()
    fields: Mapping[str, Strategy[JSON]] = field(default_factory=dict)
    query: Mapping[str, Strategy[JSON]] = field(default_factory=dict)


ENDPOINTS: Final = (
    Endpoint("GET", "/"),
    Endpoint("GET", "/users/users/checkEmail", query={"email": emails}),
    Endpoint("POST", "/users/login", fields={"email": emails, "password": st.just(PASSWORD)}),
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
    Endpoint("POST", "/api/ai/search", query={"query": texts}),
    Endpoint("GET", "/api/ai/search/clinicalcodes", query={"name": st.just("diabetes")}),
    Endpoint("POST", "/api/ai/{id}/summarise", (CONSULTATIONS,), {"usedPrompt": texts}),
    Endpoint("POST", "/api/ai/analyze", fields={"prompt": texts, "images": images}),
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
    return st.tuples(*parts).map(lambda drawn: _fill(endpoint.path, drawn))


def _in_path(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass") or "%20"


def _fill(path: str, drawn: tuple[str, ...]) -> str:
    for one in drawn:
        path = path.replace("{id}", one, 1)
    return path


@st.composite
def _bodies(draw: st.DrawFn, endpoint: Endpoint) -> JSON:
    """An object with the endpoint's fields, each now and then missing or of any type, or with one too many."""
    found: dict[str, JSON] = {}
    for name, good in endpoint.fields.items():
        if draw(st.integers(0, 9)):
            found[name] = draw(mostly(good, anything, share=3))
    if draw(st.integers(0, 7)) == 0:
        found[draw(names | st.sampled_from(SCHEMA_FIELDS))] = draw(anything)
    return found


def _query(parameters: Mapping[str, Strategy[JSON]]) -> Strategy[str]:
    if not parameters:
        return st.sampled_from(["", "", "", "?", "?x=1", "?x=%zz&y[]=1", "??"])
    name, good = next(iter(parameters.items()))
    values = mostly(good, texts, share=3).map(lambda value: quote(str(value), safe="", errors="surrogatepass"))
    plain = values.map(lambda value: f"?{name}={value}")
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
            ),
        ]
    )
    return mostly(plain, odd)


@st.composite
def _sound(draw: st.DrawFn, endpoint: Endpoint) -> Action:
    """A request as a client would make it, whatever its values."""
    target = draw(_paths(endpoint)) + draw(_query(endpoint.query))
    action = Action(endpoint.method, target, (("authorization", f"Bearer {TOKEN}"),))
    if endpoint.method == "GET":
        return action
    body = draw(_bodies(endpoint))
    return replace(action, body=spelled(body)).with_header("content-type", "application/json")


Change = Callable[[Action], Action]

RAW_BODIES: Final = (
    *(
        "",
        "{",
        "{}",
        "[]",
        "null",
        "1",
        '"x"',
        "true",
        " {} ",
        "\t[1]",
        "{} x",
        '{"body":}',
        "{'a':1}",
        "[1,]",
        "nul",
        "\x00",
    ),
    *(
        '{"body":"\\ud800","prompt_name":"\\ud800"}',
        '{"body":1e400}',
        '{"body":-0}',
        '{"__proto__":{"body":"x"},"a":1}',
    ),
    *(
        '{"body":"a","body":"b"}',
        '{"body":"\xff"}',
        '\xef\xbb\xbf{"body":"bom"}',
        "[" * 500 + "]" * 500,
        '{"body":"\t"}',
    ),
    *(
        '{"a":' * 120 + "1" + "}" * 120,
        '{"patient_data":' + '{"a":' * 150 + "1" + "}" * 151,
        '{"body":12345678901234567890}',
    ),
)
TYPES: Final = (
    *(
        None,
        "",
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-16LE",
        "APPLICATION/JSON",
    ),
    *(
        "application/json; charset=latin1",
        "application/json; charset=nonsense",
        "application/json; charset=",
        "text/json",
    ),
    *("application/json; charset=us-ascii", "application/json; charset=utf-32", 'application/json; charset="utf-8"'),
    *(
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/vnd.api+json",
        "application/jsonx",
        "json",
        "*/*",
    ),
    *("application/json, text/plain", "application/json; x", "application/json;;", "multipart/form-data; boundary=x"),
)
_RAW_DEFLATE: Final = zlib.compressobj(wbits=-15)
ENCODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
    "Identity": bytes,
    "br": brotli.compress,
    "compress": bytes,
    "gzip, deflate": bytes,
    "": bytes,
}


def _coded(name: str, sound: bool) -> Change:
    def change(action: Action) -> Action:
        data = (action.body or "").encode("latin-1")
        packed = ENCODINGS[name](data) if sound else data
        return replace(action, body=packed.decode("latin-1")).with_header("content-encoding", name)

    return change


def _retyped(text: str) -> Change:
    """A body in another charset, which its type may or may not tell."""

    def change(action: Action) -> Action:
        raw = (action.body or "{}").encode("latin-1").decode("utf-8", "replace")
        return replace(action, body=raw.encode(text, "replace").decode("latin-1"))

    return change


def _header(name: str, values: Strategy[str | None]) -> Strategy[Change]:
    return values.map(lambda value: lambda action: action.with_header(name, value))


def _moved(change: Callable[[str], str]) -> Change:
    return lambda action: replace(action, target=change(action.target) or "/")


def _upper(target: str) -> str:
    path, mark, query = target.partition("?")
    return path.upper() + mark + query if "<" not in path else path


PATH_CHANGES: Final[tuple[Callable[[str], str], ...]] = (
    _upper,
    lambda target: target.replace("?", "/?", 1) if "?" in target else target + "/",
    lambda target: target + "//",
    lambda target: "/" + target,
    lambda target: target.replace("/api/", "/api//", 1),
    lambda target: target.replace("/api/", "/api/../api/", 1),
    lambda target: target.replace("/api/", "/%61pi/", 1),
    lambda target: target + "/more",
    lambda target: target + "%2F",
    lambda target: target + "%zz",
    lambda target: target + "%E0%A4%A",
    lambda target: target + "%00",
    lambda target: target.rpartition("/")[0] or "/",
    lambda target: target + ";x=1",
    lambda target: target + "<b>'\"&",
    lambda target: target + "\xe9",
    lambda target: "http://other.example" + target,
)
CHANGES: Final[Strategy[Change]] = st.one_of(
    _header("authorization", AUTHORISATIONS | st.none()),
    _header("authorization", st.just(f"Bearer {OTHER_TOKEN}")),
    _header("origin", st.sampled_from(["http://localhost:3000", "https://evil.example", "null", ""])),
    _header("content-type", st.sampled_from(TYPES)),
    _header("if-none-match", st.sampled_from(["*", "<etag 0>", "<etag 1>", 'W/"x", <etag 2>', "", '"x"'])),
    _header("cache-control", st.sampled_from(["no-cache", "max-age=0"])),
    _header("accept", st.sampled_from(["text/html", "*/*", "application/xml", ""])),
    _header("transfer-encoding", st.just("chunked")),
    _header("access-control-request-headers", st.sampled_from(["x-a, x-b", ""])),
    st.sampled_from(RAW_BODIES).map(lambda text: lambda action: replace(action, body=text)),
    st.just(lambda action: replace(action, body=None)),
    anything.map(lambda value: lambda action: replace(action, body=spelled(value))),
    st.sampled_from(sorted(ENCODINGS)).flatmap(lambda name: st.booleans().map(lambda sound: _coded(name, sound))),
    st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-8-sig", "utf-32"]).map(_retyped),
    st.sampled_from(PATH_CHANGES).map(_moved),
    st.sampled_from(["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "GET", "POST", "TRACE", "PROPFIND"]).map(
        lambda method: lambda action: replace(action, method=method)
    ),
)


@st.composite
def actions(draw: st.DrawFn, changes: int) -> Action:
    """Any request, changed in up to so many ways, often in none."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    action = draw(_sound(endpoint))
    for _ in range(max(draw(st.integers(-changes, changes)), 0)):
        action = draw(CHANGES)(action)
    return action


@st.composite
def registrations(draw: st.DrawFn) -> Action:
    """A registration with nothing in it that ends the legacy's process; any password."""
    fields = {name: draw(good) for name, good in REGISTER.fields.items()}
    if draw(st.booleans()):
        fields["password"] = draw(anything)
    action = Action("POST", REGISTER.path, (), spelled(fields))
    return action.with_header("content-type", "application/json")
