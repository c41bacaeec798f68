"""Notes and prompts on v1: create, list, change, delete, use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from bson import ObjectId

from tests.support.v1_client import NOBODY, Person, Surface, expect, v1_surface

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surface(mongodb_url: str) -> AsyncIterator[Surface]:
    async with v1_surface(mongodb_url) as opened:
        yield opened


async def write(person: Person, consultation: Any, body: str = "A cough.") -> Any:
    return await person.post("/notes", {"consultation_id": consultation["id"], "body": body})


async def test_note_is_written_on_a_consultation(surface: Surface) -> None:
    amara = surface.person()
    consultation = await amara.start()
    note = await write(amara, consultation, "\t A cough.\n")
    assert (note["body"], note["consultation_id"]) == ("A cough.", consultation["id"])
    assert note["transcript_id"] == consultation["transcript_id"]
    stored = surface.database["consultations"].find_one({"_id": ObjectId(consultation["id"])}) or {}
    assert ([str(each) for each in stored["notes"]], stored["__v"]) == ([note["id"]], 1)
    assert (await amara.get(f"/consultations/{consultation['id']}"))["note_ids"] == [note["id"]]


async def test_notes_are_paged_newest_first(surface: Surface) -> None:
    amara = surface.person()
    consultation = await amara.start()
    written = [await write(amara, consultation, str(number)) for number in range(3)]
    query = {"consultation_id": consultation["id"], "limit": 2}
    first, second = [await amara.get("/notes", params={**query, "offset": offset}) for offset in (0, 2)]
    assert [*first["items"], *second["items"]] == written[::-1]
    assert (first["total"], second["total"]) == (3, 3)


async def test_note_is_changed_and_deleted(surface: Surface) -> None:
    amara = surface.person()
    consultation = await amara.start()
    note = await write(amara, consultation)
    changed = expect(200, await amara.send("PATCH", f"/notes/{note['id']}", json={"body": "No cough. "}))
    assert changed == {**note, "body": "No cough.", "updated_at": changed["updated_at"]}
    answer = await amara.send("DELETE", f"/notes/{note['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert expect(404, await amara.send("DELETE", f"/notes/{note['id']}")) == {"detail": "Note not found"}
    expect(404, await amara.send("PATCH", f"/notes/{note['id']}", json={"body": "x"}))
    assert (await amara.get("/notes", params={"consultation_id": consultation["id"]}))["total"] == 0


@pytest.mark.parametrize("body", ["", " ", "\n\t", "\u00a0\ufeff", 7, None, "x" * 20_001])
async def test_empty_note_is_refused(surface: Surface, body: object) -> None:
    request = {"consultation_id": NOBODY, "body": body}
    detail = expect(422, await surface.person().send("POST", "/notes", json=request))["detail"]
    assert detail[0]["loc"] == ["body", "body"]


async def test_note_on_a_missing_consultation_is_404(surface: Surface) -> None:
    amara = surface.person()
    assert expect(404, await amara.send("POST", "/notes", json={"consultation_id": NOBODY, "body": "x"})) == {
        "detail": "Consultation not found"
    }
    expect(404, await amara.send("GET", "/notes", params={"consultation_id": NOBODY}))
    consultation = await amara.start()
    where = {"_id": ObjectId(consultation["id"])}
    surface.database["consultations"].update_one(where, {"$unset": {"transcript": 1}})
    request = {"consultation_id": consultation["id"], "body": "x"}
    assert expect(404, await amara.send("POST", "/notes", json=request)) == {"detail": "Transcript not found"}


async def test_prompt_is_stored_trimmed(surface: Surface) -> None:
    amara = surface.person()
    prompt = await amara.post("/prompts", {"name": " short ", "text": "Be brief."})
    assert (prompt["name"], prompt["text"]) == ("short", "Be brief.")
    assert (prompt["is_shareable"], prompt["is_own"], prompt["updated_at"]) == (False, True, None)
    page = await amara.get("/prompts", params={"limit": 100})
    assert prompt in page["items"]


async def test_own_and_shared_prompts_are_listed(surface: Surface) -> None:
    surface.database["prompts"].delete_many({})
    amara, ben = surface.person(), surface.person()
    await ben.post("/prompts", {"name": "his", "text": "x"})
    shared = await ben.post("/prompts", {"name": "ours", "text": "x", "is_shareable": True})
    mine = await amara.post("/prompts", {"name": "mine", "text": "x"})
    page = await amara.get("/prompts")
    assert ([item["id"] for item in page["items"]], page["total"]) == ([mine["id"], shared["id"]], 2)
    assert [item["is_own"] for item in page["items"]] == [True, False]


@pytest.mark.parametrize(
    "changes",
    [{"name": "new"}, {"text": "new"}, {"is_shareable": True}, {"is_shareable": False}, {"name": "a", "text": "b"}, {}],
)
@pytest.mark.parametrize("shared", [False, True])
async def test_change_of_a_prompt_affects_given_fields_only(
    surface: Surface, changes: dict[str, object], shared: bool
) -> None:
    amara = surface.person()
    prompt = await amara.post("/prompts", {"name": "old", "text": "old", "is_shareable": shared})
    changed = expect(200, await amara.send("PATCH", f"/prompts/{prompt['id']}", json=changes))
    assert changed == {**prompt, **changes, "updated_at": changed["updated_at"]}
    assert changed in (await amara.get("/prompts", params={"limit": 100}))["items"]


@pytest.mark.parametrize("value", ["true", "no", 1, 0, [True]])
async def test_other_types_in_place_of_a_boolean_are_refused(surface: Surface, value: object) -> None:
    amara = surface.person()
    prompt = await amara.post("/prompts", {"name": "old", "text": "old"})
    for method, path in (("POST", "/prompts"), ("PATCH", f"/prompts/{prompt['id']}")):
        answer = await amara.send(method, path, json={"name": "a", "text": "b", "is_shareable": value})
        assert [fault["loc"] for fault in expect(422, answer)["detail"]] == [["body", "is_shareable"]]


async def test_deleted_prompt_is_404(surface: Surface) -> None:
    amara = surface.person()
    prompt = await amara.post("/prompts", {"name": "old", "text": "old"})
    assert (await amara.send("DELETE", f"/prompts/{prompt['id']}")).status_code == 204
    for method, path in (("DELETE", ""), ("PATCH", ""), ("PUT", f"/transcripts/{NOBODY}")):
        request = {"json": {"name": "x"}} if method == "PATCH" else {}
        answer = await amara.send(method, f"/prompts/{prompt['id']}{path}", **request)
        assert expect(404, answer) == {"detail": "Prompt not found"}
    stored = surface.database["prompts"].find_one({"_id": ObjectId(prompt["id"])}) or {}
    assert stored["is_deleted"] is True


async def test_ties_a_prompt_to_a_transcript(surface: Surface) -> None:
    amara, ben = surface.person(), surface.person()
    shared = await ben.post("/prompts", {"name": "ours", "text": "x", "is_shareable": True})
    transcript = (await amara.start())["transcript_id"]
    tied = expect(200, await amara.send("PUT", f"/prompts/{shared['id']}/transcripts/{transcript}"))
    assert (tied["id"], tied["prompt_id"]) == (transcript, shared["id"])
    assert await amara.get(f"/transcripts/{transcript}") == tied
    unknown = await amara.send("PUT", f"/prompts/{shared['id']}/transcripts/{NOBODY}")
    assert expect(404, unknown) == {"detail": "Transcript not found"}
