"""A failing model, terminology server or transcription: native answers as the legacy does, or as declared."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets import connect

from proxy.recordings.comparing import compare_frames
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import BackendPair, RunningBackend, get, names, post
from tests.support.clinic import CONSULTATION, DOCUMENTS, PROMPT, assert_alike
from tests.support.outside_services import Answer as ServiceAnswer
from tests.support.outside_services import Choice, Script
from tests.support.profile import spread
from tests.support.waiting import HANG_TIMEOUT, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def completion(content: bytes) -> ServiceAnswer:
    return ServiceAnswer(body=b'{"choices": [{"message": {"content": %b}}]}' % content)


FAULTS = {
    **{
        f"<{code}>": ServiceAnswer(code, b'{"error": {"message": "m", "type": "t"}}')
        for code in (400, 401, 404, 418, 429, 500)
    },
    "<plain>": ServiceAnswer(500, b"oops", "text/plain"),
    "<page>": ServiceAnswer(502, b"<html>", "text/html"),
    "<bare>": ServiceAnswer(400, b""),
    "<null refusal>": ServiceAnswer(400, b"null"),
    "<listed refusal>": ServiceAnswer(422, b"[]"),
    "<worded refusal>": ServiceAnswer(403, b'{"error": "text"}'),
    "<odd refusal>": ServiceAnswer(409, b'{"error": {"message": {"a": 1}}}'),
    "<foreign refusal>": ServiceAnswer(400, b"\xff\xfe", "application/json; charset=utf-16"),
    "<page 200>": ServiceAnswer(200, b"<html>", "text/html"),
    "<half>": ServiceAnswer(200, b"{"),
    "<nothing>": ServiceAnswer(200, b""),
    "<no content>": ServiceAnswer(204, b""),
    "<null>": ServiceAnswer(200, b"null"),
    "<list>": ServiceAnswer(200, b"[]"),
    "<no choices>": ServiceAnswer(200, b'{"choices": []}'),
    "<no message>": ServiceAnswer(200, b'{"choices": [{}]}'),
    "<null message>": ServiceAnswer(200, b'{"choices": [{"message": null}]}'),
    "<silence>": completion(b"null"),
    "<number>": completion(b"5"),
    "<object>": completion(b'{"a": [1]}'),
    "<blank>": completion(b'" \\n"'),
    "<no utf8>": completion(b'"\xff"'),
    "<foreign>": ServiceAnswer(200, completion(b'"ok"').body, "application/json; charset=utf-16"),
    "<untyped>": ServiceAnswer(200, completion(b'"ok"').body, "application/octet-stream"),
    "<zipped>": ServiceAnswer(200, b"x", headers=((b"content-encoding", b"gzip"),)),
}


async def test_failing_model_is_answered_alike_by_every_endpoint(backends: BackendPair) -> None:
    requests = [
        post(f"/api/ai/search?query={word.replace(' ', '%20')}", token=FOREVER) for word in spread([*FAULTS], 0, 2)
    ]
    requests += [post("/api/ai/analyze", {"prompt": word}, FOREVER) for word in spread([*FAULTS], 1, 2)]
    answers = {word: [answer] for word, answer in FAULTS.items()}
    with backends.legacy.outside.giving(Choice(answers)), backends.native.outside.giving(Choice(answers)):
        for both in await asyncio.gather(*map(backends.send, requests)):
            assert_alike(both)


async def test_failing_model_still_ends_the_consultation_alike(backends: BackendPair) -> None:
    # The model is called for the summary, then for the highlights with the transcript again.
    backends.plant(DOCUMENTS)
    waiting = {"<429>", "<500>", "<plain>", "<page>", "<odd refusal>"}  # what is asked for again, with pauses
    words = [word for word in FAULTS if word not in waiting]
    for earlier, failing in (([], spread(words, 0, 2)), ([completion(b'"S"')], spread(words, 1, 2))):
        for word in failing:
            answers = [*earlier, FAULTS[word]]
            with backends.legacy.outside.giving(Script(answers)), backends.native.outside.giving(Script(answers)):
                both = await backends.send(
                    post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, FOREVER)
                )
            assert_alike(both)
            assert backends.stored("transcripts")[1] == backends.stored("consultations")[1] == []


@pytest.mark.parametrize("deleted", ["consultations", "transcripts", "prompts"])
async def test_deletion_during_the_model_call_is_answered_alike(backends: BackendPair, deleted: str) -> None:
    backends.plant(DOCUMENTS)

    def model_of(backend: RunningBackend) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            backend.database[deleted].delete_many({})
            await Script([completion(b'"S"')])(scope, receive, send)

        return answer

    legacy, native = backends.legacy, backends.native
    with legacy.outside.giving(model_of(legacy)), native.outside.giving(model_of(native)):
        both = await backends.send(post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, FOREVER))
    assert_alike(both)
    assert both.native.status == (500 if deleted == "consultations" else 200)
    assert backends.stored("transcripts")[1] == backends.stored("consultations")[1] == []


class Codes:
    """A terminology server that answers by the requested name."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = ServiceAnswer(body=b'{"access_token": "t", "expires_in": 300}')
        if scope["method"] == "GET":
            answer = VALUE_SETS[parse_qs(scope["query_string"].decode())["filter"][0]]
        await Script([answer])(scope, receive, send)


def value_set(contains: bytes) -> ServiceAnswer:
    return ServiceAnswer(body=b'{"expansion": {"contains": %b}}' % contains)


VALUE_SETS = {
    "odd": value_set(b'[{"display": 5, "code": null, "system": {"a": [1]}}, 7]'),
    "unsaid": value_set(b'[{"designation": []}, null]'),
    "texts": value_set(b'["x"]'),
    "null": value_set(b"[null]"),
    "object": value_set(b"{}"),
    "text": value_set(b'"abc"'),
    "nothing": ServiceAnswer(body=b"{}"),
    "page": ServiceAnswer(body=b"<html>", content_type="text/html"),
    "untyped": ServiceAnswer(body=value_set(b'[{"display": "\xff"}]').body, content_type="text/plain; charset=utf-16"),
    "marked": ServiceAnswer(body=b"\xef\xbb\xbf" + value_set(b'[{"display": "b"}]').body),
    "refused": ServiceAnswer(404, b""),
    "moved": ServiceAnswer(302, b"", headers=((b"location", b"/production1/fhir/ValueSet/$expand?filter=odd"),)),
    "zipped": ServiceAnswer(200, b"x", headers=((b"content-encoding", b"gzip"),)),
    "away": ServiceAnswer(503, b""),
    "cut": ServiceAnswer(cut=True),
}


async def test_failing_terminology_server_is_answered_alike(backends: BackendPair) -> None:
    with backends.legacy.outside.giving(Codes()), backends.native.outside.giving(Codes()):
        requests = (get(f"/api/ai/search/clinicalcodes?name={name}", FOREVER) for name in VALUE_SETS)
        sending = (backends.send_native_first(each, lambda native: native.status == 500) for each in requests)
        for both in await asyncio.gather(*sending):
            assert_alike(both)


TRANSCRIPTIONS = {
    "undecodable": ServiceAnswer(400, b'{"error": {"message": "audio could not be decoded"}}'),
    "refused": ServiceAnswer(400, b'{"error": {"message": "quota"}}'),
    "page": ServiceAnswer(200, b"<html>", "text/html"),
    "json": ServiceAnswer(200, b'"said"'),
    "object": ServiceAnswer(200, b'{"text": "x"}'),
    "half": ServiceAnswer(200, b"{"),
    "nothing": ServiceAnswer(200, b" \n", "text/plain"),
    "no content": ServiceAnswer(204, b""),
    "foreign": ServiceAnswer(200, b"h\xc3\xa9\xff", "text/plain; charset=utf-16"),
}


RECORDING: list[dict[str, str]] = [
    {"type": "start_recording", "consultationId": "C"},
    *[{"type": "audio_chunk", "audioData": "QUFB"}] * 9,
]
"""A recording of one portion."""
UNREPORTED = {"undecodable", "nothing"}
"""Answers to a portion of a recording about which the client receives nothing."""


@pytest.mark.parametrize("name", TRANSCRIPTIONS)
async def test_failing_transcription_sends_the_same_frames(backends: BackendPair, name: str) -> None:
    legacy, native = [await record(backend, name) for backend in (backends.legacy, backends.native)]
    assert compare_frames(legacy, native, names()) == []


async def record(backend: RunningBackend, name: str) -> list[Any]:
    """Return the frames of a recording that stops after the model's answer to its portion."""
    model = Script([TRANSCRIPTIONS[name]])
    frames: list[Any] = []
    url = f"ws://{backend.origin.authority}/transcription-stream"
    await backend.until_ready()
    with backend.outside.giving(model):
        async with asyncio.timeout(HANG_TIMEOUT), connect(url, proxy=None) as socket:
            for message in RECORDING:
                await socket.send(json.dumps(message))
            await until(lambda: model.bodies and not model.active)
            while len(frames) < (2 if name in UNREPORTED else 3):
                frames.append(json.loads(await socket.recv()))
            await socket.send('{"type": "stop_recording"}')
            while frames[-1]["type"] != "recording_stopped":
                frames.append(json.loads(await socket.recv()))
    return frames
