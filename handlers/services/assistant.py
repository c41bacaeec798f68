"""Requests to the model: research, summaries, clinical codes, image analysis.

The instructions are defined here once, for all dialects. Questions are JSON values of any type: the model judges
them, and its refusal is the answer.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from handlers.services.images import image_urls
from handlers.services.model import InvalidResponseError, Message, ModelError
from handlers.white_space import trim

RESEARCH: Final = (
    "You are a helpful medical research assistant. "
    "Provide concise, safe, and factual medical information. Do not give personal diagnosis."
)

CODING: Final = """\
You prepare clinical coding for a consultation in the United Kingdom. The user message is the transcript of \
the consultation; its summary stands at the end of these instructions. Answer with a JSON array of terms with \
possible SNOMED codes, and with nothing else: no prose, no markdown, no code fence.

Each element is an object of two strings: "term", a diagnosis, symptom, finding, procedure or medication in \
the words of the consultation, and "possible_snomed", the SNOMED CT concept id that fits it best. Take in only \
what the transcript or the summary states, each term once, the clinically weightiest first. Where you are not \
sure of a code, give the id of the nearest broader concept. Where nothing can be coded, answer [].

The summary: """

IMAGES: Final = """\
You are a UK medical expert who explains images to a clinician: photographs, scans, charts, letters and \
results. For image analysis, say what is visible before you say what it may mean; give the likely \
explanations with how sure you are of each, and name what would need urgent attention. Follow UK guidance \
(NICE, NHS) and UK names of medicines and units. Say plainly when an image is too poor to judge or shows \
nothing medical. Do not identify people. Answer in markdown: short headings and bullet points. You support the \
clinician's judgement and do not replace it."""

SOAP: Final = """\
You write notes for a clinician. From the transcript of a consultation, write a SOAP summary under the \
headings Subjective, Objective, Assessment and Plan. Use only what was said; where a part was not touched on, \
write "Not discussed". Keep doses, durations and measurements exactly as they were given. Be brief."""

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
    """Sends requests to one model."""

    def __init__(self, model: Completer) -> None:
        self._model = model

    async def search(self, query: object) -> str:
        """Return a researched answer, untrimmed; raises `ModelError`."""
        return await self._complete(RESEARCH, query)

    async def analyze(self, prompt: object, images: object) -> str:
        """Return an answer about images, or about the text alone where `images` has none; raises `ModelError`.

        Without a prompt, request an explanation.
        """
        urls = image_urls(images) if isinstance(images, list) else []
        parts: list[object] = [{"type": "text", "text": prompt if is_given(prompt) else EXPLAIN}]
        parts += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return await self._complete(IMAGES, parts)

    async def summarise(self, transcripts: Iterable[str], instructions: object = None) -> str:
        """Return a trimmed summary of all transcripts, in SOAP format by default; raises `ModelError`."""
        system = instructions if is_given(instructions) else SOAP
        return trim(await self._complete(system, "\n\n".join(transcripts)))

    async def conclude(self, prompt: Mapping[str, object], transcript: Mapping[str, object]) -> Conclusion:
        """Return a summary of a stored transcript by a stored prompt, and the terms to code; never raises `ModelError`.

        A missing `prompt_text` or `transcript_text` is not sent.
        """
        user_message = _message("user", transcript, "transcript_text")
        try:
            summary = trim(await self._model.complete([_message("system", prompt, "prompt_text"), user_message]))
        except ModelError:
            return Conclusion(None, [])
        return Conclusion(summary, await self._highlights(summary, user_message))

    async def _highlights(self, summary: str, user_message: Message) -> object:
        try:
            answer = await self._model.complete([{"role": "system", "content": CODING + summary}, user_message])
            return json.loads(answer, parse_constant=_refuse)
        except InvalidResponseError as error:
            return error.content if error.content is None or isinstance(error.content, int | float) else []
        except (ModelError, ValueError, RecursionError):
            return []

    async def _complete(self, instructions: object, question: object) -> str:
        system = {"role": "system", "content": instructions}
        return await self._model.complete([system, {"role": "user", "content": question}])


def is_given(value: object) -> bool:
    """Return whether a JSON value has content: not null, false, zero or an empty text; empty containers have."""
    return isinstance(value, list | dict) or bool(value)


def _message(role: str, document: Mapping[str, object], field: str) -> Message:
    return {"role": role, "content": document[field]} if field in document else {"role": role}


def _refuse(word: str) -> object:
    raise ValueError(word)
