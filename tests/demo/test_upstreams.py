import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from demo.upstreams import create_app

CODING = "Give a JSON array of terms with SNOMED codes.\n\nThe consultation's summary:\n"
TERMINOLOGY = "https://ontology.nhs.uk"
EXPAND = "/production1/fhir/ValueSet/$expand"
TOKEN = "/authorisation/auth/realms/nhs-digital-terminology/protocol/openid-connect/token"


@pytest.fixture
async def upstreams() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://upstreams") as client:
        yield client


async def complete(upstreams: httpx.AsyncClient, *contents: Any) -> str:
    roles = ("system", "user")
    messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
    answer = await upstreams.post("/v1/chat/completions", json={"model": "gpt-4o", "messages": messages})
    content: str = answer.json()["choices"][0]["message"]["content"]
    return content


async def calls(upstreams: httpx.AsyncClient) -> list[dict[str, Any]]:
    recorded: list[dict[str, Any]] = (await upstreams.get("/_calls")).json()
    return recorded


async def test_completion_echoes_the_last_message_between_spaces(upstreams: httpx.AsyncClient) -> None:
    assert await complete(upstreams, "Be brief.", "x" * 70) == f"  answer[70]: {'x' * 60}  "


async def test_images_are_counted(upstreams: httpx.AsyncClient) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    content = [{"type": "text", "text": "What?"}, image, image]
    assert await complete(upstreams, "Explain images in markdown.", content) == "images=2 text=What?"


async def test_coding_instruction_gets_codes(upstreams: httpx.AsyncClient) -> None:
    answer = await complete(upstreams, CODING + "a cough", "Coughs.")
    assert json.loads(answer) == [{"term": "diabetes", "possible_snomed": "44054006"}]


async def test_badjson_in_the_text_breaks_the_codes(upstreams: httpx.AsyncClient) -> None:
    assert await complete(upstreams, CODING + "a cough", "BADJSON") == "not json"


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "FAIL-AI"}]}', "model refused"),
        ("/v1/chat/completions", b"rubbish", "messages are required"),
        ("/v1/audio/transcriptions", b"..FAIL-AUDIO..", "audio could not be decoded"),
        ("/v1/audio/transcriptions", b"..HARD-FAIL..", "quota"),
    ],
)
async def test_refusal_is_openais(upstreams: httpx.AsyncClient, path: str, content: bytes, message: str) -> None:
    answer = await upstreams.post(path, content=content)
    assert answer.status_code == 400
    assert answer.json() == {"error": {"message": message, "type": "invalid_request_error"}}


@pytest.mark.parametrize(("name", "part"), [("temp-conn-1.webm", "partial"), ("final-conn-1.webm", "final")])
async def test_transcription_returns_kilobytes_and_part(upstreams: httpx.AsyncClient, name: str, part: str) -> None:
    answer = await upstreams.post(
        "/v1/audio/transcriptions", files={"file": (name, b"a" * 12_345, "audio/webm")}, data={"model": "whisper-1"}
    )
    assert answer.text == f" heard 12k {part} \n"


async def test_transcription_call_lists_its_form_fields(upstreams: httpx.AsyncClient) -> None:
    audio = bytes(range(256)) * 10
    await upstreams.post(
        "/v1/audio/transcriptions", files={"file": ("final-1.webm", audio, "audio/webm")}, data={"a": "b"}
    )
    (call,) = await calls(upstreams)
    file = {"filename": "final-1.webm", "type": "audio/webm", "size": len(audio)}
    assert json.loads(call["body"]) == {"a": "b", "file": file}
    assert call["ctype"] == "multipart/form-data"


async def test_term_returns_three_codes(upstreams: httpx.AsyncClient) -> None:
    codes = (await upstreams.get(EXPAND, params={"filter": "asthma"})).json()["expansion"]["contains"]
    assert [code["display"] for code in codes] == ["asthma 0", "asthma 1", "asthma 2"]
    assert codes[0] == {"system": "http://snomed.info/sct", "code": "44054006", "display": "asthma 0"}


async def test_term_zzz_returns_no_codes(upstreams: httpx.AsyncClient) -> None:
    assert (await upstreams.get(EXPAND, params={"filter": "zzzebra"})).json()["expansion"]["contains"] == []


async def test_boom_fails_the_terminology_server(upstreams: httpx.AsyncClient) -> None:
    assert (await upstreams.get(EXPAND, params={"filter": "boomerang"})).status_code == 500


async def test_calls_are_recorded_in_the_recordings_form(upstreams: httpx.AsyncClient) -> None:
    await upstreams.post(TOKEN, data={"grant_type": "client_credentials", "client_id": "cid"})
    await upstreams.get(f"{EXPAND}?url=http:%2F%2Fx&filter=a", headers={"authorization": "Bearer nhs-token"})
    assert await calls(upstreams) == [
        {
            "method": "POST",
            "path": TERMINOLOGY + TOKEN,
            "auth": None,
            "ctype": "application/x-www-form-urlencoded",
            "body": "grant_type=client_credentials&client_id=cid",
        },
        {
            "method": "GET",
            "path": f"{TERMINOLOGY}{EXPAND}?url=http:%2F%2Fx&filter=a",
            "auth": "Bearer nhs-token",
            "ctype": None,
            "body": "",
        },
    ]


async def test_instructions_are_recorded_by_their_subject(upstreams: httpx.AsyncClient) -> None:
    await complete(upstreams, CODING + "two lines\nof summary: good", "Coughs.")
    await complete(upstreams, "A UK medical expert on images, in markdown.", [{"type": "text", "text": "?"}])
    await complete(upstreams, "My own prompt.", "Coughs.")
    systems = [json.loads(call["body"])["messages"][0]["content"] for call in await calls(upstreams)]
    about = "a JSON array of terms with possible SNOMED codes, from the summary"
    assert systems == [
        f"<instructions: {about}: two lines\nof summary: good>",
        "<instructions for image analysis: UK medical expert, markdown>",
        "My own prompt.",
    ]


async def test_calls_are_forgotten_on_demand(upstreams: httpx.AsyncClient) -> None:
    await complete(upstreams, "a", "b")
    assert (await upstreams.delete("/_calls")).status_code == 204
    assert await calls(upstreams) == []
