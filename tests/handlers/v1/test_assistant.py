"""Calls of v1 to the model and the terminology server, and its answers when these fail."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.outside_services import Answer, Script
from tests.support.v1_client import NOBODY, Surface, expect, v1_surface

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIXEL = base64.b64encode(b"\x89PNG").decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surface(mongodb_url: str) -> AsyncIterator[Surface]:
    async with v1_surface(mongodb_url) as opened:
        yield opened


def model_messages(surface: Surface) -> Any:
    call: Any = surface.outside.calls[-1]
    return json.loads(call["body"])["messages"]


async def test_searches(surface: Surface) -> None:
    answer = await surface.person().post("/ai/search", {"query": " asthma "}, 200)
    assert answer == {"query": "asthma", "answer": "  answer[6]: asthma  "}


async def test_summarises_a_consultation(surface: Surface) -> None:
    amara = surface.person()
    started = await amara.start()
    request = {"consultation_id": started["id"]}
    nothing = expect(409, await amara.send("POST", "/ai/summary", json=request))
    assert nothing == {"detail": "Nothing has been said in this consultation yet"}
    await amara.send("PUT", f"/transcripts/{started['transcript_id']}", json={"text": "A cough."})
    assert await amara.post("/ai/summary", request, 200) == {"summary": "answer[8]: A cough."}
    await amara.post("/ai/summary", {**request, "instructions": "In French."}, 200)
    assert model_messages(surface)[0]["content"] == "In French."
    expect(404, await amara.send("POST", "/ai/summary", json={"consultation_id": NOBODY}))


async def test_images_are_described(surface: Surface) -> None:
    images = ["https://clinic.example/scan.png", f"data:image/png;base64,{PIXEL}", PIXEL]
    answer = await surface.person().post("/ai/images", {"images": images, "prompt": "What is it?"}, 200)
    assert answer == {"response": "images=3 text=What is it?"}


@pytest.mark.parametrize(
    "images", [[], ["ftp://x/y.png"], ["data:text/html,x"], ["HTTPS://x"], [""], [7], [PIXEL] * 11, PIXEL]
)
async def test_invalid_images_are_refused(surface: Surface, images: object) -> None:
    detail = expect(422, await surface.person().send("POST", "/ai/images", json={"images": images}))["detail"]
    assert detail[0]["loc"][:2] == ["body", "images"]


async def test_codes_are_all_listed(surface: Surface) -> None:
    codes = await surface.person().get("/ai/codes", params={"name": "asthma"})
    assert [code["name"] for code in codes] == ["asthma 0", "asthma 1", "asthma 2"]
    assert codes[0] == {"name": "asthma 0", "code": "44054006", "url": "http://snomed.info/sct"}
    assert await surface.person().get("/ai/codes", params={"name": "zzz"}) == []
    detail = expect(422, await surface.person().send("GET", "/ai/codes"))["detail"]
    assert detail[0]["loc"] == ["query", "name"]


async def test_code_members_are_optional(surface: Surface) -> None:
    said = {"access_token": "t", "expansion": {"contains": [{"code": 7, "system": "s"}]}}
    with surface.outside.giving(Script([Answer(body=json.dumps(said).encode())])):
        codes = await surface.person().get("/ai/codes", params={"name": "asthma"})
    assert codes == [{"name": None, "code": None, "url": "s"}]


NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("answer", [Answer(400, b"secret"), Answer(401), Answer(body=b"secret")])
async def test_failed_outside_call_is_502_without_its_text(surface: Surface, answer: Answer) -> None:
    await _assert_each_fails(surface, answer, 502)


async def test_outside_call_beyond_its_deadline_is_504(mongodb_url: str) -> None:
    async with v1_surface(mongodb_url, model_deadline=0.4, codes_deadline=0.4) as surface:
        await _assert_each_fails(surface, Answer(hang=True), 504)


async def _assert_each_fails(surface: Surface, answer: Answer, status: int) -> None:
    amara = surface.person()
    started = await amara.start()
    await amara.send("PUT", f"/transcripts/{started['transcript_id']}", json={"text": "A cough."})
    with surface.outside.giving(Script([answer])):
        answers = await asyncio.gather(
            amara.send("POST", "/ai/search", json={"query": "asthma"}),
            amara.send("POST", "/ai/images", json={"images": [PIXEL]}),
            amara.send("POST", "/ai/summary", json={"consultation_id": started["id"]}),
            amara.send("GET", "/ai/codes", params={"name": "asthma"}),
        )
    assert [each.status_code for each in answers] == [status] * 4
    assert all(each.json().keys() == {"detail"} and "secret" not in each.text for each in answers)


async def test_unreachable_services_are_502(mongodb_url: str) -> None:
    changes = {"openai_base_url": f"{NOWHERE}/v1", "nhs_auth_url": f"{NOWHERE}/token", "nhs_api_url": NOWHERE}
    async with v1_surface(mongodb_url, model_deadline=5, **changes) as surface:
        amara = surface.person()
        answers = [
            await amara.send("POST", "/ai/search", json={"query": "asthma"}),
            await amara.send("GET", "/ai/codes", params={"name": "asthma"}),
        ]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert [answer.headers["retry-after"] for answer in answers] == ["1", "1"]
