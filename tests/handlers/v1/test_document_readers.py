"""Any stored document is read without a failure, and shown as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.v1 import document_readers
from handlers.v1.consultations import Consultation
from handlers.v1.notes import Note
from handlers.v1.prompts import Prompt
from handlers.v1.transcripts import Transcript
from handlers.v1.users import User
from tests.support.profile import examples

ME = ObjectId()

words = st.text(st.characters(codec="utf-8"))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        words,
        st.binary(max_size=12),
        st.integers(-(2**63), 2**63 - 1).map(DatetimeMS),
        st.builds(ObjectId),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
FIELDS = (
    "username", "email", "role", "createdAt", "patient", "transcript", "notes", "started_at", "ended_at", "status",
    "transcript_text", "summary", "prompt_used", "created_at", "updated_at", "body", "prompt_name", "prompt_text",
    "is_shareable", "clinician", "consultation",
)  # fmt: skip
documents = st.dictionaries(st.sampled_from(FIELDS), values).map(lambda fields: {"_id": ME, **fields})


@settings(max_examples=examples(60))
@given(documents)
def test_documents_can_all_be_shown(document: dict[str, Any]) -> None:
    for model in (User, Consultation, Transcript, Note):
        assert json.loads(model.of(document).model_dump_json())["id"] == str(ME)
    assert json.loads(Prompt.of(document, ME).model_dump_json())["id"] == str(ME)


@given(st.datetimes())
def test_dates_equal_the_stored_ones(when: datetime) -> None:
    exact = when.replace(microsecond=when.microsecond // 1000 * 1000, tzinfo=UTC)
    milliseconds = round((exact - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000)
    assert document_readers.moment({"at": DatetimeMS(milliseconds)}, "at") == exact


@pytest.mark.parametrize("value", [2**62, -(2**62)])
def test_missing_date_is_the_ids(value: int) -> None:
    assert document_readers.moment({"at": DatetimeMS(value)}, "at") is None
    assert document_readers.birth({"_id": ME, "at": DatetimeMS(value)}, "at") == ME.generation_time
