"""Answers of outside services as bytes: native's clients read them as the legacy's own clients under Node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest

from handlers.services.model import LLMClient, open_sdk_client
from handlers.services.terminology import Access, Terminology, TerminologyError
from tests.support.outside_clients import UNREADABLE, complete, legacy_clients
from tests.support.profile import spread
from tests.support.raw_answers import (
    RawService,
    coded_answers,
    plain_answers,
    raw,
    raw_service,
    redirecting_answers,
)

ANSWERS: Final = (*coded_answers(), *redirecting_answers(), *plain_answers())


@pytest.fixture
async def answered() -> AsyncIterator[RawService]:
    async with raw_service(ANSWERS) as service:
        yield service


async def test_completions_are_read_as_by_the_legacy(answered: RawService) -> None:
    model = LLMClient(lambda: open_sdk_client("k", f"http://127.0.0.1:{answered.port}/v1").with_options(max_retries=0))
    different = []
    async with legacy_clients(answered.port) as legacy:
        for number, answer in spread([*enumerate(ANSWERS)], 0, 2):
            expected = await legacy.call("complete", f"answer-{number}.")
            expected_requests = set(answered.requests)
            answered.requests.clear()
            actual = await complete(model, f"answer-{number}.")
            if (actual, set(answered.requests)) != (expected, expected_requests):
                different.append((answer, expected, actual, expected_requests, answered.requests))
            answered.requests.clear()
    await model.close()
    assert different == []


async def test_codes_are_read_as_by_the_legacy(answered: RawService) -> None:
    base = f"http://127.0.0.1:{answered.port}"
    terminology = Terminology.open(Access(f"{base}/token", f"{base}/fhir/", "i", "s"))
    different = []
    async with legacy_clients(answered.port) as legacy:
        for number, answer in spread([*enumerate(ANSWERS)], 1, 2):
            expected = await legacy.call("expand", f"answer-{number}.")
            expected_requests = set(answered.requests) - {("/token", False)}
            answered.requests.clear()
            actual = await find(terminology, f"answer-{number}.")
            is_unreadable = isinstance(expected, dict) and "error" in expected
            actual_requests = set(answered.requests) - {("/token", False)}
            if (actual, actual_requests) != ({"error": UNREADABLE} if is_unreadable else expected, expected_requests):
                different.append((answer, expected, actual, expected_requests, answered.requests))
            answered.requests.clear()
    await terminology.close()
    assert different == []


async def find(terminology: Terminology, text: str) -> object:
    """Return the first code, or that there is no answer: the legacy's route does not name the error."""
    try:
        codes = await terminology.find(text)
    except TerminologyError:
        return {"error": UNREADABLE}
    shown = [{"name": code.name, "code": code.code, "url": code.url} for code in codes[:1]]
    return shown[0] if shown else None


async def test_cookies_of_the_terminology_server_are_not_returned() -> None:
    async with raw_service((raw(heads=b"set-cookie: a=b\r\n"),)) as service:
        base = f"http://127.0.0.1:{service.port}"
        terminology = Terminology.open(Access(f"{base}/token", f"{base}/fhir/", "i", "s"))
        for _ in range(2):
            await terminology.find("answer-0.")
        await terminology.close()
    assert {has_cookie for _, has_cookie in service.requests} == {False}
