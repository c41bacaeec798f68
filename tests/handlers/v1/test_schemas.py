"""The types of values in v1: each value that their schemas accept can be used and stored."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from common.white_space import trim
from handlers.services.images import image_url
from handlers.v1.assistant import ImageAnalysisRequest
from handlers.v1.schemas import Identity, Json, Line, OutsideText

IMAGE = ImageAnalysisRequest.model_json_schema()["properties"]["images"]["items"]["pattern"]
OUTSIDE: TypeAdapter[str] = TypeAdapter(OutsideText)
LINES: TypeAdapter[str] = TypeAdapter(Line)
IDS: TypeAdapter[ObjectId] = TypeAdapter(Identity)
FREE: TypeAdapter[Any] = TypeAdapter(Json)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(st.characters(codec=None)))
def test_outside_text_is_one_that_utf8_can_encode(text: str) -> None:
    read = OUTSIDE.validate_python(text)
    assert read.encode() == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


@given(st.from_regex(IMAGE, fullmatch=True))
def test_images_accepted_here_are_accepted_by_the_product(image: str) -> None:
    assert image_url(image.removesuffix("\n")) is not None


@given(st.text())
def test_line_with_visible_text_is_valid(text: str) -> None:
    try:
        assert LINES.validate_python(text) == trim(text) != ""
    except ValidationError:
        visible = [letter for letter in text if letter.isprintable() and not letter.isspace()]
        assert not visible or len(text) > 200


@given(json_values)
def test_json_of_any_shape_can_be_stored_and_shown(value: Any) -> None:
    try:
        taken = FREE.validate_python(value)
    except ValidationError:
        return
    assert bson.decode(bson.encode({"value": taken}))["value"] == taken
    json.dumps(taken, allow_nan=False)


@pytest.mark.parametrize("value", [7, None, "", "z" * 24, "0" * 23, "0" * 25, b"0" * 24, "0" * 12])
def test_id_has_24_hexadecimal_digits(value: object) -> None:
    with pytest.raises(ValidationError):
        IDS.validate_python(value)


def test_uppercase_id_is_accepted_and_shown_in_lower_case() -> None:
    assert IDS.dump_json(IDS.validate_python("64B7F0F0F0F0F0F0F0F0F0F0")) == b'"64b7f0f0f0f0f0f0f0f0f0f0"'
