"""Merging adds and widens schemas, and preserves comments, order, descriptions, hints and rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.answers import DecodedAnswer
from proxy.contract.faults import ContractError
from proxy.contract.model import Contract
from proxy.contract.reading import load
from proxy.contract.schemas import Schema
from proxy.gateway.patterns import Pattern
from proxy.inference.checking import violations_of
from proxy.inference.editing import Files, write_whole
from proxy.inference.inferred_schema import InferredSchema
from proxy.inference.merging import merge
from proxy.inference.samples import joined, learned, observe, routed
from proxy.inference.widening import widen
from proxy.recordings.model import (
    RecordedConnection,
    RecordedConversation,
    RecordedRequest,
    Recordings,
    Scenario,
    Step,
    encode,
)
from proxy.types import JSON
from tests.support.json_values import VALUES

ID = "64b7f0f0f0f0f0f0f0f0f0f0"
ROUTES = ["GET /notes/{noteId}", "POST /notes/{consultationId}", "GET /plain", "WS /talk", "* /x/*"]


def step(method: str, target: str, status: int, body: JSON = None, sent: JSON = None, **headers: str) -> Step:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = b"" if body is None else body.encode() if isinstance(body, str) else encode(body)
    kind = "text/plain" if isinstance(body, str) else "application/json; charset=utf-8"
    content_headers = () if sent is None else (("content-type", "application/json"),)
    auth = (("authorization", "Bearer x"),) if named.pop("auth", "") else ()
    request = RecordedRequest(method, target, (*content_headers, *auth), None if sent is None else encode(sent))
    return Step(
        target, request, DecodedAnswer("response", status, {**named, "content-type": kind, "date": "now"}, content)
    )


def recorded(*steps: Step) -> Recordings:
    talk = RecordedConversation("talk", "/talk", [{"type": "hello"}, "no json"], [{"type": "hi", "n": 1}], None)
    opened = (RecordedConnection("/talk", "open"), RecordedConnection("/nope", "400"))
    return Recordings((Scenario("one", steps, {}, (), {}, None),), (talk,), opened)


def routes() -> Contract:
    return routed(
        (f"notes.r{n}" if "notes" in route else f"r{n}", Pattern.parse(route)) for n, route in enumerate(ROUTES)
    )


def infer(main: Path, recordings: Recordings, operations: Contract | None = None) -> list[str]:
    files = Files(main)
    changes = merge(files, observe(recordings, operations or routes()))
    files.save()
    return changes


FIRST = recorded(
    step("GET", f"/notes/{ID}?page=1", 200, {"a": 1, "b": ID}, auth="1", etag="x", x_powered_by="Express"),
    step("GET", f"/notes/{ID}?page=2", 200, {"a": 2, "b": ID}, auth="1", etag="y", x_powered_by="Express"),
    step("POST", "/notes/17", 201, {"ok": True}, {"text": "hello"}, x_powered_by="Express"),
    step("GET", "/plain", 200, "text"),
    step("HEAD", "/plain", 200),
    step("GET", "/nope", 404, "no such page"),
    Step("hangs", RecordedRequest("GET", "/plain"), DecodedAnswer("hang")),
)


def test_inferred_contract_is_satisfied_by_every_recording(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    changes = infer(main, FIRST)
    assert "added GET /notes/{id} 200" in changes
    contract = load(main)
    assert {operation.name: operation.id for operation in contract.operations} == {
        "GET /notes/{id}": "notes.r0",
        "POST /notes/{id}": "notes.r1",
        "GET /plain": "r2",
        "HEAD /plain": "r2.head",
        "WS /talk": "r3",
    }
    assert list(violations_of(contract, FIRST)) == []
    assert (tmp_path / "notes.yaml").exists()
    assert contract.otherwise is not None
    assert "404" in contract.otherwise.answers


def test_inferred_operation_describes_parameters_and_answers(tmp_path: Path) -> None:
    infer(tmp_path / "openapi.yaml", FIRST)
    notes = Files(tmp_path / "notes.yaml").root().make("/notes/{id}").make("get").node
    assert notes["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "objectid"}},
        {"name": "page", "in": "query", "required": True, "schema": {"type": "string"}},
    ]
    assert notes["security"] == [{"bearer": []}]
    answer = notes["responses"]["200"]
    assert answer["headers"] == {
        "ETag": {"$ref": "openapi.yaml#/components/headers/ETag"},
        "X-Powered-By": {"$ref": "openapi.yaml#/components/headers/X-Powered-By"},
    }
    main = Files(tmp_path / "openapi.yaml").root().make("components").make("headers").node
    assert main["X-Powered-By"]["schema"] == {"type": "string", "const": "Express"}
    assert main["ETag"] == {"required": True, "schema": {"type": "string"}}


def test_repeated_inference_changes_nothing(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    infer(main, FIRST)
    before = main.read_bytes(), main.stat().st_mtime_ns
    assert infer(main, FIRST, load(main)) == []
    assert (main.read_bytes(), main.stat().st_mtime_ns) == before


BY_HAND = """\
# what people should know
openapi: 3.1.1
info: {title: Mine, version: "7"}  # by hand
paths:
  /notes/{note}:
    parameters:
      - {name: note, in: path, required: true, description: its id, schema: {type: string, format: objectid}}
    get:
      summary: Read a note
      description: >
        folded
        text
      parameters:
        - {name: page, in: query, required: true, schema: {type: string, pattern: "^[0-9]+$"}}
      responses:
        '200':
          description: the note
          headers:
            X-Powered-By: {$ref: '#/components/headers/Powered'}
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Note'}
  /plain:
    get:
      responses:
        '200': {description: x, content: {text/plain: {schema: {type: string, maxLength: 9}}}}
components:
  headers:
    Powered: {required: true, schema: {type: string}}
  schemas:
    Note:
      type: object
      required: [a, b]
      properties:
        a: {type: integer, minimum: 0, x-owner: us}   # a comment
        b: {type: string, format: objectid, x-compare: ignore, examples: [x]}
        state: {enum: [active]}
        fixed: {const: one}
        free: {description: anything goes}
        choice: {oneOf: [{type: string}, {type: "null"}]}
"""
SECOND = recorded(
    step(
        "GET", f"/notes/{ID}", 200, {"a": None, "state": "ended", "fixed": "two", "free": [1], "choice": "x", "new": 1}
    ),
    step("GET", "/notes/abc?page=x&size=2", 200, {"a": 1, "b": "no id", "free": None}, x_powered_by="E", x_new="1"),
    step("GET", f"/notes/{ID}", 404, {"msg": "gone"}),
    step("GET", "/plain", 200, {"json": "now"}),
    step("POST", f"/notes/{ID}", 200, {}, {"text": "x"}),
    step("POST", f"/notes/{ID}", 200, {}),
)


def test_edited_text_stays_and_contradictions_are_loosened(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    main.write_text(BY_HAND)
    changes = infer(main, SECOND, joined(load(main), routes()))
    text = main.read_text()
    for fragment in ("# what people should know", "# by hand", "# a comment", "minimum: 0, x-owner: us", 'version: "7"',
                 "x-compare: ignore, examples: [x]", "description: its id", "summary: Read a note", "maxLength: 9",
                 "folded\n        text", 'pattern: "^[0-9]+$"', "choice: {oneOf: [{type: string}, {type: \"null\"}]}",
                 "free: {description: anything goes}", "Powered: {required: true, schema:"):  # fmt: skip
        assert fragment in text, fragment
    assert [change for change in changes if change.startswith("loosened")] == [
        "loosened GET /notes/{note} note: not always in the format objectid",
        "loosened GET /notes/{note} ?page: optional",
        "loosened GET /notes/{note} 200 X-Powered-By: optional",
        "loosened GET /notes/{note} 200 b: optional",
        "loosened GET /notes/{note} 200 a: may be null",
        "loosened GET /notes/{note} 200 state: other values too",
        "loosened GET /notes/{note} 200 fixed: other values too",
        "loosened GET /notes/{note} 200 new: new, optional",
        "loosened GET /notes/{note} 200 b: not always in the format objectid",
    ]
    contract = load(main)
    left = [str(violation) for violation in violations_of(contract, SECOND)]
    assert left == []
    assert infer(main, SECOND, contract) == []


def test_bodies_without_a_schema_are_declared_by_type_alone(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    odd = step("GET", "/plain", 299, None, None)
    answers = [
        DecodedAnswer("response", 299, {"content-type": "image/png"}, b"\xff"),
        DecodedAnswer("response", 299, {"content-type": "application/json"}, b'{"cut'),
        DecodedAnswer("response", 299, {}, b"what is this"),
    ]
    recordings = recorded(*(Step("odd", odd.request, answer) for answer in answers))
    infer(main, recordings)
    described = Files(main).root().make("paths").make("/plain").make("get").make("responses").node["299"]
    assert described == {
        "description": "Status 299",
        "content": {
            "image/png": {"schema": {}},
            "application/json": {"schema": {}},
            "application/octet-stream": {"schema": {}},
        },
    }
    violations = [str(violation) for violation in violations_of(load(main), recordings)]
    assert violations == [
        "one / odd  GET /plain: body is not JSON",
        "one / odd  GET /plain: header.content-type none is not a content type of this status",
    ]


def test_request_body_becomes_known_or_optional_later(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    infer(main, recorded(step("POST", "/notes/1", 200)))
    infer(main, recorded(step("POST", "/notes/1", 200, sent={"a": 1}), step("POST", "/notes/1", 401)), load(main))
    notes = Files(tmp_path / "notes.yaml")
    body = notes.root().make("/notes/{id}").make("post").make("requestBody")
    assert body.node["required"] is False
    body.put("required", True)
    notes.save()
    assert infer(main, recorded(step("POST", "/notes/1", 200)), load(main)) == [
        "loosened POST /notes/{id} body: optional"
    ]
    assert "required: false" in (tmp_path / "notes.yaml").read_text()


def test_requests_violating_their_schema_are_reported(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    infer(main, recorded(step("POST", "/notes/1", 200, sent={"a": 1})))
    later = recorded(step("POST", "/notes/1", 200, sent={"a": "x"}), step("POST", "/notes/1", 400, sent={"a": "x"}))
    cut = RecordedRequest("POST", "/notes/1", (("content-type", "application/json"),), b"{")
    later = recorded(*later.scenarios[0].steps, Step("cut", cut, later.scenarios[0].steps[0].answer))
    assert [str(violation) for violation in violations_of(load(main), later)] == [
        "one / /notes/1  POST /notes/{id}: request.a is not of type integer",
        "one / /notes/1  POST /notes/{id}: status 400 is not a status of POST /notes/{id}",
        "one / cut  POST /notes/{id}: request is not JSON",
    ]


def test_required_query_becomes_optional_later(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    infer(main, recorded(step("GET", "/plain?q=1", 200, "x")))
    changes = infer(main, recorded(step("GET", "/plain", 200, "x")), load(main))
    assert changes == ["loosened GET /plain ?q: optional"]


def test_invalid_path_is_not_edited(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    main.write_text("openapi: 3.1.1\npaths:\n  x-note: {}\n  nonsense: {}\n")
    infer(main, recorded(step("GET", "/plain", 200, "x")))
    assert list(Files(main).root().make("paths").node) == ["x-note", "nonsense", "/plain", "/talk"]


def test_ids_become_parameters_and_refusals_no_operations(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    recordings = recorded(
        *FIRST.scenarios[0].steps,
        step("PATCH", f"/a/{ID}/b/{ID[:-1]}1", 200, {}),
        step("GET", "/odd*", 200, {}),
        step("OPTIONS", "/plain", 204),
    )
    infer(main, recordings, learned(recordings))
    contract = load(main)
    assert [operation.name for operation in contract.operations] == [
        "GET /notes/{id}", "POST /notes/{id}", "GET /plain", "HEAD /plain", "PATCH /a/{id}/b/{id2}", "WS /talk",
    ]  # fmt: skip
    assert list(violations_of(contract, recordings)) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["openapi.yaml"]


@given(st.lists(VALUES, min_size=1, max_size=6), st.lists(VALUES, min_size=1, max_size=6))
def test_widened_schema_accepts_old_and_observed_values(some: list[JSON], others: list[JSON]) -> None:
    root = Files(Path("nowhere/openapi.yaml")).root()
    root.put("schema", InferredSchema(some).schema())
    list(widen(root.make("schema"), InferredSchema(others)))
    schema = Schema(json.loads(json.dumps(root.node["schema"])))
    assert [violation for value in some + others for violation in schema.violations(value)] == []


def test_uneditable_file_is_reported(tmp_path: Path) -> None:
    main = tmp_path / "openapi.yaml"
    for text, expected in (
        ("a: [", "cannot be edited"),
        ("[]", "must be a mapping"),
        ("paths: {$ref: '#/paths'}", "itself"),
    ):
        main.write_text(text)
        with pytest.raises(ContractError, match=expected):
            infer(main, FIRST)
        assert main.read_text() == text


def test_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    write_whole(target, b"first")
    target.chmod(0o600)

    write_whole(target, b"second")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"second", 0o600)
    with pytest.raises(IsADirectoryError):
        write_whole(target.parent, b"third")
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in target.parent.iterdir()] == ["file"]
