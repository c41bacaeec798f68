"""No patient data of an exchange enters a report, unless the contract allows it."""

from __future__ import annotations

import gzip
import json
from typing import cast
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.exchange import Body, Exchange
from proxy.comparison.exchanges import compare
from proxy.comparison.verdicts import Difference, LocatedValue
from proxy.contract.disclosure import HEADER_NAMES, is_named
from proxy.contract.model import DeclaredAnswer, Operation
from proxy.contract.schemas import Schema
from proxy.reports.redaction import Mode, Redactor, leaf
from proxy.types import JSON
from tests.support.exchanges import answered, exchange, object_id, operation, properties
from tests.support.json_values import texts
from tests.support.redacted_contract import CONTRACT, KEY, NOTE, PATIENT, SHOWN

# Letters that occur in no word of a redaction, so that whatever of them is found there was leaked.
letters = st.sampled_from("ÀÉÎÕÜÝĆĐŁŃŘŚŤŽΩЖ漢字☤💉")
secrets = st.lists(letters, min_size=4, max_size=12).map("".join)
long_numbers = st.integers(10**11, 10**15)
values: st.SearchStrategy[JSON] = st.recursive(
    cast("st.SearchStrategy[JSON]", secrets | long_numbers | st.booleans() | st.none()),
    lambda inner: cast(
        "st.SearchStrategy[JSON]",
        st.lists(inner, max_size=4) | st.dictionaries(secrets | st.sampled_from(["notes", "body", "_id"]), inner),
    ),
    max_leaves=15,
)


def redact(legacy: Exchange, native: Exchange, contract: Operation | None = CONTRACT) -> str:
    """Return everything that a report may store, as text."""
    redactor = Redactor(KEY, contract)
    verdict = redactor.verdict(compare(legacy, native, contract), legacy, native)
    stored = [
        verdict,
        *(method(backend) for backend in (legacy, native) for method in (redactor.request, redactor.answer)),
    ]
    return json.dumps(stored, ensure_ascii=False, allow_nan=False)


def leaks(secret: str, redacted: str) -> list[str]:
    """Return the parts of a secret, four characters long, that were disclosed."""
    return [secret[start : start + 4] for start in range(len(secret) - 3) if secret[start : start + 4] in redacted]


@given(values, values, st.sampled_from([CONTRACT, None]))
def test_redacted_answer_contains_no_part_of_a_value(one: JSON, other: JSON, contract: Operation | None) -> None:
    redacted = redact(answered(one, sent=json.dumps(other).encode()), answered(other), contract)
    known_names = {"notes", "body", "_id"}
    assert not [
        leak for text in (*texts(one), *texts(other)) if text not in known_names for leak in leaks(text, redacted)
    ]


@given(secrets)
def test_redacted_answer_contains_no_part_of_a_secret(secret: str) -> None:
    packed = {"content-encoding": "gzip", "x-patient": secret.encode().decode("latin-1")}
    exchanges = [
        exchange(secret.encode(), "text/plain"),
        exchange(f"<p>{secret}</p>".encode(), "text/html"),
        exchange(urlencode({secret: secret}).encode(), "application/x-www-form-urlencoded"),
        exchange(secret.encode(), "image/png"),
        exchange(f'{{"body":"{secret}'.encode()),
        exchange(gzip.compress(json.dumps({"body": secret}).encode()), headers=packed.items()),
        exchange(secret.encode(), headers=packed.items()),
        exchange(b"{}", f"text/{secret.encode().decode('latin-1')}"),
        exchange(b"{}", target=f"/api/notes/{secret}?q={secret}", method=secret),
        exchange(sent=secret.encode(), sent_headers=((secret.encode(), secret.encode()), (b"cookie", secret.encode()))),
        exchange(b"--x\r\n\r\n" + secret.encode() + b"\r\n--x--", f"multipart/form-data; boundary=x; a={secret!a}"),
    ]
    for each in exchanges:
        redacted = redact(each, answered({"count": 1}))
        raw = secret.encode().decode("latin-1")
        assert not leaks(secret, redacted) + leaks(raw, redacted)


def test_patient_data_survive_no_redaction() -> None:
    body: JSON = {"notes": [{"_id": object_id(1), "body": PATIENT, PATIENT: PATIENT}], "count": 9434765919}
    redacted = redact(
        answered(body, headers=[("x-name", PATIENT), (PATIENT.lower(), "1")]), answered({"notes": [PATIENT]})
    )
    assert "ghtin" not in redacted.lower()
    assert "9434" not in redacted
    assert object_id(1) not in redacted


def test_redacted_answer_has_shape_and_known_names() -> None:
    redacted = Redactor(KEY, CONTRACT).answer(answered({"notes": [{"body": "four"}], "surname": None}))
    content = cast("dict[str, JSON]", redacted["body"])["content"]
    digest = Redactor(KEY).digest("four")
    assert content == {
        "type": "object",
        "length": 2,
        "fields": [
            [
                "notes",
                {
                    "type": "array",
                    "length": 1,
                    "items": [
                        {
                            "type": "object",
                            "length": 1,
                            "fields": [["body", {"type": "string", "length": 4, "digest": digest}]],
                        }
                    ],
                },
            ],
            [f"~{Redactor(KEY).digest('surname')}", {"type": "null"}],
        ],
    }


def test_value_declared_as_shown_is_shown() -> None:
    redacted = redact(answered({"notes": [{"status": "active"}]}), answered({"notes": [{"status": "ended"}]}))
    assert '"value": "active"' in redacted
    assert '"value": "ended"' in redacted
    assert "active" not in redact(answered({"notes": [{"status": "active"}]}), answered({}), None)


def test_value_is_shown_where_its_answer_is_declared_only() -> None:
    shown: JSON = {"msg": "in plain sight"}
    assert "in plain sight" in redact(answered(shown, status=404), answered(shown))
    assert "in plain sight" not in redact(answered(shown, status=500), answered(shown, status=500))
    hidden = exchange(json.dumps(shown).encode(), "text/plain")
    assert "in plain sight" not in redact(hidden, hidden)


def test_field_below_a_shown_one_needs_its_own_declaration() -> None:
    assert PATIENT not in redact(answered({"msg": {"name": PATIENT}}), answered({"msg": [PATIENT]}))


def test_long_shown_value_is_cut_and_surrogates_are_hidden() -> None:
    assert "x" * 201 not in redact(answered({"msg": "x" * 999}), answered({"msg": "x" * 200}))
    assert '"value": "?"' not in redact(answered({"msg": "a"}), answered({"msg": "\ud800"}))


@pytest.mark.parametrize("value", [PATIENT, "9434765919", 9434765919, -9434765919, 9434765919.25, [9434765919]])
def test_undeclared_value_is_not_shown(value: JSON) -> None:
    redacted = redact(answered({"msg": value}), answered({"msg": "active"}))
    assert PATIENT not in redacted
    assert "9434765919" not in redacted


def test_request_content_is_redacted() -> None:
    redacted = redact(
        answered({}, sent=b'{"body":"secret"}', sent_headers=((b"content-type", b"application/json"),)), answered({})
    )
    assert "secret" not in redacted
    assert '["body", {' in redacted


def test_request_is_redacted_where_any_answer_is_declared() -> None:
    shown = Schema(properties(body=SHOWN))
    contract = Operation(
        "notes", "GET", "/api/notes", {"200": DeclaredAnswer(media={"*/*": shown})}, {"application/json": shown}
    )
    sent = answered({}, sent=b'{"body":"active"}', sent_headers=((b"content-type", b"application/json"),))
    assert "active" not in json.dumps(Redactor(KEY, contract).request(sent))


def test_redacted_verdict_has_paths_types_and_declarations() -> None:
    legacy, native = answered({"notes": [{"body": "a"}]}), answered({"notes": [{"body": 1, "Agnes": 2}]})
    redacted = Redactor(KEY, CONTRACT).verdict(compare(legacy, native, CONTRACT), legacy, native)
    digest = Redactor(KEY).digest
    assert redacted["verdict"] == "mismatch"
    assert redacted["differences"] == [
        {
            "field": "body.notes.*.body",
            "kind": "type",
            "severity": "breaking",
            "legacy": {
                "path": "body.notes.0.body",
                "value": {"type": "string", "length": 1, "digest": digest("a")},
            },
            "native": {"path": "body.notes.0.body", "value": {"type": "integer", "digest": digest(1)}},
            "declared": False,
        },
        {
            "field": f"body.notes.*.~{digest('Agnes')}",
            "kind": "extra",
            "severity": "minor",
            "legacy": None,
            "native": {
                "path": f"body.notes.0.~{digest('Agnes')}",
                "value": {"type": "integer", "digest": digest(2)},
            },
            "declared": False,
        },
    ]
    assert redacted["violations"] == [
        {
            "backend": "native",
            "field": "body.notes.*.body",
            "rule": "type",
            "message": "is not of type string",
        }
    ]


EMPTY: JSON = {"type": "object", "length": 0, "fields": []}


@given(values)
def test_redacted_dry_run_contains_no_part_of_a_value(document: JSON) -> None:
    writes: list[dict[str, JSON]] = [
        {"collection": "notes", "operation": "insert", "document": document},
        {"collection": "notes", "operation": "update", "filter": {"_id": document}, "update": {"$set": document}},
        {"collection": document, "operation": document},
    ]
    redacted = json.dumps(Redactor(KEY, CONTRACT).writes(writes), ensure_ascii=False)
    known_names = {"notes", "body", "_id"}
    assert not [leak for text in texts(document) if text not in known_names for leak in leaks(text, redacted)]


@pytest.mark.parametrize("name", ["notes of Agnes", "notes.Agnes", "notes\nAgnes", "notesAgnes", "agnes" * 9])
def test_collection_of_an_unusual_name_is_redacted(name: str) -> None:
    [redacted] = Redactor(KEY, CONTRACT).writes([{"collection": name, "operation": "insert"}])
    assert redacted == {"collection": f"~{Redactor(KEY).digest(name)}", "operation": "insert", "content": EMPTY}


def test_dry_run_shows_names_of_contract_and_mongodb() -> None:
    write: dict[str, JSON] = {"collection": "notes", "operation": "update", "update": {"$set": {"body": 1, "Agnes": 2}}}
    digest = Redactor(KEY).digest
    [redacted] = Redactor(KEY, CONTRACT).writes([write])
    fields = [["body", {"type": "integer", "digest": digest(1)}], [f"~{digest('Agnes')}", leaf(Redactor(KEY), 2)]]
    changed = {"type": "object", "length": 1, "fields": [["$set", {"type": "object", "length": 2, "fields": fields}]]}
    assert redacted == {
        "collection": "notes",
        "operation": "update",
        "content": {"type": "object", "length": 1, "fields": [["update", changed]]},
    }


def test_name_from_an_example_only_is_unknown() -> None:
    schema: JSON = {"anyOf": [properties(body=True), {"enum": [{"properties": {"Agnes": 1}}]}]}
    write: dict[str, JSON] = {"collection": "notes", "operation": "insert", "document": {"body": 1, "Agnes": 2}}
    redacted = json.dumps(Redactor(KEY, operation(schema)).writes([write]))
    assert '"body"' in redacted
    assert "Agnes" not in redacted


def test_unknown_names_share_one_field_without_a_lasting_key() -> None:
    legacy, native = answered({"Agnes": 1}), answered({})
    [difference] = compare(legacy, native, CONTRACT).differences
    fleeting = Redactor(KEY, CONTRACT, fleeting=True)
    assert fleeting.field(difference.path, legacy) == "body.~"
    spot = cast("dict[str, JSON]", fleeting.difference(difference, legacy, native)["legacy"])
    assert spot["path"] == f"body.~{fleeting.digest('Agnes')}"


def test_content_type_that_the_contract_lacks_is_not_quoted() -> None:
    native = exchange(b"x", f"text/{PATIENT.split()[0]}")
    redacted = Redactor(KEY, CONTRACT).verdict(compare(answered({}), native, CONTRACT), answered({}), native)
    assert "is not a content type of this status" in json.dumps(redacted)
    assert "agnes" not in json.dumps(redacted).lower()


def test_statuses_and_outcomes_are_shown() -> None:
    assert '"value": "404"' in redact(answered({}), answered({}, status=404))
    assert '"value": "hang"' in redact(answered({}), exchange(outcome="hang"))


def test_hidden_field_is_named() -> None:
    contract = operation({"properties": {"count": {"x-compare": "ignore"}}})
    legacy, native = answered({"count": 1, "a": 1}), answered({"count": 2, "a": 1})
    redacted = Redactor(KEY, contract).verdict(compare(legacy, native, contract), legacy, native)
    assert (redacted["verdict"], redacted["hidden"]) == ("match", ["body.count"])


def test_ids_as_keys_share_a_field() -> None:
    legacy, native = answered({object_id(1): 1}), answered({object_id(2): 2})
    verdict = compare(legacy, native)
    assert verdict.differences[0].field == "body.<id>"
    assert '"field": "body.<id>"' in redact(legacy, native)


@pytest.mark.parametrize("mode", ["full", "values"])
def test_booleans_and_null_have_no_digest(mode: Mode) -> None:
    redactor = Redactor(KEY, CONTRACT, mode=mode)
    assert [redactor.leaf(value) for value in (True, False, None)] == [
        {"type": "boolean"},
        {"type": "boolean"},
        {"type": "null"},
    ]


def test_digests_depend_on_key_type_and_value() -> None:
    one, other = Redactor(KEY), Redactor(KEY + b"!")
    digests = [one.digest("1"), one.digest(1), one.digest(b"1"), one.digest("2"), other.digest("1")]
    assert len(set(digests)) == len(digests)
    assert one.digest("1") == Redactor(KEY, CONTRACT).digest("1")
    assert set("".join(digests)) <= set("bcdfghjklmnpqrst")


def test_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Redactor(b"short")


def test_unknown_header_names_are_redacted() -> None:
    redacted = json.dumps(Redactor(KEY).answer(exchange(headers=[("x-agnes", "1"), ("etag", "2")])))
    assert "agnes" not in redacted
    assert '"etag"' in redacted
    assert all(name == name.lower() for name in HEADER_NAMES)


def test_truncated_body_is_redacted_to_length_and_digest() -> None:
    plain, body = exchange(), Body(b"", 999, (b"abcdef",))
    fields = {name: getattr(plain, name) for name in Exchange._fields}
    redacted = Redactor(KEY).answer(Exchange(**{**fields, "body": body}))
    content = {"type": "binary", "digest": Redactor(KEY).digest(str(body.digest).encode())}
    assert redacted["body"] == {"form": "truncated", "length": 999, "content": content}


def test_difference_of_digested_bodies_has_their_lengths() -> None:
    large = exchange()._replace(body=Body(b"", 999_999, (b"abcdef",)))
    spots = (LocatedValue(("body",), {"length": length, "equal_until": 65_536}) for length in (999_999, 7))
    redacted = Redactor(KEY).difference(Difference(("body",), "value", "major", *spots), large, exchange())
    assert [redacted[backend] for backend in ("legacy", "native")] == [
        {"path": "body", "value": {"type": "string", "value": f"{length} bytes, the first 65,536 equal"}}
        for length in ("999,999", "7")
    ]


def test_redaction_is_bounded() -> None:
    wide: JSON = [[[n, str(n)] for n in range(60)] for _ in range(60)]
    redacted = json.dumps(Redactor(KEY).answer(answered(wide)))
    assert len(redacted) < 400_000
    assert '"cut": true' in redacted
    deep = exchange(b"[" * 500 + b"]" * 500)
    assert redact(deep, deep, None)


@pytest.mark.parametrize(
    ("schema", "path", "named"),
    [
        (NOTE, ["body"], True),
        (NOTE, ["Agnes"], False),
        (None, ["body"], False),
        (True, ["body"], False),
        ({"items": NOTE}, [0, "body"], True),
        ({"items": NOTE}, ["body"], False),
        ({"additionalProperties": NOTE}, ["Agnes"], False),
        ({"additionalProperties": NOTE}, ["Agnes", "body"], True),
        ({"anyOf": [{"type": "null"}, NOTE]}, ["body"], True),
        ({"allOf": [{"oneOf": [NOTE]}]}, ["body"], True),
        ({"properties": {"a": {"anyOf": [NOTE]}}}, ["a", "body"], True),
    ],
)
def test_schema_names_properties(schema: JSON, path: list[str | int], named: bool) -> None:
    assert is_named(schema, path) is named
