"""The language model, behind openai's client: what it is asked, what it answers, and how it can fail.

Everything that talks to the model does so here, so that deadlines, retries and the meaning of a failure are
decided once. Errors carry facts (a status, a body); a dialect words them for its own callers.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final, Protocol, Self

from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
    HttpxBinaryResponseContent,
)

CHAT_MODEL: Final = "gpt-4o"
SPEECH_MODEL: Final = "whisper-1"
RETRIES: Final = 1
NO_CONTENT: Final = 204

DEADLINE: Final = 60.0
"""Seconds that one answer may take, the retry included."""

_EXPONENTS: Final = 1e21
"""From here on JavaScript writes a number with an exponent, as Python does."""

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


class InvalidResponseError(ModelError):
    """The model answered 2xx with something that holds no text.

    `body` is that answer as text, `content` the JSON that stands where the text should, or `...` where none does.
    """

    def __init__(self, media_type: str, body: str, content: object = ...) -> None:
        super().__init__("the model's answer holds no text")
        self.media_type = media_type
        self.body = body
        self.content = content


class LLMClient:
    """One client, whose connections all requests of the process share."""

    def __init__(self, client: AsyncOpenAI, *, deadline: float = DEADLINE) -> None:
        self._client = client
        self._deadline = deadline

    @classmethod
    def open(cls, api_key: str, base_url: str | None = None, *, deadline: float = DEADLINE) -> Self:
        """The model at `base_url` (OpenAI's own where None); `deadline` in seconds."""
        client = AsyncOpenAI(
            api_key=api_key or "unset",
            base_url=base_url or None,
            timeout=deadline,
            max_retries=RETRIES,
            http_client=DefaultAsyncHttpxClient(event_hooks={"response": [_read_as_utf8]}),
        )
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
        return _content(*_said(answer.response.status_code, answer.response.headers, answer.text))

    async def transcribe(self, audio: bytes, name: str) -> str:
        """What is said in an audio file; its `name`'s ending tells the format. Raises `ModelError`."""
        async with _told_apart(self._deadline):
            answer = await self._client.audio.transcriptions.with_raw_response.create(
                file=(name, audio, "application/octet-stream"),
                model=SPEECH_MODEL,
                language="en",
                response_format="text",
                temperature=0.2,
            )
        return _text(*_said(answer.status_code, answer.headers, answer.text))


def encode(value: object) -> bytes:
    """A JSON value in ASCII, so that lone surrogates pass; its numbers written as JavaScript writes them."""
    return json.dumps(_written(value), separators=(",", ":")).encode()


def _written(value: object) -> object:
    """A value with large integral floats as integers, and null for infinities, which JSON has not."""
    if isinstance(value, Mapping):
        return {key: _written(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_written(member) for member in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return int(Decimal(repr(value))) if value.is_integer() and abs(value) < _EXPONENTS else value


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


class _Readable(Protocol):
    encoding: str | None


async def _read_as_utf8(response: _Readable) -> None:
    """As fetch reads every answer, whatever charset it states."""
    response.encoding = "utf-8"


def _said(status: int, headers: Mapping[str, str], body: str) -> tuple[str, str]:
    """The media type and body of an answer; one of status 204 is taken for null, as openai's Node SDK does."""
    if status == NO_CONTENT:
        return "application/json", "null"
    return headers.get("content-type", "").partition(";")[0].strip(), body


def is_json(media_type: str) -> bool:
    """Whether openai's Node SDK reads an answer of this type as JSON; the case of letters counts."""
    return "application/json" in media_type or media_type.endswith("+json")


def _content(media_type: str, body: str) -> str:
    """`choices[0].message.content` of a completion; raises `ModelRubbishError`."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"] if is_json(media_type) else ...
    except (ValueError, LookupError, TypeError, RecursionError):
        content = ...
    if isinstance(content, str):
        return content
    raise InvalidResponseError(media_type, body, content)


def _text(media_type: str, body: str) -> str:
    """A transcription: the body, unless that is JSON of something else; raises `ModelRubbishError`."""
    if not is_json(media_type):
        return body
    try:
        text = json.loads(body)
    except (ValueError, RecursionError):
        text = None
    if isinstance(text, str):
        return text
    raise InvalidResponseError(media_type, body)
