"""The model through openai's client, on real servers: the requests, and the error for each failure."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.services.model import (
    InvalidResponseError,
    LLMClient,
    ModelRefusedError,
    ModelTimeoutError,
    ModelUnreachableError,
    write,
)
from tests.support.event_loop import advance
from tests.support.outside_services import Answer, Script, Upstreams, outside, upstreams
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT, until

HELLO = [{"role": "user", "content": "hello"}]
GOOD = Answer(body=b'{"choices": [{"message": {"content": " hi "}}]}')


@asynccontextmanager
async def opened(url: str, deadline: float = 5.0) -> AsyncIterator[LLMClient]:
    model = LLMClient.open("sk-test", f"{url}/v1", deadline=deadline)
    try:
        yield model
    finally:
        await model.close()


@asynccontextmanager
async def scripted_model(*answers: Answer, deadline: float = 5.0) -> AsyncIterator[tuple[LLMClient, Script]]:
    script = Script(answers)
    async with outside(script) as url, opened(url, deadline) as model:
        yield model, script


@pytest.fixture
async def offline() -> AsyncIterator[Upstreams]:
    async with upstreams() as services:
        yield services


async def test_conversation_is_sent_as_by_the_node_client(offline: Upstreams) -> None:
    async with opened(offline.url) as model:
        assert await model.complete([*HELLO]) == "  answer[5]: hello  "
    [call] = offline.calls
    assert (call["method"], call["path"]) == ("POST", "/v1/chat/completions")
    assert (call["auth"], call["ctype"]) == ("Bearer sk-test", "application/json")
    assert json.loads(call["body"] or "") == {"model": "gpt-4o", "messages": HELLO}


async def test_audio_is_sent_as_a_file_with_settings(offline: Upstreams) -> None:
    async with opened(offline.url) as model:
        assert await model.transcribe(b"x" * 1500, "temp-conn-1-abc-2.webm") == " heard 2k partial \n"
    [call] = offline.calls
    assert call["ctype"] == "multipart/form-data"
    assert json.loads(call["body"] or "") == {
        "model": "whisper-1",
        "language": "en",
        "response_format": "text",
        "temperature": "0.2",
        "file": {"filename": "temp-conn-1-abc-2.webm", "type": "application/octet-stream", "size": 1500},
    }


async def test_refusal_has_status_and_body() -> None:
    body = b'{"error": {"message": "no", "type": "t"}}'
    async with scripted_model(Answer(400, body)) as (model, script):
        with pytest.raises(ModelRefusedError) as refused:
            await model.complete(HELLO)
    assert (refused.value.status, refused.value.body) == (400, body.decode())
    assert len(script.bodies) == 1


async def test_refused_audio_has_status_and_body() -> None:
    async with scripted_model(Answer(413, b"too much")) as (model, _):
        with pytest.raises(ModelRefusedError) as refused:
            await model.transcribe(b"", "a.webm")
    assert (refused.value.status, refused.value.body) == (413, "too much")


@pytest.mark.parametrize("fault", [Answer(cut=True), Answer(500), Answer(429)], ids=["cut", "500", "429"])
async def test_transient_fault_is_retried_once(fault: Answer) -> None:
    async with scripted_model(fault, GOOD) as (model, script):
        assert await model.complete(HELLO) == " hi "
    assert len(script.bodies) == 2
    assert script.bodies[0] == script.bodies[1]


@pytest.mark.parametrize("seconds", [b"60", b"90", b"3600", b"1e400"])
async def test_retry_does_not_wait_for_a_stated_minute(seconds: bytes) -> None:
    limited = Answer(429, b"{}", headers=((b"retry-after", seconds),))
    async with scripted_model(limited, GOOD) as (model, script):
        assert await model.complete(HELLO) == " hi "
    assert len(script.bodies) == 2


async def test_lasting_fault_is_raised_after_one_retry() -> None:
    async with scripted_model(Answer(503, b"away")) as (model, script):
        with pytest.raises(ModelRefusedError) as refused:
            await model.complete(HELLO)
    assert refused.value.status == 503
    assert len(script.bodies) == 2


async def test_unreachable_model_raises_an_error(unused_tcp_port: int) -> None:
    async with opened(f"http://127.0.0.1:{unused_tcp_port}") as model:
        with pytest.raises(ModelUnreachableError):
            await model.complete(HELLO)


async def test_deadline_covers_all_tries() -> None:
    began = time.monotonic()
    async with scripted_model(Answer(hang=True), deadline=0.3) as (model, script):
        with pytest.raises(ModelTimeoutError):
            await model.complete(HELLO)
        assert time.monotonic() - began < PROMPT_TIMEOUT
        await asyncio.wait_for(script.left.wait(), HANG_TIMEOUT)


async def test_answer_during_a_stop_of_this_process_is_in_time() -> None:
    gate = asyncio.Event()
    async with scripted_model(replace(GOOD, gate=gate), deadline=500.0) as (model, script):
        completion = asyncio.create_task(model.complete(HELLO))
        await until(lambda: script.bodies)
        await advance(501.0)
        gate.set()
        assert await completion == " hi "
        assert len(script.bodies) == 1


async def test_cancellation_closes_the_model_request() -> None:
    async with scripted_model(Answer(hang=True)) as (model, script):
        completion = asyncio.create_task(model.complete(HELLO))
        while not script.bodies:
            await asyncio.sleep(0.01)
        completion.cancel()
        await asyncio.wait_for(script.left.wait(), HANG_TIMEOUT)
        with pytest.raises(asyncio.CancelledError):
            await completion


RUBBISH = [
    b"",
    b"<html>",
    b"null",
    b"5",
    b"[]",
    b"{}",
    b'{"choices": []}',
    b'{"choices": {"0": {}}}',
    b'{"choices": [{"message": null}]}',
    b'{"choices": [{"message": {"content": null}}]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", RUBBISH, ids=lambda body: repr(body[:30]))
async def test_answer_without_text_is_invalid(body: bytes) -> None:
    async with scripted_model(Answer(body=body, content_type="application/json; charset=utf-16")) as (model, _):
        with pytest.raises(InvalidResponseError) as rubbish:
            await model.complete(HELLO)
    assert (rubbish.value.media_type, rubbish.value.body) == ("application/json", body.decode())
    assert rubbish.value.content is (None if b'"content": null' in body else ...)


@pytest.mark.parametrize("kind", ["Application/JSON", "text/plain", ""])
async def test_answer_of_another_media_type_is_not_parsed(kind: str) -> None:
    async with scripted_model(Answer(body=GOOD.body, content_type=kind)) as (model, _):
        with pytest.raises(InvalidResponseError) as rubbish:
            await model.complete(HELLO)
    assert (rubbish.value.media_type, rubbish.value.body) == (kind, GOOD.body.decode())


async def test_answer_without_content_is_null() -> None:
    async with scripted_model(Answer(204, b"")) as (model, _):
        with pytest.raises(InvalidResponseError) as rubbish:
            await model.complete(HELLO)
    assert (rubbish.value.media_type, rubbish.value.body) == ("application/json", "null")


@pytest.mark.parametrize(("body", "text"), [(b'"said"', "said"), (b"{}", None), (b"{", None), (b"[" * 100_000, None)])
async def test_transcription_that_calls_itself_json_is_read_as_json(body: bytes, text: str | None) -> None:
    async with scripted_model(Answer(body=body, content_type="application/json")) as (model, _):
        if text is None:
            with pytest.raises(InvalidResponseError):
                await model.transcribe(b"", "a.webm")
        else:
            assert await model.transcribe(b"", "a.webm") == text


@pytest.mark.parametrize("mark", ["", "\ufeff"])
async def test_byte_order_mark_is_removed(mark: str) -> None:
    odd = Answer(400, f"{mark}né".encode() + b"\xff", content_type="text/plain; charset=utf-16")
    async with scripted_model(odd, Answer(200, odd.body, odd.content_type)) as (model, _):
        with pytest.raises(ModelRefusedError) as refused:
            await model.transcribe(b"", "a.webm")
        assert refused.value.body == await model.transcribe(b"", "a.webm") == "né\ufffd"


async def test_missing_api_key_still_calls_the_model(offline: Upstreams) -> None:
    model = LLMClient.open("", f"{offline.url}/v1")
    await model.complete(HELLO)
    await model.close()
    assert offline.calls[0]["auth"] == "Bearer unset"


def test_values_outside_json_are_written_as_by_javascript() -> None:
    value = {"a": ["\ud800é", float("inf"), {"b": -float("inf")}, 1.5, None]}
    assert write(value) == '{"a":["\\ud800\\u00e9",null,{"b":null},1.5,null]}'


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON_VALUES)
def test_deep_values_are_written_as_others(value: Any) -> None:
    deep = value
    for _ in range(2_000):
        deep = [{"a": deep}]
    assert write(deep) == '[{"a":' * 2_000 + write(value) + "}]" * 2_000
