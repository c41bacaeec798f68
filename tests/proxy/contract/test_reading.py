"""A contract that is malformed or contradicts itself is refused with every fault, its file and its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.contract.faults import ContractError
from proxy.contract.reading import load

HEAD = "openapi: 3.1.1\ninfo: {title: t, version: '1'}\n"
SOUND = "paths:\n  /a/{id}:\n    get:\n      parameters: [{name: id, in: path, required: true}]\n"


def faults(directory: Path, text: str) -> list[str]:
    path = directory / "openapi.yaml"
    path.write_text(text)
    with pytest.raises(ContractError) as caught:
        load(path)
    assert str(caught.value).count("\n") == len(caught.value.faults) - 1
    return [str(fault).removeprefix(f"{directory}/openapi.yaml") for fault in caught.value.faults]


def schema(*lines: str) -> str:
    """Return a contract whose only body has a schema; the schema's lines begin at line 10."""
    above = [
        HEAD.rstrip(), "paths:", "  /a:", "    post:", "      responses:", "        '200':", "          description: x",
        "          content: {application/json: {schema: {$ref: '#/components/s'}}}", "components:", "  s:",
    ]  # fmt: skip
    return "\n".join([*above, *(f"    {line}" for line in lines)])


def answer(*lines: str) -> str:
    """Return a contract whose only response is below line 6."""
    above = [HEAD.rstrip(), "paths:", "  /a:", "    get:", "      responses:"]
    return "\n".join([*above, *(f"        {line}" for line in lines)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", [":1: must be a mapping (`key: value`)"]),
        ("openapi: 3.0.0\npaths: {}\n", [":1: openapi: must be an OpenAPI 3.1 document: `openapi: 3.1.1`"]),
        (HEAD, [":1: has no `paths`"]),
        (HEAD + "paths: []\n", [":3: paths: must be a mapping (`key: value`)"]),
        (HEAD + "paths: {x-note: 7}\nx-otherwise: 7\n", [":4: x-otherwise: must be a mapping (`key: value`)"]),
        (HEAD + "paths: {/a: {get: {responses: {'200': 7}}}}\n", [":3: GET /a 200: must be a mapping (`key: value`)"]),
        (schema("$ref: '#/components/none'"), [":12: openapi.yaml has nothing at #/components/none"]),
        (schema("$dynamicRef: 'http://x.example/y'"), [":11: ~: not a JSON Schema: breaks `$ref`"]),
        (HEAD + "path: {}\npaths: {}\n", [":3: unknown key `path`; did you mean `paths`?"]),
        (HEAD + "paths:\n  a: {}\n", [":4: a: the path 'a' must begin with a slash"]),
        (HEAD + "paths:\n  /a:\n    gett: {}\n", [":5: /a: unknown key `gett`; did you mean `get`?"]),
        (HEAD + "paths:\n  /a:\n    get: 7\n", [":5: GET /a: must be a mapping (`key: value`)"]),
        (HEAD + "paths:\n  /a:\n    get: {}\n", [":5: GET /a: has no `responses`"]),
        (
            HEAD + "paths:\n  /a/{x}:\n    {}\n  /A/{y}:\n    {}\n",
            [":6: /A/{y}: matches the same requests as /a/{x} (openapi.yaml:4)"],
        ),
        (
            HEAD + SOUND + "      operationId: x\n      responses: {'200': {description: x}}\n"
            "  /b: {get: {operationId: x, responses: {'200': {description: x}}}}\n",
            [":9: GET /b: the operationId x is that of GET /a/{id} too"],
        ),
        (
            HEAD + SOUND.replace("name: id", "name: ID") + "      responses: {'200': {description: x}}\n",
            [
                ":5: GET /a/{id}: describes the parameter {ID}, which is not in the path",
                ":5: GET /a/{id}: the parameter {id} is not described",
            ],
        ),
        (
            HEAD + SOUND.replace(", required: true", "") + "      responses: {'200': {description: x}}\n",
            [":6: GET /a/{id}: the path parameter {id} must be `required: true`"],
        ),
        (
            HEAD + "paths:\n  /a:\n    get:\n      parameters:\n        - {name: x, in: body}\n"
            "      responses: {'200': {description: x}}\n      operationId: [1]\n",
            [
                ":7: GET /a: a parameter needs a `name`, and `in`: one of path, query, header, cookie",
                ":9: GET /a: must be text",
            ],
        ),
        (answer("2000: {description: x}"), [":7: GET /a: 2000 is not a status: three digits, 4XX or default"]),
        (answer("'200': {}"), [":7: GET /a 200: a response needs a `description`"]),
        (
            answer("'200': {description: x, content: {json: {}}}"),
            [":7: GET /a 200: json is not a media type"],
        ),
        (
            answer("'200':", "  description: x", "  headers:", "    ETag: {schema: {type: txt}}"),
            [":10: GET /a 200 ETag: not a JSON Schema: breaks `anyOf`"],
        ),
        (schema("type: object", "properties: {a: {type: objct}}"), [":13: ~: not a JSON Schema: breaks `anyOf`"]),
        (schema("type: string", "pattern: ("), [":13: ~: not a JSON Schema: breaks `format`"]),
        (schema("x-compare: ignore"), [":12: ~: x-compare: ignore hides the whole body"]),
        (
            schema("properties:", "  a: {type: string, x-report: show}", "  b: {type: boolean, x-report: show}"),
            [":13: ~: x-report: show needs an `enum` or a `const`: any other value may be data"],
        ),
        (
            schema("properties:", "  a: {x-compare: unorderd}", "  b: {x-report: hide}"),
            [
                ":13: ~: x-compare must be one of literal, instant, generated, text, unordered, ignore or `key: NAME`",
                ":14: ~: x-report can only be `show`",
            ],
        ),
        (
            schema("items:", "  anyOf:", "    - {type: string, x-compare: unordered}", "    - {x-compare: text}"),
            [":14: ~: x-compare: unordered is for arrays, and this is not one"],
        ),
        (
            schema("properties:", "  a:", "    x-compare: {key: _id}", "    items: {properties: {id: {}}}"),
            [":14: ~: the items have no `_id`"],
        ),
        (
            schema("properties:", "  a: {x-compare: {key: 7}}", "  b: {type: object, x-compare: {key: x}}"),
            [
                ":13: ~: x-compare must be `key: NAME` and nothing else",
                ":14: ~: x-compare: key is for arrays, and this is not one",
            ],
        ),
        (
            schema("required: [a, b]", "additionalProperties: false", "properties: {a: {}}"),
            [":12: ~: `b` is required, and not allowed"],
        ),
        (
            schema("type: [string, number]", "enum: [x, 1, 1.5, true, null, [], {}]"),
            [":13: ~: this value of the enum is not of the type"],
        ),
    ],
)
def test_faults_are_reported_with_their_lines(tmp_path: Path, text: str, expected: list[str]) -> None:
    reported = faults(tmp_path, text)
    assert [fault.replace("POST /a 200 application/json", "~") for fault in reported] == expected


def test_faults_in_another_file_are_reported_there(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("\n/a:\n  get: {responses: {'20': {description: x}}}\n")
    (fault,) = faults(tmp_path, HEAD + "paths: {/a: {$ref: 'a.yaml#/~1a'}}\n")
    assert fault == f"{tmp_path}/a.yaml:3: GET /a: 20 is not a status: three digits, 4XX or default"


@pytest.mark.parametrize(
    "value",
    [
        "enum: [x]",
        "enum: [1, 2.0]\ntype: integer",
        "enum: [null, {}, [], true]\ntype: [object, array, boolean, 'null']",
    ],
)
def test_enum_within_its_type_is_valid(tmp_path: Path, value: str) -> None:
    path = tmp_path / "openapi.yaml"
    path.write_text(schema(*value.splitlines()))
    assert len(load(path).operations) == 1


def test_fault_of_a_shared_part_is_reported_for_each_use(tmp_path: Path) -> None:
    uses = "".join(
        f"  /{name}: {{get: {{operationId: {name}, responses: {{'200': {{$ref: '#/components/responses/x'}}}}}}}}\n"
        for name in "ab"
    )
    reported = faults(tmp_path, f"{HEAD}paths:\n{uses}components: {{responses: {{x: {{}}}}}}\n")
    assert [fault.partition(": ")[2] for fault in reported] == [
        f"GET /{name} 200: a response needs a `description`" for name in "ab"
    ]
