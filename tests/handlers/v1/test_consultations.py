"""Consultations and transcripts on v1, from start to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from bson import Binary, Decimal128, ObjectId, encode
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from tests.support.outside_services import Answer, Choice, Script
from tests.support.v1_client import NOBODY, Surface, expect, v1_surface
from tests.support.waiting import HANG_TIMEOUT

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOAP = "into SOAP format"
CODING = "possible_snomed"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surface(mongodb_url: str) -> AsyncIterator[Surface]:
    async with v1_surface(mongodb_url, model_deadline=0.5) as opened:
        yield opened


def completion(content: object) -> Answer:
    return Answer(body=json.dumps({"choices": [{"message": {"content": content}}]}).encode())


async def test_starts(surface: Surface) -> None:
    amara = surface.person()
    patient = {"name": "Ada", "age": 36, "visits": [{"on": None, "cost": 1.5}]}
    started = await amara.post("/consultations/start", {"patient_data": patient}, 200)
    assert (started["status"], started["patient_data"]) == ("active", patient)
    assert (started["note_ids"], started["ended_at"]) == ([], None)
    assert await amara.get(f"/consultations/{started['id']}") == started
    transcript = await amara.get(f"/transcripts/{started['transcript_id']}")
    assert (transcript["consultation_id"], transcript["text"]) == (started["id"], "")
    legacy = await surface.client.get(f"/api/consultation/{started['id']}", headers=amara.headers)
    assert expect(200, legacy)["consultation"]["patient"] == patient


@pytest.mark.parametrize(
    "patient",
    [
        '{"n": NaN}',
        '{"n": 1e999}',
        '{"$set": 1}',
        '{"a": {"b\\u0000": 1}}',
        '[1]',
        '{"a": ' + "[" * 190 + "]" * 190 + "}",
        '{"a": ' + "[" * 300 + "]" * 300 + "}",
        '{"a": "\\ud800"}',
    ],
)  # fmt: skip
async def test_unstorable_patient_data_are_refused(surface: Surface, patient: str) -> None:
    content = f'{{"patient_data": {patient}}}'
    headers = {"content-type": "application/json"}
    amara = surface.person()
    answer = await surface.client.post(
        "/api/v1/consultations/start", content=content, headers={**headers, **amara.headers}
    )
    expect(422, answer)


async def test_numbers_beyond_64_bits_are_stored_as_in_javascript(surface: Surface) -> None:
    started = await surface.person().post("/consultations/start", {"patient_data": {"n": 2**70, "m": -(2**63)}}, 200)
    assert started["patient_data"] == {"n": float(2**70), "m": -(2**63)}


async def test_own_consultations_are_paged_newest_first(surface: Surface) -> None:
    amara, ben = surface.person(), surface.person()
    started = [(await amara.start())["id"] for _ in range(5)]
    await ben.start()
    listed = [await amara.get("/consultations", params={"limit": 2, "offset": offset}) for offset in (0, 2, 4, 6)]
    assert [page["total"] for page in listed] == [5] * 4
    assert [(page["limit"], page["offset"]) for page in listed] == [(2, 0), (2, 2), (2, 4), (2, 6)]
    assert [item["id"] for page in listed for item in page["items"]] == started[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "offset=x"])
async def test_invalid_pages_are_refused(surface: Surface, query: str) -> None:
    detail = expect(422, await surface.person().send("GET", f"/consultations?{query}"))["detail"]
    assert detail[0]["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize("path", ["/consultations/{}", "/transcripts/{}"])
async def test_foreign_consultation_is_404(surface: Surface, path: str) -> None:
    amara = surface.person()
    detail = expect(404, await amara.send("GET", path.format(NOBODY)))["detail"]
    assert detail.endswith(" not found")
    expect(404, await amara.send("GET", path.format("nothing")))
    expect(404, await amara.send("GET", path.format("z" * 24)))


async def test_stored_text_that_is_not_utf8_is_a_server_error(surface: Surface) -> None:
    amara = surface.person()
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    identity = ObjectId()
    document = encode({"_id": identity, "clinician": amara.identity, "transcript_text": "cough"})
    invalid = RawBSONDocument(document.replace(b"cough", b"coug\xff"), raw)
    surface.database.get_collection("transcripts", codec_options=raw).insert_one(invalid)
    answer = expect(500, await amara.send("GET", f"/transcripts/{identity}"))
    assert answer == {"detail": "Internal Server Error"}


async def test_replaces_the_text_of_a_transcript(surface: Surface) -> None:
    amara = surface.person()
    path = f"/transcripts/{(await amara.start())['transcript_id']}"
    changed = expect(200, await amara.send("PUT", path, json={"text": "I have a cough."}))
    assert changed["text"] == "I have a cough."
    assert changed["updated_at"] >= changed["created_at"]
    assert await amara.get(path) == changed
    assert expect(200, await amara.send("PUT", path, json={"text": ""}))["text"] == ""
    expect(404, await amara.send("PUT", f"/transcripts/{NOBODY}", json={"text": ""}))


async def started_and_said(surface: Surface, text: str) -> tuple[Any, Any]:
    amara = surface.person()
    started = await amara.start()
    expect(200, await amara.send("PUT", f"/transcripts/{started['transcript_id']}", json={"text": text}))
    return amara, started


async def test_ends_with_a_summary_and_highlights(surface: Surface) -> None:
    amara, started = await started_and_said(surface, "I have a cough.")
    ended = await amara.post(f"/consultations/{started['id']}/end", {}, 200)
    assert ended["status"] == "ended"
    assert ended["summary"] == "answer[15]: I have a cough."
    assert ended["highlights"] == [{"term": "diabetes", "possible_snomed": "44054006"}]
    assert ended["ended_at"] >= ended["started_at"]
    stored = await amara.get(f"/consultations/{started['id']}")
    assert stored == {name: value for name, value in ended.items() if name not in ("summary", "highlights")}
    assert (await amara.get(f"/transcripts/{started['transcript_id']}"))["summary"] == ended["summary"]
    instructions = [json.loads(call["body"])["messages"][0]["content"] for call in surface.outside.calls[-2:]]  # type: ignore[index,call-overload,arg-type]
    assert SOAP in instructions[0]


async def test_end_changes_one_consultation_and_its_transcript(surface: Surface) -> None:
    amara = surface.person()
    started = [await amara.start() for _ in range(3)]
    for number, each in enumerate(started):
        expect(200, await amara.send("PUT", f"/transcripts/{each['transcript_id']}", json={"text": f"cough {number}"}))

    async def documents() -> list[tuple[Any, Any]]:
        paths = [(f"/consultations/{each['id']}", f"/transcripts/{each['transcript_id']}") for each in started]
        return [(await amara.get(consultation), await amara.get(transcript)) for consultation, transcript in paths]

    before = await documents()
    ended = await amara.post(f"/consultations/{started[1]['id']}/end", {}, 200)
    first, (consultation, transcript), third = await documents()
    assert [first, third] == [before[0], before[2]]
    assert (consultation["status"], transcript["text"]) == ("ended", "cough 1")
    assert transcript["summary"] == ended["summary"] == "answer[7]: cough 1"


async def test_failed_model_leaves_an_earlier_summary(surface: Surface) -> None:
    amara, started = await started_and_said(surface, "A cough.")
    path, identity = f"/transcripts/{started['transcript_id']}", ObjectId(started["transcript_id"])
    surface.database["transcripts"].update_one({"_id": identity}, {"$set": {"summary": "by a colleague"}})
    with surface.outside.giving(Script([Answer(500)])):
        await amara.post(f"/consultations/{started['id']}/end", {}, 200)
    assert (await amara.get(path))["summary"] == "by a colleague"


async def test_own_or_shared_prompt_ends_a_consultation(surface: Surface) -> None:
    ben = surface.person()
    shared = await ben.post("/prompts", {"name": "short", "text": "Be brief.", "is_shareable": True})
    private = await ben.post("/prompts", {"name": "mine", "text": "Be long."})
    amara, started = await started_and_said(surface, "A cough.")
    refused = await amara.send("POST", f"/consultations/{started['id']}/end", json={"prompt_id": private["id"]})
    assert expect(404, refused) == {"detail": "Prompt not found"}
    await amara.post(f"/consultations/{started['id']}/end", {"prompt_id": shared["id"]}, 200)
    call = surface.outside.calls[-2]
    assert json.loads(call["body"])["messages"][0]["content"] == "Be brief."  # type: ignore[index,call-overload,arg-type]


async def test_ended_consultation_is_not_ended_again(surface: Surface) -> None:
    amara, started = await started_and_said(surface, "A cough.")
    path = f"/consultations/{started['id']}/end"
    answers = await asyncio.gather(*(amara.send("POST", path, json={}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert expect(409, await amara.send("POST", path, json={})) == {"detail": "Consultation already ended"}


@pytest.mark.parametrize("answer", [Answer(500), Answer(hang=True), Answer(body=b"rubbish")])
async def test_ends_though_the_model_fails(surface: Surface, answer: Answer) -> None:
    amara, started = await started_and_said(surface, "A cough.")
    with surface.outside.giving(Script([answer])):
        ended = await amara.post(f"/consultations/{started['id']}/end", {}, 200)
    assert (ended["status"], ended["summary"], ended["highlights"]) == ("ended", None, [])
    assert (await amara.get(f"/transcripts/{started['transcript_id']}"))["summary"] is None


@pytest.mark.parametrize(
    ("said", "highlights"),
    [
        ("nothing", []),
        ('{"term": "a"}', []),
        ('[{"term": "a", "possible_snomed": "1"}, {"term": 1}, 2, {"term": "b", "possible_snomed": 3}]', ["a"]),
    ],
)
async def test_invalid_highlights_are_dropped(surface: Surface, said: str, highlights: list[str]) -> None:
    amara, started = await started_and_said(surface, "A cough.")
    script = Choice({SOAP: [completion(" It is a cough. ")], CODING: [completion(said)]})
    with surface.outside.giving(script):
        ended = await amara.post(f"/consultations/{started['id']}/end", {}, 200)
    assert ended["summary"] == "It is a cough."
    assert [each["term"] for each in ended["highlights"]] == highlights


async def test_consultation_without_a_transcript_is_not_ended(surface: Surface) -> None:
    amara, started = await started_and_said(surface, "A cough.")
    surface.database["transcripts"].delete_one({"_id": ObjectId(started["transcript_id"])})
    refused = await amara.send("POST", f"/consultations/{started['id']}/end", json={})
    assert expect(404, refused) == {"detail": "Transcript not found"}


async def test_disconnect_cancels_the_model_call(mongodb_url: str) -> None:
    async with v1_surface(mongodb_url, model_deadline=60) as surface:
        amara, started = await started_and_said(surface, "A cough.")
        script = Script([Answer(hang=True)])
        with surface.outside.giving(script):
            request = asyncio.create_task(amara.send("POST", f"/consultations/{started['id']}/end", json={}))
            while not script.bodies:
                await asyncio.sleep(0.005)
            request.cancel()
            await asyncio.wait_for(script.left.wait(), HANG_TIMEOUT)
        assert (await amara.get(f"/consultations/{started['id']}"))["status"] == "active"


async def test_unusual_stored_documents_are_shown(surface: Surface) -> None:
    amara = surface.person()
    odd: dict[str, Any] = {
        "_id": ObjectId(),
        "clinician": amara.identity,
        "patient": {"when": DatetimeMS(2**62), "n": float("nan"), "b": Binary(b"x"), "d": Decimal128("1.5"), "l": [1]},
        "transcript": "none",
        "notes": [ObjectId(), "x"],
        "started_at": DatetimeMS(2**62),
        "ended_at": "yesterday",
    }
    surface.database["consultations"].insert_many([odd, {"_id": ObjectId(), "clinician": amara.identity, "notes": 7}])
    listed = (await amara.get("/consultations"))["items"]
    assert [item["status"] for item in listed] == ["active", "active"]
    shown = next(item for item in listed if item["id"] == str(odd["_id"]))
    assert (shown["transcript_id"], len(shown["note_ids"]), shown["ended_at"]) == (None, 1, None)
    assert shown["started_at"] == odd["_id"].generation_time.isoformat().replace("+00:00", "Z")
    assert (shown["patient_data"]["n"], shown["patient_data"]["d"]) == (None, "1.5")
