"""Answers of outside services as bytes: native's clients read them as the legacy's own clients under Node."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, JSONSyntaxError
from handlers.legacy.model_errors import content_of, describe
from handlers.services.model import InvalidResponseError, LLMClient, ModelError, open_sdk_client
from handlers.services.terminology import Access, Terminology, TerminologyError
from tests.support.profile import spread
from tests.support.raw_answers import (
    RawService,
    coded_answers,
    plain_answers,
    raw,
    raw_service,
    redirecting_answers,
)
from tests.support.waiting import PROMPT_TIMEOUT

SCRIPT: Final = Path(__file__).parents[2] / "support" / "outside_clients.js"
ANSWERS: Final = (*coded_answers(), *redirecting_answers(), *plain_answers())
UNREADABLE: Final = "no answer"
"""An answer that a client cannot read: Node's says why, native's only that the connection failed."""


class Legacy:
    """The legacy's clients, in a Node process."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    async def call(self, name: str, text: str) -> object:
        """Return the value, or the error's message."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([name, text]).encode() + b"\n")
        async with asyncio.timeout(PROMPT_TIMEOUT):
            answer: dict[str, Any] = json.loads(await self._child.stdout.readline())
        if "error" in answer:
            is_unreadable = answer["error"].endswith("terminated") or answer["error"] == "Connection error."
            return {"error": UNREADABLE if is_unreadable else answer["error"]}
        return answer.get("value")


@asynccontextmanager
async def legacy_clients(port: int) -> AsyncIterator[Legacy]:
    base = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": f"{base}/v1",
        "NHS_AUTH_URL": f"{base}/token",
        "NHS_API_URL": f"{base}/fhir/",
        "NHS_CLIENT_ID": "i",
        "NHS_CLIENT_SECRET": "s",
    }
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec("node", SCRIPT, stdin=pipe, stdout=pipe, env=environment)
    try:
        yield Legacy(child)
    finally:
        child.kill()
        await child.wait()


async def complete(model: LLMClient, text: str) -> object:
    """Return the model's text, or the error as the legacy's route names it."""
    try:
        try:
            return await model.complete(
                [{"role": "system", "content": "instructions"}, {"role": "user", "content": text}]
            )
        except InvalidResponseError as error:
            content = content_of(error)
            return None if content is UNDEFINED else content
    except (ModelError, JavaScriptTypeError, JSONSyntaxError) as error:
        message = describe(error).message
        return {"error": UNREADABLE if message == "Connection error." else message}


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
