"""Odd answers of the model, to both backends: what they answer, store and call."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect

from proxy.fuzz.differential import Differential
from proxy.types import JSON
from tests.differential.documents import Documents, oid
from tests.differential.linked import SOUND
from tests.differential.outside_services import ODD_ANSWERS, name_of
from tests.differential.people import CONSULTATIONS, PROMPTS, TRANSCRIPTS, identity
from tests.support.backend_pair import BackendPair, RunningBackend
from tests.support.outside_services import Answer, Script
from tests.support.resources import action
from tests.support.waiting import HANG_TIMEOUT, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMES: Final = tuple(map(name_of, range(len(ODD_ANSWERS))))
EDGES: Final = tuple(
    NAMES[number]
    for number, answer in enumerate(ODD_ANSWERS)
    if re.search(rb'ud800|by name|"content": (" ?"|\[)|"n":', answer.body) or answer.status == 205
)
"""Answers that every run tries: with a lone surrogate, with no visible text, with `choices` that are an object, with a
list as the text, with numbers that only Python reads, and a 205."""

AUDIO: Final = [
    {"type": "start_recording"},
    *([{"type": "audio_chunk", "audioData": "QUJD"}] * 9),
    {"type": "stop_recording"},
]
PHRASE: Final = "could not be decoded"
REFUSALS: Final[tuple[Any, ...]] = (
    *({"error": {"message": PHRASE}}, {"error": {"message": {"a": PHRASE}}}, {"error": PHRASE}),
    *(
        {"error": {"code": PHRASE}},
        {"error": {"message": "", "code": PHRASE}},
        {"error": {"message": "m", "code": PHRASE}},
    ),
    *({"error": {"message": "m"}, "detail": PHRASE}, {"detail": PHRASE}, PHRASE, [PHRASE]),
)


def refusing(body: bytes, content_type: str = "application/json", status: int = 400) -> Answer:
    return Answer(status, body, content_type, headers=((b"x-should-retry", b"false"),))


UNDECODABLE: Final = {
    **{json.dumps(refusal): refusing(json.dumps(refusal).encode()) for refusal in REFUSALS},
    "escaped": refusing(json.dumps({"error": {"message": PHRASE}}).replace("decoded", "d\\u0065coded").encode()),
    "text": refusing(PHRASE.encode(), "text/plain"),
    "upper case": refusing(PHRASE.upper().encode(), "text/plain"),
    "a failure": refusing(json.dumps({"error": {"message": PHRASE}}).encode(), status=503),
    "no JSON": Answer(body=PHRASE.encode()),
    "no JSON, and long": Answer(body=(PHRASE + 40 * " x").encode()),
    "no JSON, at the end": Answer(body=(40 * "x " + PHRASE).encode()),
    "a JSON list": Answer(body=json.dumps([PHRASE]).encode()),
}
"""Answers that have the words of a refusal to decode, not all of them in what openai's SDK makes of it."""


def said_in_consultations(texts: Iterable[str]) -> Documents:
    """Return valid documents with a consultation for each text, which its transcript has."""
    consultation, transcript = SOUND["consultations"][0], SOUND["transcripts"][0]
    assert isinstance(consultation, dict)
    assert isinstance(transcript, dict)
    consultations: list[JSON] = []
    transcripts: list[JSON] = []
    for index, text in enumerate(texts):
        link: dict[str, Any] = {"transcript": oid(identity(TRANSCRIPTS, index))}
        consultations.append({**consultation, "_id": oid(identity(CONSULTATIONS, index)), **link})
        transcripts.append({**transcript, "_id": link["transcript"], "transcript_text": text})
    return {**SOUND, "consultations": consultations, "transcripts": transcripts}


async def end_all(differential: Differential, texts: Iterable[str]) -> None:
    before = said_in_consultations(texts)
    paths = (f"/api/consultation/{identity(CONSULTATIONS, n)}/end" for n in range(len(before["consultations"])))
    ends = [action("POST", path, {"prompt_used": identity(PROMPTS, 0)}) for path in paths]
    execution = await differential.run(before, ends)
    assert not execution.differing, execution.describe()


async def test_consultations_end_alike_after_edge_cases(differential: Differential) -> None:
    await end_all(differential, EDGES)


@pytest.mark.slow
@pytest.mark.parametrize("of_codes", [False, True], ids=["summary", "codes"])
async def test_consultations_end_alike_after_any_answer(differential: Differential, of_codes: bool) -> None:
    await end_all(differential, (name_of(number, of_codes=of_codes) for number in range(len(NAMES))))


@pytest.mark.slow
async def test_questions_are_answered_alike_by_any_answer(differential: Differential) -> None:
    searches = [action("POST", f"/api/ai/search?query={name}") for name in NAMES]
    analyses = [action("POST", "/api/ai/analyze", {"prompt": name, "images": []}) for name in NAMES]
    execution = await differential.run(SOUND, [*searches, *analyses])
    assert not execution.differing, execution.describe()


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_portions_are_skipped_alike_without_a_fault(backends: BackendPair, name: str) -> None:
    legacy, native = [await converse(backend, UNDECODABLE[name]) for backend in (backends.legacy, backends.native)]
    assert legacy == native


async def converse(backend: RunningBackend, answer: Answer) -> list[str]:
    """Return the messages to a recording of one portion, of which the model answers all calls alike."""
    model = Script([answer])
    messages: list[str] = []
    await backend.until_ready()
    with backend.outside.giving(model):
        async with (
            asyncio.timeout(HANG_TIMEOUT),
            connect(f"ws://{backend.origin.authority}/transcription-stream", proxy=None) as socket,
        ):
            for message in AUDIO:
                if message == AUDIO[-1]:
                    await until(lambda: model.bodies and not model.active)
                await socket.send(json.dumps(message))
            while not messages or messages[-1] != "Recording stopped":
                messages.append(json.loads(await socket.recv())["message"])
    return messages
