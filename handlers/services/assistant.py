"""Requests to the model: research, summaries, clinical codes, image analysis.

All dialects use the same instructions (`instructions.py`). Questions are JSON values of any type and are not
validated: the model may refuse them, and its refusal is the answer.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from common.white_space import trim
from handlers.services.images import image_urls
from handlers.services.instructions import SHIPPED, Instructions
from handlers.services.model import InvalidResponseError, Message, ModelError
from handlers.strict_json import loads
from handlers.yielding import yield_fairly

EXPLAIN: Final = "Explain this image !"


class Completer(Protocol):
    """The model's chat completion."""

    async def complete(self, messages: Sequence[Message]) -> str: ...


@dataclass(frozen=True)
class Conclusion:
    """The model's results for a consultation: its summary (None if the model failed) and terms to code.

    `highlights` is the JSON that the model returned, a list if it followed its instructions; an empty list if it
    failed.
    """

    summary: str | None
    highlights: object


class Assistant:
    """Sends requests to one model, with the shipped instructions unless others are given."""

    def __init__(self, model: Completer, instructions: Instructions = SHIPPED) -> None:
        self._model = model
        self._instructions = instructions

    async def search(self, query: object) -> str:
        """Return a researched answer, untrimmed; raises `ModelError`."""
        return await self._complete(self._instructions.search.fill(), query)

    async def analyze(self, prompt: object, images: object) -> str:
        """Return an answer about images, or about the text alone if `images` has none; raises `ModelError`.

        Without a prompt, request an explanation.
        """
        urls = image_urls(images) if isinstance(images, list) else []
        parts: list[object] = [{"type": "text", "text": prompt if is_given(prompt) else EXPLAIN}]
        parts += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        await yield_fairly()  # images are large: the event loop runs before they are encoded
        return await self._complete(self._instructions.images.fill(), parts)

    async def summarise(self, transcripts: Iterable[str], instructions: object = None) -> str:
        """Return a trimmed summary of all transcripts, by default in SOAP format; raises `ModelError`."""
        system = instructions if is_given(instructions) else self._instructions.summary.fill()
        return trim(await self._complete(system, "\n\n".join(transcripts)))

    async def conclude(self, prompt: str | None, transcript: str | None) -> Conclusion:
        """Return a summary of a transcript by a prompt, and the terms to code; never raises `ModelError`.

        The default instructions replace a missing or empty prompt; a missing transcript is sent as an empty text.
        """
        user_message: Message = {"role": "user", "content": transcript or ""}
        system = {"role": "system", "content": prompt or self._instructions.summary.fill()}
        try:
            summary = trim(await self._model.complete([system, user_message]))
        except ModelError:
            return Conclusion(None, [])
        return Conclusion(summary, await self._highlights(summary, user_message))

    async def _highlights(self, summary: str, user_message: Message) -> object:
        system = {"role": "system", "content": self._instructions.codes.fill(summary=summary)}
        try:
            return _parsed(await self._answer_of([system, user_message]))
        except (ModelError, ValueError, RecursionError):
            return []

    async def _answer_of(self, messages: Sequence[Message]) -> object:
        """Return the model's text, or the JSON value in its position; raises `ModelError`."""
        try:
            return await self._model.complete(messages)
        except InvalidResponseError as error:
            return error.content

    async def _complete(self, instructions: object, question: object) -> str:
        system = {"role": "system", "content": instructions}
        return await self._model.complete([system, {"role": "user", "content": question}])


def is_given(value: object) -> bool:
    """Return whether a JSON value counts as given: not null, false, zero or an empty text; empty containers count."""
    return isinstance(value, list | dict) or bool(value)


def _parsed(content: object) -> object:
    """Return the JSON in a text, or in what JavaScript takes for its text: a list of one is its member's.

    Raises `ValueError`.
    """
    if content is None:
        return None
    while isinstance(content, list) and len(content) == 1:
        content = content[0]
    if isinstance(content, str):
        return loads(content)
    if isinstance(content, int | float) and math.isfinite(content):
        return content
    raise ValueError("not JSON")
