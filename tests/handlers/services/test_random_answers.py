"""Random answers of the model, to repeated calls too: native's client reads, repeats and waits as the legacy's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import pytest
from httpx2 import Headers
from openai import AsyncOpenAI

from common.white_space import trim
from handlers.legacy.model_errors import describe
from handlers.services.model import InvalidResponseError, LLMClient, ModelError, open_sdk_client
from tests.support.outside_clients import UNREADABLE, Legacy, complete, legacy_clients
from tests.support.profile import examples
from tests.support.random_answers import MAX_CALLS, RandomAnswer, RandomService, random_answers, random_service
from tests.support.random_seed import seed_of

BROKEN: Final = "broken"
"""An answer that breaks off: native repeats the call, the legacy does not (`model-retries`)."""
INVALID: Final = "no text"
"""A transcription that is no text, for which the legacy's routes have one answer."""
WHOLE: Final = RandomAnswer((b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",), "kept")


@dataclass(frozen=True)
class Called:
    """A call's result, the requests for it, and the delays before its repetitions: milliseconds, None for a default."""

    result: object
    requests: list[str]
    delays: list[float | None]


class ImpatientClient(AsyncOpenAI):
    """openai's client, whose pauses take no time; `delays` has them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.delays: list[float | None] = []

    async def _sleep_for_retry(self, *, retries_taken: int, max_retries: int, options: Any, response: Any) -> None:
        headers = response.headers if response is not None else Headers()
        delay = round(1000 * self._calculate_retry_timeout(max_retries - retries_taken, options, headers), 3)
        stated = float(headers.get("retry-after-ms", "nan"))
        self.delays.append(delay if delay == round(stated, 3) else None)


def open_impatient_client(url: str) -> ImpatientClient:
    """Return the client that native opens, but impatient, and with as many repetitions as the legacy's."""
    client = open_sdk_client("k", url)
    client.__class__ = ImpatientClient
    assert isinstance(client, ImpatientClient)
    return client.with_options(max_retries=MAX_CALLS - 1)


@dataclass
class NativeClient:
    """Native's client, which repeats as often as the legacy's, and waits for no time."""

    sdk: ImpatientClient

    @property
    def model(self) -> LLMClient:
        """The app's client."""
        return LLMClient(lambda: self.sdk)

    async def transcribe(self) -> object:
        """Return the trimmed text, or the error."""
        try:
            return trim(await self.model.transcribe(b"audio", "temp-x.webm"))
        except InvalidResponseError:
            return INVALID
        except ModelError as error:
            message = describe(error).message
            return {"error": UNREADABLE if message == "Connection error." else message}


@dataclass(frozen=True)
class Clients:
    """The clients of both backends, and the service that they call."""

    service: RandomService
    legacy: Legacy
    native: NativeClient

    async def differences(self, answers: tuple[RandomAnswer, ...]) -> list[tuple[str, Called, Called]]:
        """Return the calls whose results, requests or delays differ."""
        self.service.answers = answers
        different = []
        for name in ("complete", "transcribe"):
            legacy, native = await self._call_legacy(name), await self._call_native(name)
            made = answers[: len(legacy.requests)]
            if legacy.result == BROKEN:
                continue
            is_alike = (legacy.result, legacy.requests) == (native.result, native.requests)
            if not is_alike or (legacy.delays != native.delays and not any(each.is_broken for each in made)):
                different.append((name, legacy, native))
        return different

    async def _call_legacy(self, name: str) -> Called:
        self.service.requests.clear()
        answer = await self.legacy.answer(name, "x.")
        result = {"error": answer["error"]} if "error" in answer else answer.get("value")
        if "error" in answer and answer["error"].endswith("terminated"):
            result = BROKEN
        elif answer.get("error") == "Connection error.":
            result = {"error": UNREADABLE}
        elif name == "transcribe" and any(word in answer.get("error", "") for word in ("JSON", "trim")):
            result = INVALID
        return Called(result, list(self.service.requests), answer["delays"])

    async def _call_native(self, name: str) -> Called:
        self.service.requests.clear()
        self.native.sdk.delays.clear()
        result = await (complete(self.native.model, "x.") if name == "complete" else self.native.transcribe())
        return Called(result, list(self.service.requests), list(self.native.sdk.delays))


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with random_service() as service, legacy_clients(service.port) as legacy:
        sdk = open_impatient_client(f"http://127.0.0.1:{service.port}/v1")
        yield Clients(service, legacy, NativeClient(sdk))
        await sdk.close()


@pytest.mark.seeded
async def test_random_answers_are_read_and_repeated_alike(clients: Clients) -> None:
    different = {}
    for seed in range(seed_of(0), seed_of(examples(60))):
        answers = random_answers(Random(seed))
        if differences := await clients.differences(answers):
            different[seed] = (answers, differences)
    assert different == {}


def answer(status: int, heads: bytes = b"", body: bytes = b"hi") -> RandomAnswer:
    data = b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, heads, len(body), body)
    return RandomAnswer((data,), "kept")


MOVED: Final = answer(307, b"location: /moved\r\n")
MISDIRECTED: Final = answer(421)
REPEATED: Final[tuple[tuple[tuple[RandomAnswer, ...], int], ...]] = (
    ((MISDIRECTED, WHOLE), 2),
    ((MISDIRECTED, MISDIRECTED, WHOLE), 2),
    ((answer(421, b"x-should-retry: true\r\n"), WHOLE), 2),
    ((MISDIRECTED, answer(500), WHOLE), 3),
    ((MISDIRECTED, MOVED, MISDIRECTED, WHOLE), 4),
    ((MOVED, MISDIRECTED, WHOLE), 3),
    ((answer(407), WHOLE), 2),
    ((answer(407, b"x-should-retry: false\r\nretry-after: 7\r\n"),), 3),
    ((MISDIRECTED, answer(407), WHOLE), 3),
    ((MOVED,), 63),
)
"""Answers, and the number of requests: redirects end after 20, and each of three tries follows them."""


async def test_requests_that_fetch_itself_repeats(clients: Clients) -> None:
    for answers, requests in REPEATED:
        assert await clients.differences(answers) == [], answers
        assert len(clients.service.requests) == requests, answers
