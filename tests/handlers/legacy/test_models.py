"""The models have the fields, the order and the references that LEGACY's documents show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from handlers.legacy.javascript import Value
from handlers.legacy.models import CONSULTATIONS, NOTES, PROMPTS, TRANSCRIPTS, USERS
from handlers.legacy.mongoose import Document, IdListPath, IdPath, Schema

RECORDINGS = Path(__file__).parents[3] / "contracts" / "recordings" / "http.json"
MODELS = {schema.model: schema for schema in (USERS, CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS)}


def recorded(collection: str) -> list[dict[str, Any]]:
    scenarios = json.loads(RECORDINGS.read_text())
    return [document for scenario in scenarios for document in scenario["store"].get(collection, [])]


@pytest.mark.parametrize("model", MODELS)
def test_every_recorded_field_is_of_the_schema(model: str) -> None:
    documents = recorded(model)
    assert documents
    assert {name for document in documents for name in document} <= set(MODELS[model].paths)
    assert {"__v" in document for document in documents} == {MODELS[model].versioned}


@pytest.mark.parametrize("schema", MODELS.values(), ids=lambda schema: schema.model)
def test_references_name_existing_models(schema: Schema) -> None:
    for path in schema.paths.values():
        if isinstance(path, IdPath | IdListPath) and path.name != "_id":
            assert path.ref in MODELS


def test_new_consultation_is_stored_in_the_recorded_order() -> None:
    values: dict[str, Value] = {"clinician": "64b7f0f0f0f0f0f0f0f0f0f0", "patient": {"name": "Jane Roe", "age": 45}}
    stored = Document.create(CONSULTATIONS, values).to_insert()
    in_the_database = ["_id", *(name for name in stored if name != "_id"), "transcript"]
    assert in_the_database == list(recorded("consultations")[0])
