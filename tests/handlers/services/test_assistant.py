"""Prompts to the model: literal where the legacy's are known, the product's own elsewhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest

from handlers.services.assistant import Assistant, Conclusion, is_given
from handlers.services.instructions import SHIPPED, parse_instructions
from handlers.services.model import (
    InvalidResponseError,
    LLMClient,
    Message,
    ModelError,
    ModelRefusedError,
    ModelUnreachableError,
)
from tests.support.outside_services import Answer, Script, Upstreams, outside, recorded_calls, upstreams

CODES = [{"term": "diabetes", "possible_snomed": "44054006"}]


class FakeModel:
    """A model that records its calls and gives set answers or errors."""

    def __init__(self, *answers: str | ModelError) -> None:
        self.answers = list(answers)
        self.requests: list[list[Message]] = []

    async def complete(self, messages: Sequence[Message]) -> str:
        self.requests.append(list(messages))
        answer = self.answers.pop(0)
        if isinstance(answer, ModelError):
            raise answer
        return answer


@pytest.fixture
async def offline() -> AsyncIterator[Upstreams]:
    async with upstreams() as services:
        yield services


@pytest.fixture
async def assistant(offline: Upstreams) -> AsyncIterator[Assistant]:
    model = LLMClient.open("sk-test", f"{offline.url}/v1")
    yield Assistant(model)
    await model.close()


async def test_search_sends_the_recorded_call(assistant: Assistant, offline: Upstreams) -> None:
    assert await assistant.search("asthma inhalers") == "  answer[15]: asthma inhalers  "
    with pytest.raises(ModelRefusedError):
        await assistant.search("FAIL-AI")
    assert offline.calls == recorded_calls("ai-search")


async def test_repeated_query_is_sent_as_a_list() -> None:
    model = FakeModel("x")
    await Assistant(model).search(["a", "b"])
    assert model.requests[0][1] == {"role": "user", "content": ["a", "b"]}


async def test_images_are_sent_as_recorded(assistant: Assistant, offline: Upstreams) -> None:
    images = ["https://x.example/a.png", "data:image/jpeg;base64,AAAA", "data:text/html,hi", "iVBORw0KGgo="]
    images += ["base64:image/gif:R0lGOD", "base64:text/plain:AAAA", "", "not an image!", "HTTP://UP.example/b"]
    assert await assistant.analyze("What is this?", [*images, 5, None]) == "images=5 text=What is this?"
    assert await assistant.analyze("Words only", None) == "images=0 text=Words only"
    assert await assistant.analyze(None, "one") == "images=0 text=Explain this image !"
    assert await assistant.analyze("", {"0": "https://x"}) == "images=0 text=Explain this image !"
    with pytest.raises(ModelRefusedError):
        await assistant.analyze("FAIL-AI", [])
    assert offline.calls == recorded_calls("ai-analyze")


@pytest.mark.parametrize("prompt", [[], {}, ["a"], 5, True, " "])
async def test_prompt_of_any_type_is_sent_unchanged(prompt: object) -> None:
    model = FakeModel("x")
    await Assistant(model).analyze(prompt, [])
    assert model.requests[0][0] == {"role": "system", "content": SHIPPED.images.text}
    assert model.requests[0][1]["content"] == [{"type": "text", "text": prompt}]


async def test_consultation_ends_as_recorded(assistant: Assistant, offline: Upstreams) -> None:
    for _ in range(2):
        end = await assistant.conclude("Summarise in four lines.", "Patient reports chest pain.")
        assert end == Conclusion("answer[27]: Patient reports chest pain.", list(CODES))
    assert offline.calls == recorded_calls("consultation-end")


async def test_highlights_that_are_not_json_are_empty(assistant: Assistant, offline: Upstreams) -> None:
    ended = await assistant.conclude("Summarise in four lines.", "BADJSON")
    assert ended == Conclusion("answer[7]: BADJSON", [])
    assert offline.calls == recorded_calls("consultation-end-bad-highlights")


async def test_refused_summary_ends_the_calls(assistant: Assistant, offline: Upstreams) -> None:
    end = await assistant.conclude("FAIL-AI please", "")
    assert end == Conclusion(None, [])
    assert offline.calls == recorded_calls("consultation-end-ai-fails")


@pytest.mark.parametrize("answer", ["NaN", "[NaN]", "", "[" * 100_000, "```json\n[]\n```"])
async def test_unreadable_highlights_are_empty(answer: str) -> None:
    assert await Assistant(FakeModel("s", answer)).conclude(None, None) == Conclusion("s", [])


@pytest.mark.parametrize("answer", ["{}", '"[]"', "null", "5"])
async def test_highlights_of_any_json_type_are_returned(answer: str) -> None:
    assert await Assistant(FakeModel("s", answer)).conclude(None, None) == Conclusion("s", json.loads(answer))


@pytest.mark.parametrize(("content", "highlights"), [(None, None), (5, 5), (True, True), (..., []), ({"a": 1}, [])])
async def test_highlights_without_text_are_the_raw_json(content: object, highlights: object) -> None:
    wordless = InvalidResponseError("application/json", "", content)
    assert await Assistant(FakeModel("s", wordless)).conclude(None, None) == Conclusion("s", highlights)


async def test_failed_highlights_keep_the_summary() -> None:
    assert await Assistant(FakeModel("s", ModelUnreachableError())).conclude(None, None) == Conclusion("s", [])


async def test_empty_summary_is_coded_like_any() -> None:
    model = FakeModel(" \n", "[]")
    assert await Assistant(model).conclude(None, None) == Conclusion("", [])
    assert model.requests[1][0] == {"role": "system", "content": SHIPPED.codes.fill(summary="")}


@pytest.mark.parametrize("prompt", [None, ""])
@pytest.mark.parametrize("transcript", [None, ""])
async def test_missing_texts_have_defaults(prompt: str | None, transcript: str | None) -> None:
    model = FakeModel("s", "[]")
    await Assistant(model).conclude(prompt, transcript)
    user = {"role": "user", "content": ""}
    instructions = [SHIPPED.summary.text, SHIPPED.codes.fill(summary="s")]
    assert model.requests == [[{"role": "system", "content": text}, user] for text in instructions]


async def test_default_instructions_equal_the_recorded_ones(assistant: Assistant, offline: Upstreams) -> None:
    await assistant.conclude(None, "2020-02-30")
    assert offline.calls == recorded_calls("found-end-default-instructions")


async def test_own_instructions_replace_the_shipped_ones() -> None:
    own = parse_instructions("{summary: Sum., codes: 'Code ${summary}!', images: Look., search: Find.}", "own")
    model = FakeModel("s", "[]", "found", "seen", "one")
    assistant = Assistant(model, own)
    await assistant.conclude(None, "x")
    await assistant.search("x")
    await assistant.analyze("x", [])
    await assistant.summarise(["x"])
    assert [messages[0]["content"] for messages in model.requests] == ["Sum.", "Code s!", "Find.", "Look.", "Sum."]


async def test_transcripts_are_summarised_as_soap_or_as_instructed() -> None:
    model = FakeModel(" one ", "two")
    assert await Assistant(model).summarise(["a", "b"]) == "one"
    assert await Assistant(model).summarise(["c"], "Be brief.") == "two"
    contents = [[message["content"] for message in messages] for messages in model.requests]
    assert contents == [[SHIPPED.summary.text, "a\n\nb"], ["Be brief.", "c"]]


async def test_lone_surrogates_reach_the_model_escaped() -> None:
    script = Script([Answer(body=b'{"choices": [{"message": {"content": "ok"}}]}')])
    async with outside(script) as url:
        model = LLMClient.open("sk-test", f"{url}/v1")
        assert await Assistant(model).search("\ud800") == "ok"
        await model.close()
    assert json.loads(script.bodies[0])["messages"][1]["content"] == "\ud800"


def test_instructions_request_the_expected_answer_format() -> None:
    assert SHIPPED.codes.opening.endswith("The summary: ")
    for word in ("a JSON array of terms with possible SNOMED codes", '"term"', '"possible_snomed"'):
        assert word in SHIPPED.codes.text
    assert "markdown" in SHIPPED.images.text
    for heading in ("Subjective", "Objective", "Assessment", "Plan"):
        assert heading in SHIPPED.summary.text


@pytest.mark.parametrize("value", [None, False, 0, -0.0, ""])
def test_javascript_falsy_values_are_not_given(value: object) -> None:
    assert not is_given(value)
