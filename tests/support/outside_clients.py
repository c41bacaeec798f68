"""The clients of outside services: the legacy's own, in a Node process, and native's with the legacy's words."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, JSONSyntaxError
from handlers.legacy.model_errors import content_of, describe
from handlers.services.model import InvalidResponseError, LLMClient, ModelError
from tests.support.waiting import PROMPT_TIMEOUT

SCRIPT: Final = Path(__file__).with_name("outside_clients.js")
UNREADABLE: Final = "no answer"
"""An answer that a client cannot read: Node's says why, native's only that the connection failed."""


class Legacy:
    """The legacy's clients, in a Node process."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    async def answer(self, name: str, text: str) -> dict[str, Any]:
        """Return `value` or `error`, the error's message, and the `delays` before repetitions."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([name, text]).encode() + b"\n")
        async with asyncio.timeout(PROMPT_TIMEOUT):
            answer: dict[str, Any] = json.loads(await self._child.stdout.readline())
        return answer

    async def call(self, name: str, text: str) -> object:
        """Return the value, or the error's message."""
        answer = await self.answer(name, text)
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
    child = await asyncio.create_subprocess_exec(
        "node", SCRIPT, stdin=pipe, stdout=pipe, env=environment, limit=1 << 20
    )
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
