"""The language model, behind openai's client: what it is asked, what it answers, and how it can fail.

Everything that talks to the model does so here, so that deadlines, retries and the meaning of a failure are
decided once. Errors carry facts (a status, a body); a dialect words them for its own callers.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    HttpxBinaryResponseContent,
)

CHAT_MODEL: Final = "gpt-4o"
SPEECH_MODEL: Final = "whisper-1"
RETRIES: Final = 1

DEADLINE: Final = 60.0
"""Seconds that one answer may take, the retry included."""

_WHITESPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
    "\u202f\u205f\u3000\ufeff"
)

Message = Mapping[str, object]
"""A chat message: `role`, and `content` unless there is none to send."""


class ModelError(Exception):
    """The model gave no usable answer."""


class ModelUnreachableError(ModelError):
    """No connection to the model, or it broke before the answer was whole."""


class ModelTimeoutError(ModelError):
    """No answer within the deadline."""


class ModelRefusedError(ModelError):
    """The model answered with a status of 400 or more; `body` is that answer as text."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the model answered {status}")
        self.status = status
        self.body = body


class ModelRubbishError(ModelError):
    """The model answered 2xx with something that holds no text; `body` is that answer as text."""

    def __init__(self, media_type: str, body: str) -> None:
        super().__init__("the model's answer holds no text")
        self.media_type = media_type
        self.body = body


class Model:
    """One client, whose connections all requests of the process share."""

    def __init__(self, client: AsyncOpenAI, *, deadline: float = DEADLINE) -> None:
        self._client = client
        self._deadline = deadline

    @classmethod
    def open(cls, api_key: str, base_url: str | None = None, *, deadline: float = DEADLINE) -> Self:
        """The model at `base_url` (OpenAI's own where None); `deadline` in seconds."""
        key = api_key or "unset"
        client = AsyncOpenAI(api_key=key, base_url=base_url or None, timeout=deadline, max_retries=RETRIES)
        return cls(client, deadline=deadline)

    async def close(self) -> None:
        """Close the connections; requests under way fail."""
        await self._client.close()

    async def complete(self, messages: Sequence[Message]) -> str:
        """The model's text for a conversation, untrimmed; raises `ModelError`."""
        body = encode({"model": CHAT_MODEL, "messages": list(messages)})
        async with _told_apart(self._deadline):
            answer = await self._client.post(
                "/chat/completions",
                cast_to=HttpxBinaryResponseContent,
                content=body,
                options={"headers": {"Content-Type": "application/json"}},
            )
        return _content(answer.response.headers.get("content-type", ""), answer.text)

    async def transcribe(self, audio: bytes, name: str) -> str:
        """What is said in an audio file; its `name`'s ending tells the format. Raises `ModelError`."""
        async with _told_apart(self._deadline):
            return await self._client.audio.transcriptions.create(
                file=(name, audio, "application/octet-stream"),
                model=SPEECH_MODEL,
                language="en",
                response_format="text",
                temperature=0.2,
            )


def encode(value: object) -> bytes:
    """A JSON value in ASCII, so that lone surrogates pass; an infinity, which JSON has not, becomes null."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"))
    return text.encode()


def trim(text: str) -> str:
    """A text without the white space around it, as ECMAScript counts white space."""
    return text.strip(_WHITESPACE)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and value - value != 0 else value


@asynccontextmanager
async def _told_apart(deadline: float) -> AsyncIterator[None]:
    """Bounds what runs inside, and turns the client's exceptions into this module's."""
    try:
        async with asyncio.timeout(deadline):
            yield
    except (TimeoutError, APITimeoutError) as error:
        raise ModelTimeoutError("the model did not answer in time") from error
    except APIStatusError as error:
        raise ModelRefusedError(error.status_code, error.response.text) from error
    except APIConnectionError as error:
        raise ModelUnreachableError("the model cannot be reached") from error


def _content(content_type: str, body: str) -> str:
    """`choices[0].message.content` of a completion; raises `ModelRubbishError`."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        content = None
    if isinstance(content, str):
        return content
    raise ModelRubbishError(content_type.partition(";")[0].strip().lower(), body)
