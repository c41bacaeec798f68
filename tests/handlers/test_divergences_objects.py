"""Declared divergences in objects that mongoose mistakes for others, on both backends. See test_divergences.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from bson import ObjectId

from proxy.types import JSON
from tests.differential.people import AMARA, CONSULTATIONS, NOTES, PROMPTS, TRANSCRIPTS, identity
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import BackendPair, get, legacy_backend, post, read, shows

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = {
    "_id": ObjectId(identity(PROMPTS, 0)),
    "prompt_name": "SOAP",
    "prompt_text": "In four lines.",
    "is_deleted": False,
    "clinician": ObjectId(AMARA),
}


@shows("unsavable-member")
async def test_stored_member_named_as_a_method_at_a_save(backends: BackendPair) -> None:
    identities = {name: ObjectId() for name in ("transcript", "consultation")}
    note = {"_id": ObjectId(identity(NOTES, 0)), "clinician": ObjectId(AMARA), "body": "a", "toString": 1, **identities}
    backends.plant({"notes": [note]})
    answers = await backends.send(post(f"/api/notes/{identity(NOTES, 0)}", {"body": "b"}, FOREVER, "PATCH"))
    assert answers.legacy.outcome == "reset"
    assert read(answers.native)["error"] == "Cannot read properties of undefined (reading 'length')"
    answers.assert_declared("unsavable-member")


@shows("polluted-methods")
async def test_stored_members_below_the_name_of_a_method(
    mongodb_url: str, backends: BackendPair, tmp_path: Path
) -> None:
    own = {"clinician": ObjectId(AMARA), "consultation": ObjectId(identity(CONSULTATIONS, 0)), "body": "a"}
    notes = [{**own, "_id": ObjectId(identity(NOTES, index)), "transcript": ObjectId()} for index in (0, 1)]
    async with legacy_backend(mongodb_url, tmp_path / "log") as legacy:  # of this test alone, since others would differ
        pair = BackendPair(legacy, backends.native)
        pair.plant({"notes": [{**notes[0], "extra": {"toString": {"validators": []}}}, {**notes[1], "toString": 1}]})
        assert (await legacy.send(get(f"/api/notes/{identity(CONSULTATIONS, 0)}", FOREVER))).status == 200
        answers = await pair.send(post(f"/api/notes/{identity(NOTES, 1)}", {"body": "b"}, FOREVER, "PATCH"))
    answers.assert_declared_in("test-polluted-methods", "polluted-methods")


@shows("refused-patterns")
async def test_object_in_place_of_a_regular_expression(backends: BackendPair) -> None:
    transcript = {"_id": ObjectId(identity(TRANSCRIPTS, 0)), "clinician": ObjectId(AMARA), "transcript_text": "a"}
    backends.plant({"prompts": [PROMPT], "transcripts": [transcript]})
    pattern: JSON = {"constructor": {"name": "RegExp"}, "source": "[b-a]"}
    update: JSON = {"transcript_id": identity(TRANSCRIPTS, 0), "transcript_text": pattern}
    for request in (
        post(f"/api/prompts/{identity(PROMPTS, 0)}", {"prompt_name": pattern}, FOREVER, "PATCH"),
        post(f"/api/prompts/{identity(PROMPTS, 0)}", {"prompt_text": pattern}, FOREVER, "PATCH"),
        post("/api/transcript/update-text", update, FOREVER),
    ):
        answers = await backends.send(request)
        assert (answers.legacy.status, answers.native.status) == (500, 200)
        answers.assert_declared("refused-patterns")
