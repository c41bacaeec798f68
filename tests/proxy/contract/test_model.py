"""A contract in use: the operation of a request, violations of an answer, hints; any body has a verdict."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.contract.model import Contract, DeclaredAnswer, Operation
from proxy.contract.payloads import PayloadError, is_json, media_type, read_payload
from proxy.contract.reading import load
from proxy.contract.values import ContractViolation, Hints

CONTRACT = """
openapi: 3.1.1
info: {title: t, version: '1'}
paths:
  /api/notes/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get:
      operationId: notes.read
      responses:
        '200':
          description: ok
          headers:
            X-Kind: {required: true, schema: {const: note, x-report: show}}
            ETag: {schema: {type: string}}
          content:
            application/json:
              schema:
                type: object
                required: [notes]
                additionalProperties: {enum: [1], x-report: show}
                properties:
                  secret: {type: string, maxLength: 30}
                  state: {enum: [a, b]}
                  notes:
                    type: array
                    x-compare: {key: _id}
                    items:
                      allOf:
                        - properties: {_id: {type: string, format: objectid}}
                        - properties: {text: {type: string, x-compare: text}, at: {type: string, format: date-time}}
            text/*: {schema: {type: string, maxLength: 3}}
            image/png: {}
        4XX: {description: refused}
  /api/notes/latest:
    get: {operationId: notes.latest, responses: {default: {description: any}}}
  /talk:
    get:
      x-frames: {received: {type: object, required: [type]}}
      responses: {'101': {description: upgraded}}
x-otherwise:
  responses: {'404': {description: nothing here}}
"""
ID = "64b7f0f0f0f0f0f0f0f0f0f0"
KIND = {"content-type": "application/json; charset=utf-8", "x-kind": "note"}


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "openapi.yaml"
    path.write_text(CONTRACT)
    return load(path)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/notes/17", "notes.read"),
        ("GET", b"/API/Notes/%ff/?x=1", "notes.read"),
        ("GET", "/api/notes/latest", "notes.latest"),
        ("HEAD", "/api/notes/17#x", "notes.read"),
        ("GET", "/api/notes", "otherwise"),
        ("POST", "/api/notes/17", "otherwise"),
        ("HEAD", "/nope", "otherwise"),
        ("GET", "*", "otherwise"),
        ("WS", "/talk", "WS /talk"),
        ("WS", "/Talk", "otherwise"),
        ("GET", "/talk", "otherwise"),
    ],
)
def test_request_finds_its_operation(contract: Contract, method: str, path: str | bytes, expected: str) -> None:
    operation = contract.operation(method, path)
    assert operation is not None
    assert operation.id == expected
    assert operation == contract.named(expected) or method == "HEAD"


def test_contract_without_paths_has_no_operation() -> None:
    assert Contract([]).operation("GET", "/") is None


def breaches(contract: Contract, body: object, status: int = 200, **headers: str) -> list[tuple[str, str]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    operation = contract.operation("GET", "/api/notes/1")
    assert operation is not None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    violations = operation.violations(status, {**KIND, **named}, data)
    return [(".".join(map(str, one.path)), one.rule) for one in violations]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"notes": [{"_id": ID, "at": "2026-11-22T19:41:23.111Z"}], "n": 1}, []),
        ({}, [("body", "required")]),
        ({"notes": {}}, [("body.notes", "type")]),
        ({"notes": [{"_id": "x"}]}, [("body.notes.0._id", "format")]),
        ({"notes": [], "n": "x"}, [("body.n", "enum")]),
        ({"notes": [], "state": "c"}, [("body.state", "enum")]),
        ({"notes": [], "secret": "\ud800 and a lone surrogate"}, []),
        ({"notes": [{"at": "\ud800", "x": [1.5, None]}]}, [("body.notes.0.at", "format")]),
        ({"notes": [], "\ud800": 1}, []),
        ({"notes": [], "state": "b", "secret": 7}, [("body.secret", "type")]),
        (b'{"notes": [', [("body", "content-type")]),
        (b'{"notes": [], "n": 1e400}', [("body", "content-type")]),
        (b'{"notes": [], "n": NaN}', [("body", "content-type")]),
        (b"[" * 10_000 + b"]" * 10_000, [("body", "content-type")]),
        (b'{"notes": [], "n": ' + b"[" * 400 + b"]" * 400 + b"}", [("body", "depth")]),
        (b'{"notes": [], "n": ' + b"9" * 5000 + b"}", [("body", "content-type")]),
        (b"\xff\xfe", [("body", "content-type")]),
        (b"", [("body", "content-type")]),
    ],
)
def test_body_is_validated_by_its_schema(contract: Contract, body: object, expected: list[tuple[str, str]]) -> None:
    assert breaches(contract, body) == expected


def test_statuses_headers_and_content_types_are_validated(contract: Contract) -> None:
    assert breaches(contract, {}, 503) == [("status", "status")]
    assert breaches(contract, {"notes": []}, x_kind="x") == [("header.x-kind", "const")]
    assert breaches(contract, "anything", 404) == [("header.content-type", "content-type")]
    assert breaches(contract, b"", 404) == []
    assert breaches(contract, b"abcd", content_type="text/plain") == [("body", "maxLength")]
    assert breaches(contract, b"\xe9", content_type="text/plain; charset=latin-1") == []
    assert breaches(contract, b"x", content_type="text/plain; charset=none") == [("body", "content-type")]
    assert breaches(contract, b"\x00\xff", content_type="image/png") == []
    assert breaches(contract, b"x", content_type="") == [("header.content-type", "content-type")]


def test_status_304_is_valid_where_200_is_declared(contract: Contract) -> None:
    assert breaches(contract, b"", 304, x_kind="") == []
    tied = Operation("tie", "PATCH", "/api/notes/{id}", {"200": DeclaredAnswer()})
    assert tied.violations(304, {}, b"") == (
        ContractViolation(("status",), "status", f"304 is not a status of {tied.name}"),
    )


def test_head_answer_is_validated_without_a_body(contract: Contract) -> None:
    operation = contract.operation("HEAD", "/api/notes/1")
    assert operation is not None
    assert operation.violations(200, KIND, b"") == ()
    (missing,) = operation.violations(200, {"content-type": "application/json"}, b"")
    assert missing == ContractViolation(("header", "x-kind"), "required", "is missing")


def test_violation_messages_contain_no_content(contract: Contract) -> None:
    operation = contract.operation("GET", "/api/notes/1")
    assert operation is not None
    body = json.dumps({"notes": "Jane Roe", "n": "Jane Roe", "state": "Jane Roe", "secret": 1}).encode()
    violations = operation.violations(200, KIND, body)
    assert len(violations) == 4
    assert not any("Jane" in one.message for one in violations)
    assert violations[-1].message or violations[0].message


def test_frames_are_validated_by_their_schema(contract: Contract) -> None:
    talk = contract.operation("WS", "/talk")
    assert talk is not None
    assert talk.frame_violations("received", {"type": "x"}) == ()
    assert [one.path for one in talk.frame_violations("received", "no json")] == [("frame",)]
    assert talk.frame_violations("sent", 7) == ()


@pytest.mark.parametrize(
    ("path", "hints"),
    [
        (("body", "notes"), Hints(key="_id")),
        (("body", "notes", 3, "_id"), Hints(format="objectid")),
        (("body", "notes", 0, "text"), Hints(compare="text")),
        (("body", "anything"), Hints(report="show")),
        (("body", "secret"), Hints()),
        (("body", "notes", "no", "such"), Hints()),
        (("body", "notes", 0, "text", 0), Hints()),
        (("header", "x-kind"), Hints(report="show")),
        (("header", "date"), Hints()),
        (("status",), Hints()),
        ((), Hints()),
    ],
)
def test_hints_depend_on_path_status_and_type(contract: Contract, path: tuple[str | int, ...], hints: Hints) -> None:
    operation = contract.operation("GET", "/api/notes/1")
    assert operation is not None
    assert operation.hints(path, 200, "application/json") == hints
    assert operation.hints(path, 503, "application/json") == Hints()


def test_hints_forget_rather_than_grow(contract: Contract) -> None:
    operation = contract.operation("GET", "/api/notes/1")
    assert operation is not None
    for number in range(10_010):
        assert operation.hints(("body", f"field {number}")).report == "show"


@given(st.binary(max_size=200), st.sampled_from(["application/json", "text/html; charset=utf-16", "a/b+json;charset="]))
def test_random_body_is_read_or_refused(body: bytes, content_type: str) -> None:
    with suppress(PayloadError):
        json.dumps(read_payload(content_type, body))


def test_media_types() -> None:
    assert media_type(" Application/JSON ; charset=x") == "application/json"
    assert [is_json(one) for one in ("application/json", "a/problem+json", "text/html")] == [True, True, False]
