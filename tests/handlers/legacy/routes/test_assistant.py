"""`/api/ai` over real sockets, with the real store and the offline model: recorded answers, and faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from bson import ObjectId

from handlers.legacy.express import Application, Router
from handlers.legacy.express.bodies import json_parser
from handlers.legacy.express.cors import Cors
from handlers.legacy.routes.assistant import AssistantRoutes
from handlers.services.assistant import Assistant
from handlers.services.consultations import Consultations
from handlers.services.model import LLMClient
from handlers.services.summaries import Summaries
from handlers.services.terminology import Access, Terminology
from handlers.storage.store import Store
from tests.support.outside_services import Answer, Script, Upstreams, outside, recorded, upstreams
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN_PATH = "/authorisation/auth/realms/nhs-digital-terminology/protocol/openid-connect/token"
CONSULTATION = ObjectId("64b7f0f0f0f0f0f0f0f0f001")
EMPTY = ObjectId("64b7f0f0f0f0f0f0f0f0f002")
UNREADABLE = ObjectId("64b7f0f0f0f0f0f0f0f0f003")


@dataclass(frozen=True)
class Native:
    """`/api/ai` on a real socket, and its requests to the outside services."""

    client: httpx.AsyncClient
    upstreams: Upstreams
    port: int


@asynccontextmanager
async def native(
    store: Store, model_url: str, terminology_url: str, *, codes_as_list: bool = False
) -> AsyncIterator[int]:
    """Serve `/api/ai` with a model and a terminology server; yield the port."""
    model = LLMClient.open("sk-test", f"{model_url}/v1", deadline=2)
    access = Access(terminology_url + TOKEN_PATH, terminology_url + "/production1/fhir/", "cid", "csecret")
    terminology = Terminology.open(access, deadline=2)
    assistant = Assistant(model)
    routes = AssistantRoutes(
        assistant,
        terminology,
        Consultations(store),
        Summaries(store.transcripts, assistant),
        codes_as_list=codes_as_list,
    )
    router = Router()
    router.use("/", json_parser(10_000_000))
    router.use("/api/ai", routes.router())
    async with serving(Application(router, Cors((), "", ""))) as port:
        yield port
    await model.close()
    await terminology.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(mongodb_url: str) -> AsyncIterator[Store]:
    opened = Store(mongodb_url, f"assistant-{ObjectId()}")
    await opened.consultations.insert({"_id": CONSULTATION})
    await opened.consultations.insert({"_id": EMPTY})
    await opened.transcripts.insert(
        {"_id": ObjectId(), "consultation": CONSULTATION, "transcript_text": "Cough for a week."}
    )
    yield opened
    for identity in (CONSULTATION, EMPTY, UNREADABLE):
        await opened.consultations.delete({"_id": identity})
    await opened.transcripts.delete({})
    await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(store: Store) -> AsyncIterator[Native]:
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(upstreams())
        port = await stack.enter_async_context(native(store, services.url, services.url))
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=HANG_TIMEOUT, verify=False)
        yield Native(await stack.enter_async_context(client), services, port)


async def send_request(port: int, method: str, path: str, **request: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=HANG_TIMEOUT, verify=False) as client:
        return await client.request(method, f"http://127.0.0.1:{port}{path}", **request)


STEPS = [
    pytest.param(step, id=f"{scenario}: {step['name']}")
    for scenario in ("ai-search", "ai-codes", "ai-analyze")
    for step in recorded(scenario)["steps"]
    if step["request"]["path"].startswith("/api/ai") and step["name"] not in ("no token", "GET")
]


@pytest.mark.parametrize("step", STEPS)
async def test_recorded_question_is_answered_as_recorded(api: Native, step: dict[str, Any]) -> None:
    request = step["request"]
    body = {"json": request["json"]} if "json" in request else {}
    answer = await api.client.request(request["method"], request["path"], **body)
    assert (answer.status_code, answer.text) == (step["response"]["status"], step["response"]["text"])


async def test_repeated_query_is_sent_and_answered_as_a_list(store: Store) -> None:
    script = Script([Answer(body=b'{"choices": [{"message": {"content": "x"}}]}')])
    async with outside(script) as url, native(store, url, url) as port:
        answer = await send_request(port, "POST", "/api/ai/search?query=a&query=b")
    assert answer.text == '{"query":["a","b"],"answer":"x"}'
    assert json.loads(script.bodies[0])["messages"][1] == {"role": "user", "content": ["a", "b"]}


@pytest.mark.parametrize("path", ["/api/ai/search?query=", "/api/ai/search?Query=a", "/api/ai/search?query[a]=b"])
async def test_missing_query_is_400_without_a_call(api: Native, path: str) -> None:
    call_count = len(api.upstreams.calls)
    answer = await api.client.post(path)
    assert (answer.status_code, answer.text) == (400, '{"error":"Query is required"}')
    assert len(api.upstreams.calls) == call_count


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("[]", "images=0 text=Explain this image !"),
        ('{"prompt":0,"images":{"0":"http://x"}}', "images=0 text=Explain this image !"),
        ('{"prompt":5,"images":["http://x",["http://y"],{"url":"http://z"}]}', "images=1 text=5"),
    ],
)
async def test_analyze_uses_the_valid_parts_of_a_body(api: Native, body: str, text: str) -> None:
    answer = await api.client.post("/api/ai/analyze", content=body, headers={"content-type": "application/json"})
    assert answer.json() == {"status": "ok", "response": text}


async def test_unknown_code_is_404(api: Native) -> None:
    answer = await api.client.get("/api/ai/search/clinicalcodes?name=zzz")
    assert (answer.status_code, answer.text) == (404, '{"msg":"No clinical codes found"}')


async def test_failing_terminology_server_is_a_500(api: Native) -> None:
    answer = await api.client.get("/api/ai/search/clinicalcodes?name=boom")
    reason = "the terminology server answered 500"
    assert answer.status_code == 500
    assert answer.json() == {"msg": "Error fetching clinical codes", "error": reason}


async def test_codes_answer_head_missing_and_repeated_names(api: Native) -> None:
    answer = await api.client.head("/api/ai/search/clinicalcodes?name=x")
    assert (answer.status_code, answer.content) == (200, b"")
    await api.client.get("/api/ai/search/clinicalcodes")
    assert str(api.upstreams.calls[-1]["path"]).endswith("138875005&count=10")
    await api.client.get("/api/ai/search/clinicalcodes?name=a&name=b")
    assert str(api.upstreams.calls[-1]["path"]).endswith("&filter%5B%5D=a&filter%5B%5D=b&count=10")


async def test_switch_answers_every_code(api: Native, store: Store) -> None:
    async with native(store, api.upstreams.url, api.upstreams.url, codes_as_list=True) as port:
        listed = await send_request(port, "GET", "/api/ai/search/clinicalcodes?name=a")
        none = await send_request(port, "GET", "/api/ai/search/clinicalcodes?name=zzz")
    assert [code["name"] for code in listed.json()] == ["a 0", "a 1", "a 2"]
    assert (none.status_code, none.text) == (200, "[]")


async def test_missing_code_members_are_omitted(store: Store) -> None:
    grant = Answer(body=b'{"access_token": "t"}')
    codes = Script([grant, Answer(body=b'{"expansion": {"contains": [{"code": "1"}]}}')])
    async with outside(codes) as url, native(store, url, url) as port:
        answer = await send_request(port, "GET", "/api/ai/search/clinicalcodes?name=a")
    assert answer.text == '{"code":"1"}'


SUMMARISE = f"/api/ai/{CONSULTATION}/summarise"


async def test_consultation_is_summarised(api: Native) -> None:
    answer = await api.client.post(SUMMARISE, json={})
    assert answer.status_code == 200
    assert answer.text == '{"msg":"SOAP summary generated","summary":"answer[17]: Cough for a week."}'
    await api.client.post(SUMMARISE, json={"usedPrompt": "Be brief."})
    sent = json.loads(api.upstreams.calls[-1]["body"] or "")
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Cough for a week."},
    ]


@pytest.mark.parametrize("name", ["no body", "absent", "not an id"])
async def test_summaries_are_refused_as_recorded(api: Native, name: str) -> None:
    [step] = [step for step in recorded("ai-summarise")["steps"] if step["name"] == name]
    path = SUMMARISE if name == "no body" else step["request"]["path"]
    body = {"json": step["request"]["json"]} if "json" in step["request"] else {}
    answer = await api.client.post(path, **body)
    assert (answer.status_code, answer.text) == (step["response"]["status"], step["response"]["text"])


async def test_consultation_without_text_has_no_transcripts(api: Native) -> None:
    answer = await api.client.post(f"/api/ai/{EMPTY}/summarise", json={})
    assert (answer.status_code, answer.text) == (404, '{"msg":"No transcripts found for this consultation"}')


async def test_consultation_that_cannot_be_read_is_not_summarised(store: Store, api: Native) -> None:
    await store.consultations.insert({"_id": UNREADABLE, "toString": None})
    answer = await api.client.post(f"/api/ai/{UNREADABLE}/summarise", json={})
    assert answer.status_code == 500
    message = "schemaType._castNullish is not a function"
    assert answer.json() == {"msg": "Error generating SOAP summary", "error": message}


async def test_refusal_to_summarise_is_worded(api: Native) -> None:
    answer = await api.client.post(SUMMARISE, json={"usedPrompt": "FAIL-AI"})
    assert answer.status_code == 500
    assert answer.json() == {"msg": "Error generating SOAP summary", "error": "400 model refused"}


FAULTS = [
    (Answer(500, b""), "Error", "500 status code (no body)"),
    (Answer(cut=True), "Error", "Connection error."),
    (Answer(hang=True), "Error", "Request timed out."),
    (Answer(body=b"<html>"), "SyntaxError", "Unexpected token '<', \"<html>\" is not valid JSON"),
    (Answer(body=b"{}"), "TypeError", "Cannot read properties of undefined (reading '0')"),
]


@pytest.mark.parametrize(("fault", "name", "message"), FAULTS, ids=lambda value: str(value)[:40])
async def test_model_faults_are_worded_by_each_endpoint(store: Store, fault: Answer, name: str, message: str) -> None:
    async with outside(Script([fault])) as url, native(store, url, url) as port:
        search, summary, image = await asyncio.gather(
            send_request(port, "POST", "/api/ai/search?query=a"),
            send_request(port, "POST", SUMMARISE, json={}),
            send_request(port, "POST", "/api/ai/analyze", json={}),
        )
    assert [answer.status_code for answer in (search, summary, image)] == [500] * 3
    assert search.json() == {"error": "Something went wrong", "msg": message}
    assert summary.json() == {"msg": "Error generating SOAP summary", "error": message}
    error = image.json()["error"]
    assert list(error) == ["name", "message", "stackExcerpt"]
    assert (error["name"], error["message"]) == (name, message)
    assert error["stackExcerpt"].startswith(f"{name}: {message}")


async def test_null_answer_is_returned(store: Store) -> None:
    null = Answer(body=b'{"choices": [{"message": {"content": null}}]}')
    async with outside(Script([null])) as url, native(store, url, url) as port:
        assert (await send_request(port, "POST", "/api/ai/search?query=a")).text == '{"query":"a","answer":null}'
        assert (await send_request(port, "POST", "/api/ai/analyze", json={})).text == '{"status":"ok","response":null}'


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_client_disconnect_cancels_the_model_call(store: Store, body: bytes) -> None:
    script = Script([Answer(hang=True)])
    async with outside(script) as url, native(store, url, url) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/ai/search?query=a HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        while not script.bodies:
            await asyncio.sleep(0.01)
        writer.transport.abort()
        await asyncio.wait_for(script.left.wait(), HANG_TIMEOUT)


async def test_disconnect_during_the_body_cancels_the_model_call(store: Store) -> None:
    script = Script([Answer(hang=True)])
    async with outside(script) as url, native(store, url, url) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /api/ai/search?query=a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab")
        while not script.bodies:
            await asyncio.sleep(0.01)
        writer.transport.abort()
        await asyncio.wait_for(script.left.wait(), HANG_TIMEOUT)
