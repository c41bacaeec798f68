"""New documents equal those of mongoose for the same values: fields, order, types."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from handlers.legacy import models
from handlers.legacy.mongoose import Document, Schema
from handlers.services import documents

ME, THEM, IT = ObjectId(), ObjectId(), ObjectId()
PATIENT = {"name": "Ada", "visits": [1, {"on": None}]}


def mongooses(schema: Schema, values: dict[str, Any]) -> dict[str, Any]:
    made = Document.create(schema, values)
    made.validate()
    return made.to_insert()


def shape(document: dict[str, Any]) -> list[tuple[str, object]]:
    """Return the fields in order, with the type alone of ids and dates, which are generated."""
    new = {"_id", "createdAt", "started_at", "created_at", "updated_at"}
    return [(name, type(value) if name in new else value) for name, value in document.items()]


@pytest.mark.parametrize(
    ("created", "schema", "values"),
    [
        (
            documents.new_user("amara", "amara@clinic.example", "$2b$", "clinician"),
            models.USERS,
            {"username": "amara", "email": "amara@clinic.example", "password": "$2b$", "role": "clinician"},
        ),
        (
            documents.new_transcript(ME, IT),
            models.TRANSCRIPTS,
            {"clinician": ME, "consultation": IT, "transcript_text": ""},
        ),
        (
            documents.new_note(ME, THEM, IT, "well"),
            models.NOTES,
            {"clinician": ME, "transcript": THEM, "consultation": IT, "body": "well"},
        ),
        (
            documents.new_prompt(ME, "short", "Be brief.", shared=True),
            models.PROMPTS,
            {"prompt_name": "short", "prompt_text": "Be brief.", "is_shareable": True, "clinician": ME},
        ),
    ],
    ids=["user", "transcript", "note", "prompt"],
)
def test_created_document_equals_mongooses(created: dict[str, Any], schema: Schema, values: dict[str, Any]) -> None:
    assert shape(created) == shape(mongooses(schema, values))


@pytest.mark.parametrize("patient", [None, PATIENT])
def test_consultation_and_transcript_refer_to_each_other(patient: dict[str, Any] | None) -> None:
    consultation, transcript = documents.new_consultation(ME, patient)
    assert consultation.pop("transcript") == transcript["_id"]
    assert transcript["consultation"] == consultation["_id"]
    values = {"clinician": ME} if patient is None else {"clinician": ME, "patient": patient}
    assert shape(consultation) == shape(mongooses(models.CONSULTATIONS, values))
