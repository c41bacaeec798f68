"""Two logs are equal except for ids, dates, tokens and the number of a microphone's frames."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.headers import entity_tag
from proxy.types import JSON
from tests.browser.network import Conversation, Exchange, Log, compare_logs, settle

AT = 1_795_395_928_000
IDS = ("6b0391577d3c6b6673804483", "6b0391587d3c6b6673804499")
CORS = {"access-control-allow-origin": "http://localhost:3000", "vary": "Origin"}
PREFLIGHT = DecodedAnswer("response", 204, CORS)


def exchange(name: str) -> Exchange:
    body = f'{{"note":{{"_id":"{name}","body":"heard #k"}}}}'.encode()
    headers = {**CORS, "content-type": "application/json", "etag": entity_tag(body), "x-served-by": "legacy"}
    request_headers = {"origin": "http://localhost:3000", "content-type": "application/json"}
    answer = DecodedAnswer("response", 200, headers, body)
    return Exchange("PATCH", f"/api/notes/{name}", request_headers, {"body": name}, answer, PREFLIGHT)


def conversation(chunks: int = 12, partials: int = 1, audio_data: str = "GkXfo0hFQURFUg==") -> Conversation:
    audio: list[JSON] = [{"type": "audio_chunk", "audioData": audio_data}] * chunks
    received: list[JSON] = [{"type": "transcript", "text": "heard #k partial", "isPartial": True}] * partials
    final: JSON = {"type": "transcript", "text": "heard #k final", "isPartial": False}
    sent: list[JSON] = [{"type": "start_recording"}, *audio, {"type": "stop_recording"}]
    return Conversation("/transcription-stream", DecodedAnswer("response", 101, {}), sent, [*received, final])


def log(name: str = IDS[0]) -> Log:
    return Log((exchange(name),), (conversation(),), AT)


def compare(one: Log, other: Log) -> list[str]:
    return compare_logs(one, other, Correspondence(AT, AT))


def test_visits_with_other_ids_backends_and_audio_are_equal() -> None:
    second = exchange(IDS[1])
    served = replace(second.answer, headers={**second.answer.headers, "x-served-by": "native"})
    other = Log((replace(second, answer=served),), (conversation(chunks=31, partials=3),), AT)
    assert compare(log(), other) == []


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"target": f"/api/notes/{IDS[0]}?x=1"},
        {"headers": {"origin": "http://localhost:3000"}},
        {"body": {"body": "x"}},
        {"preflight": None},
        {"preflight": DecodedAnswer("response", 204, {"vary": "Origin"})},
        {"preflight": DecodedAnswer("response", 200, CORS)},
        {"answer": DecodedAnswer("reset")},
        {"answer": replace(exchange(IDS[0]).answer, status=201)},
        {"answer": replace(exchange(IDS[0]).answer, headers={**exchange(IDS[0]).answer.headers, "x-extra": "1"})},
        {"answer": replace(exchange(IDS[0]).answer, body=b'{"note":null}')},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_exchange_is_reported(change: dict[str, object]) -> None:
    first = log()
    second = replace(first.exchanges[0], **change)  # type: ignore[arg-type]
    assert compare(first, replace(first, exchanges=(second,))) != []


@pytest.mark.parametrize(
    "other",
    [
        replace(conversation(), sent=conversation().sent[:-1]),
        conversation(audio_data=""),
        replace(conversation(), received=conversation().received[1:]),
        replace(conversation(), received=conversation().received[::-1]),
        replace(conversation(), handshake=DecodedAnswer("response", 400, {})),
        replace(conversation(), target="/transcription"),
    ],
    ids=("no stop", "no audio", "no partial text", "another order", "refused", "elsewhere"),
)
def test_changed_conversation_is_reported(other: Conversation) -> None:
    assert compare(log(), replace(log(), conversations=(other,))) != []


def test_changed_number_of_requests_is_reported() -> None:
    first = log()
    (difference,) = compare(first, replace(first, exchanges=first.exchanges * 2))
    assert difference.startswith("other requests")


def test_transcribed_sizes_are_masked() -> None:
    assert settle("heard 3k partial heard 14k partial") == "heard #k partial"
    assert settle("1. heard 3k final") == "1. heard #k final"
