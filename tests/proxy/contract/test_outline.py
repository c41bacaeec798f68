"""Operations of documents in any version of OpenAPI, and clear errors for other files."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.contract.outline import OutlinedOperation, OutlineError, read_outline

SWAGGER = '{"swagger": "2.0", "basePath": "/v1/", "paths": {"/a": {"get": {}}}}'
OPENAPI_3_0 = """
openapi: 3.0.3
info: {title: Shop}
servers: [{url: "https://shop.example/base"}]
paths:
  /a/{id}:
    parameters: []
    get: {operationId: readA}
    x-other: {}
  /b: {$ref: "other.yaml#/~1b"}
"""


def test_swagger_json_gives_its_base_path(tmp_path: Path) -> None:
    file = tmp_path / "swagger.json"
    file.write_text(SWAGGER)
    outline = read_outline(file)
    assert (outline.title, outline.base_path) == ("swagger", "/v1")
    assert outline.operations == (OutlinedOperation("GET", "/v1/a", ""),)


def test_path_items_of_other_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("/b: {get: {x-frames: {}}, post: {operationId: b}}")
    file = tmp_path / "api.yaml"
    file.write_text(OPENAPI_3_0)
    assert read_outline(file).operations == (
        OutlinedOperation("GET", "/base/a/{id}", "readA"),
        OutlinedOperation("WS", "/base/b", ""),
        OutlinedOperation("POST", "/base/b", "b"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML or JSON"),
        ("a: 1", "has no key `openapi`"),
        ("[]", "has no key `openapi`"),
        ("openapi: 3.0.0\npaths: []", "`paths` must be a mapping"),
        (OPENAPI_3_0, "other.yaml#/~1b: cannot be read"),
    ],
)
def test_file_without_an_outline_is_refused_with_a_reason(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "api.yaml"
    file.write_text(text)
    with pytest.raises(OutlineError, match=r"api\.yaml") as error:
        read_outline(file)
    assert message in str(error.value)
