"""Access to the language model through openai's client: requests, responses and errors.

All access to the model goes through this module, which defines deadlines, retries and the classification of errors
once. Errors carry facts (a status, a body); each dialect words them for its callers.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from importlib import import_module
from itertools import repeat
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol, Self

from common.late_timeout import LateTimeout
from handlers.services.answer_bodies import (
    FETCH_MISDIRECTED,
    FETCH_REFUSED,
    FETCH_WITHOUT_BODY,
    REDIRECTS,
    AnswerReader,
    fetch_codings,
    without_cookies,
)
from handlers.services.retry_delay import state_delay
from handlers.sliced_json import write_in_slices
from handlers.strict_json import loads

if TYPE_CHECKING:
    import ssl

    from openai import AsyncOpenAI

CHAT_MODEL: Final = "gpt-4o"
SPEECH_MODEL: Final = "whisper-1"
RETRIES: Final = 1
NO_CONTENT: Final = 204
RESET_CONTENT: Final = 205

DEADLINE: Final = 60.0
"""Seconds per answer, the retry included."""

_EXPONENTS: Final = 1e21
"""The number from which JavaScript, like Python, writes an exponent."""

Message = Mapping[str, object]
"""A chat message: `role`, and `content` if there is any."""


class ModelError(Exception):
    """A request for which the model gave no usable answer."""


class ModelUnreachableError(ModelError):
    """A connection to the model that failed, or broke before the answer was complete."""


class ModelTimeoutError(ModelError):
    """A request without an answer within the deadline."""


class ModelRefusedError(ModelError):
    """An answer with a status of 400 or more; `body` is its text."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the model answered {status}")
        self.status = status
        self.body = body


class InvalidResponseError(ModelError):
    """A 2xx answer that holds no text.

    `body` is the answer as text, `content` the JSON value in the text's position, or `...` if there is none.
    """

    def __init__(self, media_type: str, body: str, content: object = ...) -> None:
        super().__init__("the model's answer holds no text")
        self.media_type = media_type
        self.body = body
        self.content = content


class LLMClient:
    """A client of the model, with one connection pool for the process."""

    def __init__(self, open_client: Callable[[], AsyncOpenAI], *, deadline: float = DEADLINE) -> None:
        self.open_sdk_client: Final = open_client
        self._deadline: Final = deadline
        self._opened: AsyncOpenAI | None = None

    @classmethod
    def open(cls, api_key: str, base_url: str | None = None, *, deadline: float = DEADLINE) -> Self:
        """Return a client for `base_url` (OpenAI's own if None); `deadline` in seconds."""
        return cls(partial(open_sdk_client, api_key or "unset", base_url or None), deadline=deadline)

    def preload(self) -> None:
        """Import openai's package in a thread, so that the first request need not wait for it."""
        Thread(target=_import_sdk, name="import-openai", daemon=True).start()

    async def close(self) -> None:
        """Close the connections; running requests fail."""
        if self._opened is not None:
            await self._opened.close()

    async def _client(self) -> AsyncOpenAI:
        """Return openai's client. The first call imports its package, unless `preload` has done so."""
        if self._opened is None:
            await asyncio.to_thread(_import_sdk)
            client = await asyncio.to_thread(self.open_sdk_client)  # reads the certificates of all authorities
            self._opened = self._opened or client
        return self._opened

    async def complete(self, messages: Sequence[Message]) -> str:
        """Return the model's text for a conversation, untrimmed; raises `ModelError`."""
        body = await write_in_slices({"model": CHAT_MODEL, "messages": list(messages)}, write)
        client = await self._client()
        from openai import HttpxBinaryResponseContent

        async with _translate_errors(self._deadline):
            answer = await client.post(
                "/chat/completions",
                cast_to=HttpxBinaryResponseContent,
                content=body,
                options={"headers": {"Content-Type": "application/json"}},
            )
        return _content(*_parse_response(answer.response.status_code, answer.response.headers, answer.text))

    async def transcribe(self, audio: bytes, name: str) -> str:
        """Return the text of an audio file, whose format follows from the suffix of `name`; raises `ModelError`."""
        client = await self._client()
        async with _translate_errors(self._deadline):
            answer = await client.audio.transcriptions.with_raw_response.create(
                file=(name, audio, "application/octet-stream"),
                model=SPEECH_MODEL,
                language="en",
                response_format="text",
                temperature=0.2,
            )
        return _text(*_parse_response(answer.status_code, answer.headers, answer.text))


def _import_sdk() -> None:
    """Import openai's package, which takes longer than all other imports of a start-up together."""
    import_module("openai")
    gc.freeze()  # a full collection would visit every object of the package


def open_sdk_client(api_key: str, base_url: str | None) -> AsyncOpenAI:
    """Return openai's client, which reads answers as Node's SDK does. It imports openai's package."""
    import httpx2
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    read_as_fetch = AnswerReader(
        fetch_codings,
        REDIRECTS.__contains__,
        FETCH_WITHOUT_BODY,
        httpx2.AsyncByteStream,
        httpx2.DecodingError,
        FETCH_REFUSED,
        FETCH_MISDIRECTED,
    )
    return AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        timeout=None,  # each request has a deadline
        max_retries=RETRIES,
        http_client=DefaultAsyncHttpxClient(
            verify=_trusted_certificates(),
            cookies=without_cookies(),
            event_hooks={"response": [_read_as_node, read_as_fetch]},
        ),
    )


@functools.cache
def _trusted_certificates() -> ssl.SSLContext:
    """Return the context of all clients of the process, because reading the certificates takes 20 ms of CPU."""
    import httpx2

    return httpx2.create_ssl_context()


def write(value: object) -> str:
    """Return a JSON value in ASCII, so that lone surrogates pass; numbers are written as JavaScript writes them.

    It may be nested as deeply as memory allows.
    """
    try:
        return json.dumps(_javascript_numbers(value), separators=(",", ":"))
    except RecursionError:
        return "".join(_written_in_parts(value))


def _written_in_parts(value: object) -> Iterator[str]:
    """Yield the JSON of a value of any depth, with its open containers on a stack."""
    waiting: list[tuple[Iterator[tuple[str, object]], str]] = [(iter([("", value)]), "")]
    while waiting:
        members, end = waiting[-1]
        for before, member in members:
            yield before
            if isinstance(member, Mapping):
                names = [json.dumps(name) + ":" for name in member]
                waiting.append((_separated("{", names, member.values()), "}" if member else "{}"))
                break
            if isinstance(member, list):
                waiting.append((_separated("[", repeat(""), member), "]" if member else "[]"))
                break
            yield json.dumps(_javascript_numbers(member))
        else:
            yield end
            waiting.pop()


def _separated(opening: str, names: Iterable[str], members: Iterable[object]) -> Iterator[tuple[str, object]]:
    """Yield what is written before each member, and the member."""
    for name, member in zip(names, members, strict=False):
        yield opening + name, member
        opening = ","


def _javascript_numbers(value: object) -> object:
    """Convert large integral floats to integers, and infinities, which JSON does not have, to null."""
    if isinstance(value, Mapping):
        return {key: _javascript_numbers(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_javascript_numbers(member) for member in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return int(Decimal(repr(value))) if value.is_integer() and abs(value) < _EXPONENTS else value


@asynccontextmanager
async def _translate_errors(deadline: float) -> AsyncIterator[None]:
    """Limit the time of the block, and translate the client's exceptions to this module's.

    The time starts again if this process was stopped or starved when it ended.
    """
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    try:
        async with LateTimeout(deadline):
            yield
    except (TimeoutError, APITimeoutError) as error:
        raise ModelTimeoutError("the model did not answer in time") from error
    except APIStatusError as error:
        raise ModelRefusedError(error.status_code, error.response.text) from error
    except APIConnectionError as error:
        raise ModelUnreachableError("the model cannot be reached") from error


class _Readable(Protocol):
    encoding: str | None

    @property
    def headers(self) -> MutableMapping[str, str]: ...


async def _read_as_node(response: _Readable) -> None:
    """Decode a response as UTF-8 without its byte order mark, as `fetch` does, and wait before a retry as Node's SDK.

    The stated charset is ignored.
    """
    response.encoding = "utf-8-sig"
    state_delay(response.headers)


def _parse_response(status: int, headers: Mapping[str, str], body: str) -> tuple[str, str]:
    """Return an answer's media type and body; to Node, a 204 is JSON null (openai's SDK), a 205 empty (`fetch`)."""
    if status == NO_CONTENT:
        return "application/json", "null"
    return headers.get("content-type", "").partition(";")[0].strip(), "" if status == RESET_CONTENT else body


def is_json(media_type: str) -> bool:
    """Return whether openai's Node SDK reads an answer of this type as JSON; case-sensitive."""
    return "application/json" in media_type or media_type.endswith("+json")


def _content(media_type: str, body: str) -> str:
    """Return `choices[0].message.content` of a completion; raises `InvalidResponseError`."""
    content = _stated_content(body) if is_json(media_type) else ...
    if isinstance(content, str):
        return content
    raise InvalidResponseError(media_type, body, content)


def _stated_content(body: str) -> object:
    """Return the value in the text's position, `...` if there is none; `choices` may be an object, too."""
    try:
        choices = loads(body)["choices"]
        content: object = choices["0" if isinstance(choices, dict) else 0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ...
    return content


def _text(media_type: str, body: str) -> str:
    """Return a transcription, the body; raises `InvalidResponseError` for JSON that is not a text."""
    if not is_json(media_type):
        return body
    try:
        text = loads(body)
    except (ValueError, RecursionError):
        text = None
    if isinstance(text, str):
        return text
    raise InvalidResponseError(media_type, body)
