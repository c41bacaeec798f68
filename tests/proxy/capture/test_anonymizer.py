"""A captured exchange has no personal data, and still satisfies the contract and serves `infer`."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from proxy.capture.anonymizer import MAX_ITEMS, AnonymizerTerms, Unsuitable, step
from proxy.capture.pseudonyms import Pseudonyms
from proxy.cli.main import main
from proxy.comparison.exchange import Body, Exchange
from proxy.comparison.volatile import match_volatile
from proxy.contract.model import DeclaredAnswer, DeclaredHeader, Operation
from proxy.contract.reading import load
from proxy.contract.schemas import Schema
from proxy.recordings import model
from proxy.types import JSON
from tests.support.exchanges import answered, exchange, object_id, operation, properties
from tests.support.json_values import texts

CONTRACTS = Path(__file__).parents[3] / "contracts"
KEY, SHIFT = b"k" * 32, -1000 * 86_400_000
SHOWN: JSON = {"enum": ["active", "nginx"], "x-report": "show"}
NOTE = properties(
    _id={"type": "string", "format": "objectid"},
    body={"type": "string"},
    at={"type": "string", "format": "date-time"},
    status=SHOWN,
    role={"enum": ["admin", "clinician"]},
    age={"type": "integer"},
    weight={"type": "number"},
    done={"type": "boolean"},
    token={"type": "string", "format": "jwt"},
)
CONTRACT = operation(
    properties(notes={"type": "array", "items": NOTE}, by={"additionalProperties": NOTE}),
    requests={
        "application/json": properties(body={"type": "string"}, role={"enum": ["admin", "clinician"]}),
        "application/x-www-form-urlencoded": properties(body={"type": "string"}),
    },
)
TERMS = AnonymizerTerms("/api/notes/{id}", CONTRACT)
TOKEN = "eyJhbGciOiJIUzI1NiJ9." + base64.urlsafe_b64encode(b'{"name":"Agnes"}').decode().rstrip("=") + ".c2lnbg"
HASH = "$2b$08$" + "a" * 53
DATE = "2026-11-22T10:20:30.123Z"

letters = st.sampled_from("ÀÉÎÕÜÝĆĐŁŃŘŚŤŽΩЖ漢字☤💉")
secrets = st.lists(letters, min_size=4, max_size=12).map("".join)
values: st.SearchStrategy[JSON] = st.recursive(
    cast("st.SearchStrategy[JSON]", secrets | st.integers(10**11, 10**15) | st.booleans() | st.none()),
    lambda inner: cast(
        "st.SearchStrategy[JSON]",
        st.lists(inner, max_size=4) | st.dictionaries(secrets | st.sampled_from(["notes", "body", "_id"]), inner),
    ),
    max_leaves=15,
)


def pseudonyms() -> Pseudonyms:
    return Pseudonyms(KEY, SHIFT)


def recorded_step(one: Exchange, terms: AnonymizerTerms = TERMS) -> dict[str, Any]:
    return step(one, terms, pseudonyms())


def body(one: Exchange, terms: AnonymizerTerms = TERMS) -> Any:
    return json.loads(recorded_step(one, terms)["response"]["text"])


def note(**fields: JSON) -> Any:
    return body(answered({"notes": [fields]}))["notes"][0]


def leaks(secret: str, recorded: Mapping[str, Any]) -> list[str]:
    text = json.dumps(recorded, ensure_ascii=False)
    return [secret[start : start + 4] for start in range(len(secret) - 3) if secret[start : start + 4] in text]


@given(values, values, st.sampled_from([TERMS, AnonymizerTerms("/api/*")]))
def test_captured_recording_contains_no_part_of_a_value(one: JSON, other: JSON, terms: AnonymizerTerms) -> None:
    sent = ((b"content-type", b"application/json"), (b"authorization", b"Bearer secret-credentials"))
    exchanged = answered(one, sent=json.dumps(other).encode(), sent_headers=sent)
    recorded = recorded_step(exchanged, terms)
    known_names = {"notes", "body", "_id"}
    assert not [
        leak for text in (*texts(one), *texts(other)) if text not in known_names for leak in leaks(text, recorded)
    ]
    assert "secret-credentials" not in json.dumps(recorded)


@given(secrets)
def test_captured_recording_contains_no_part_of_a_secret(secret: str) -> None:
    raw = secret.encode().decode("latin-1")
    packed = {"content-encoding": "gzip", "x-patient": raw, "location": raw, "set-cookie": f"{raw}={raw}", "vary": raw}
    form = ((b"content-type", b"application/x-www-form-urlencoded"), (b"cookie", secret.encode()))
    for one in (
        exchange(secret.encode(), "text/plain; charset=utf-8"),
        exchange(f"<p>{secret}</p>".encode(), "text/html"),
        exchange(urlencode({secret: secret}).encode(), "application/x-www-form-urlencoded"),
        exchange(secret.encode(), "image/png"),
        exchange(secret.encode(), f"text/{raw}"),
        exchange(f'{{"body":"{secret}'.encode()),
        exchange(gzip.compress(json.dumps({"body": secret}).encode()), headers=packed.items()),
        exchange(b"{}", target=f"/api/notes/{secret}?q={secret}&{secret}=1"),
        exchange(b"{}", headers=[(secret, "1"), ("vary", f"Origin, {raw}"), ("allow", f"{raw},GET")]),
        exchange(sent=urlencode({"body": secret, secret: secret}).encode(), sent_headers=form),
        exchange(sent=secret.encode(), sent_headers=((secret.encode(), secret.encode()),)),
        exchange(b"--x\r\n\r\n" + secret.encode() + b"\r\n--x--", "multipart/form-data; boundary=x"),
    ):
        for terms in (TERMS, AnonymizerTerms("/api/*")):
            recorded = recorded_step(one, terms)
            assert not leaks(secret, recorded) + leaks(raw, recorded)


def test_value_types_are_kept_without_content() -> None:
    document = note(
        _id=object_id(7),
        body="Agnes",
        at=DATE,
        status="active",
        role="admin",
        age=71,
        weight=-0.5,
        done=True,
        token=TOKEN,
    )
    assert match_volatile(document["_id"]).kind == "id"  # type: ignore[union-attr]
    assert document["body"].startswith("text ")
    assert match_volatile(document["at"]).kind == "date"  # type: ignore[union-attr]
    assert match_volatile(document["token"]).kind == "token"  # type: ignore[union-attr]
    assert (document["status"], document["role"]) == ("active", "admin")
    assert (document["age"], document["weight"], document["done"]) == (1, -1.5, False)
    assert note(age=0, weight=0.0, body=None) == {"age": 0, "weight": 0.0, "body": None}
    assert note(age=-71, weight=2.5, body="") == {"age": -1, "weight": 1.5, "body": ""}


def test_id_has_one_pseudonym_within_a_capture() -> None:
    one = answered({"notes": [{"_id": object_id(7)}, {"_id": object_id(7)}, {"_id": object_id(8)}]})
    recorded = recorded_step(Exchange(**{**_fields(one), "target": f"/api/notes/{object_id(7)}".encode()}))
    first, again, other = (note["_id"] for note in json.loads(recorded["response"]["text"])["notes"])
    assert first == again != other
    assert recorded["request"]["path"] == f"/api/notes/{first}"
    assert step(one, TERMS, Pseudonyms(b"j" * 32, SHIFT)) != step(one, TERMS, pseudonyms())


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        (DATE, "2024-02-26T10:20:30.123Z"),
        ("2026-11-22T10:20:30+02:00", "2024-02-26T10:20:30+02:00"),
        ("2026-11-22T10:20:30.123456789Z", None),
        ("0001-01-01T00:00:00Z", "2000-01-01T00:00:00.000Z"),
        ("2026-13-45T00:00:00Z", "2000-01-01T00:00:00.000Z"),
    ],
)
def test_dates_are_shifted_in_their_own_notation(text: str, stands: str | None) -> None:
    pseudonym = pseudonyms().text(text)
    assert pseudonym == stands or stands is None
    assert match_volatile(pseudonym).kind == "date"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "kind"), [(HASH, "hash"), ("1795376469123-abc123", "stamp"), ("1795376469123", "epoch"), (TOKEN, "token")]
)
def test_other_volatile_kinds_keep_their_form(text: str, kind: str) -> None:
    volatile = match_volatile(pseudonyms().text(text))
    assert volatile is not None
    assert (volatile.kind, volatile.text != text, volatile.text) == (kind, True, pseudonyms().text(text))


def test_entity_tag_is_as_weak_or_as_strong() -> None:
    headers = [("etag", 'W/"1a-Agnes"'), ("x-powered-by", "Express"), ("vary", "Origin"), ("allow", "GET,HEAD")]
    recorded = recorded_step(answered({}, headers=headers))["response"]["headers"]
    assert recorded["etag"].startswith('W/"')
    assert "Agnes" not in recorded["etag"]
    assert recorded["x-powered-by"].startswith("text ")
    assert (recorded["vary"], recorded["allow"]) == ("Origin", "GET,HEAD")
    assert recorded_step(answered({}, headers=[("etag", '"1"')]))["response"]["headers"]["etag"].startswith('"')


def test_header_written_or_shown_by_the_contract_is_kept() -> None:
    headers = {"x-powered-by": DeclaredHeader(Schema({"const": "Express"})), "server": DeclaredHeader(Schema(SHOWN))}
    contract = Operation(
        "notes", "GET", "/api/notes", {"200": DeclaredAnswer(headers, {"application/json": Schema(True)})}
    )
    one = answered({}, headers=[("x-powered-by", "Express")])
    assert (
        recorded_step(one, AnonymizerTerms("/api/notes", contract))["response"]["headers"]["x-powered-by"] == "Express"
    )


def test_names_outside_the_contract_are_omitted_unless_requested() -> None:
    one = answered({"notes": [], "Agnes": 1}, target="/api/notes/1?q=Agnes&page=2")
    assert body(one) == {"notes": []}
    named = AnonymizerTerms("/api/notes/{id}", CONTRACT, named=True)
    assert body(one, named) == {"notes": [], "Agnes": 1}
    assert recorded_step(one, named)["request"]["path"] == "/api/notes/1?q=text+1&page=text+2"
    assert recorded_step(one)["request"]["path"] == "/api/notes/1"


def test_ids_as_names_get_pseudonyms() -> None:
    [name] = body(answered({"by": {object_id(3): {"age": 5}}}))["by"]
    assert match_volatile(name).kind == "id"  # type: ignore[union-attr]
    assert name != object_id(3)


def test_wildcard_segments_get_pseudonyms() -> None:
    one = exchange(target="/api/Agnes/41//x")
    assert recorded_step(one, AnonymizerTerms("/api/*"))["request"]["path"] == "/api/text-1/1//text-2"
    assert recorded_step(exchange(target="/"), AnonymizerTerms("/"))["request"]["path"] == "/"
    assert recorded_step(exchange(target="/API/Notes/7/"), TERMS)["request"]["path"] == "/api/notes/1"


def test_requests_keep_their_form() -> None:
    sent = ((b"content-type", b"application/json; charset=utf-8"), (b"authorization", f"Bearer {TOKEN}".encode()))
    request = recorded_step(exchange(method="POST", sent=b'{"body":"Agnes","role":"admin"}', sent_headers=sent))[
        "request"
    ]
    assert request["headers"]["content-type"] == "application/json; charset=utf-8"
    assert request["headers"]["authorization"].startswith("Bearer eyJ")
    assert json.loads(request["content"])["role"] == "admin"
    form = ((b"content-type", b"application/x-www-form-urlencoded"), (b"authorization", b"Agnes"))
    request = recorded_step(exchange(method="POST", sent=b"body=Agnes&x=1", sent_headers=form))["request"]
    assert request["content"] == "body=text+1"
    assert request["headers"]["authorization"].startswith("Bearer")


def test_hangs_and_resets_are_recorded_as_such() -> None:
    for outcome in ("hang", "reset"):
        recorded = recorded_step(exchange(outcome=outcome))
        assert recorded["outcome"] == outcome
        assert "response" not in recorded


@pytest.mark.parametrize(
    "one",
    [
        exchange(outcome="gone"),
        exchange(outcome="unasked"),
        exchange(method="AGNES"),
        exchange(b"x", headers=[("content-encoding", "gzip")]),
        answered({"notes": [{"body": "a"}]}, headers=[("content-encoding", "agnes")]),
    ],
)
def test_unrecordable_exchange_is_unsuitable(one: Exchange) -> None:
    with pytest.raises(Unsuitable):
        recorded_step(one)


def test_large_or_deeply_nested_body_is_unsuitable() -> None:
    with pytest.raises(Unsuitable, match="too large"):
        recorded_step(Exchange(**{**_fields(exchange()), "body": Body(b"", 999_999, (b"digest",))}))
    deep = b'{"notes":' + b"[" * 40 + b"]" * 40 + b"}"
    with pytest.raises(Unsuitable, match="too deep"):
        recorded_step(exchange(deep))
    assert len(body(answered({"notes": [{"age": n} for n in range(100)]}))["notes"]) == MAX_ITEMS


def test_pseudonym_violating_the_contract_is_unsuitable() -> None:
    strict = operation(properties(code={"type": "string", "pattern": "^[0-9]{4}$"}))
    with pytest.raises(Unsuitable, match="violates the contract"):
        recorded_step(answered({"code": "1234"}), AnonymizerTerms("/api/notes", strict))
    assert recorded_step(answered({"code": "none"}), AnonymizerTerms("/api/notes", strict))
    strict_requests = operation(
        True, requests={"application/json": properties(code={"type": "string", "pattern": "^[0-9]$"})}
    )
    sent = ((b"content-type", b"application/json"),)
    with pytest.raises(Unsuitable, match="violates the contract"):
        recorded_step(
            exchange(outcome="hang", sent=b'{"code":"1"}', sent_headers=sent), AnonymizerTerms("/", strict_requests)
        )


@pytest.mark.slow
def test_recordings_of_legacy_stay_playable(tmp_path: Path) -> None:
    # Every recorded answer is captured. The contract holds for the captures, and `infer` learns nothing from them.
    scribe, names = load(CONTRACTS / "openapi.yaml"), pseudonyms()
    steps: list[JSON] = []
    regular = {one["scenario"] for one in json.loads((CONTRACTS / "recordings" / "http.json").read_text())}
    scenarios = [one for one in model.load(CONTRACTS / "recordings").scenarios if one.name in regular]
    for one in (one for scenario in scenarios for one in scenario.steps):
        known = scribe.operation(one.request.method, one.request.target)
        assert known is not None
        steps.append({"name": str(len(steps)), **step(_exchange(one), AnonymizerTerms(known.template, known), names)})
    assert len(steps) > 250
    for file in CONTRACTS.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    (tmp_path / "http.json").write_text(json.dumps([{"scenario": "captured", "steps": steps}]))
    where = ("--recordings", str(tmp_path), f"--{{}}={tmp_path / 'openapi.yaml'}")
    for command, option, said in (("check", "contract", "0 violations"), ("infer", "into", "0 changes in 0 files")):
        arguments = ["contracts", command, *where[:2], where[2].format(option)]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        assert said in result.output


def _exchange(one: model.Step) -> Exchange:
    return exchange(
        one.answer.body,
        "",
        status=one.answer.status,
        headers=one.answer.headers.items(),
        target=one.request.target,
        method=one.request.method,
        sent=one.request.body or b"",
        sent_headers=tuple((name.encode(), value.encode()) for name, value in one.request.headers),
        outcome=one.answer.outcome,
    )


def _fields(one: Exchange) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Exchange._fields}
