"""Play scenarios against a live service and record its answers, in the format that `model.py` reads.

A scenario is written as in `http.json`, with or without answers. Values of earlier answers are put into later requests:
new ids and tokens replace those of old answers, if there are any; and `{{login:/token}}` in a request stands for the
value at that JSON pointer (RFC 6901) in the JSON answer of the step `login`, or without a pointer for the whole
answer.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import Correspondence
from proxy.contract.payloads import PayloadError, is_json, media_type, parse_json
from proxy.recordings import model
from proxy.recordings.clock import names_since
from proxy.recordings.comparing import compare_answers
from proxy.recordings.model import RecordedRequest, RecordingError, Scenario, Step
from proxy.recordings.player import SETTLE_DELAY
from proxy.recordings.service_client import ServiceClient
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from proxy.types import JSON

_REFERENCE: Final = re.compile(r"\{\{([^{}:]+):?([^{}]*)\}\}")

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario to play, as JSON and as it was read."""

    entry: dict[str, JSON]
    scenario: Scenario

    @classmethod
    def read(cls, value: JSON) -> Script:
        """Read a scenario. Raises KeyError, TypeError or ValueError if it is malformed or refers to a later step."""
        if not isinstance(value, dict):
            raise TypeError("a scenario is an object")
        entry = copy.deepcopy(value)
        steps = entry.get("steps")
        for step in steps if isinstance(steps, list) else []:
            if isinstance(step, dict):
                step.setdefault("outcome", "hang")
        scenario = model.scenario(entry)
        _check_references(value, scenario)
        return cls(value, scenario)

    def steps(self) -> list[tuple[dict[str, JSON], Step]]:
        """Return each step as it is written and as it was read."""
        written = self.entry["steps"]
        assert isinstance(written, list)
        return [(one, step) for one, step in zip(written, self.scenario.steps, strict=True) if isinstance(one, dict)]


def read_scripts(path: Path) -> list[Script]:
    """Read the scenarios of a file, or of a directory's `http.json`. Raises RecordingError with the first fault."""
    file = path / "http.json" if path.is_dir() else path
    try:
        entries = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise RecordingError(f"{file}: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise RecordingError(f"{file}: a list of scenarios is expected")
    return [_script(file, index, entry) for index, entry in enumerate(entries)]


class Recorder:
    """Records one service, with the documents and outside calls of scenarios if it can reach them."""

    def __init__(
        self,
        base_url: str,
        hang_after: float = 3.0,
        documents: StoredDocuments | None = None,
        calls: OutsideCalls | None = None,
    ) -> None:
        self._client = ServiceClient(base_url, hang_after)
        self._documents = documents
        self._calls = calls

    async def reach(self) -> None:
        """Raise ServiceUnreachable if the service accepts no connections."""
        await self._client.reach()

    async def record(self, script: Script, on_step: OnStep = lambda step: None) -> dict[str, JSON]:
        """Play one scenario, from an empty database if documents are reached, and return it with its answers.

        Raises:
            ServiceUnreachable: the service accepts no connections.
            SideEffectsError: the database or the list of calls cannot be reached.
            RecordingError: an answer lacks a value to which a later request refers.
        """
        scenario = script.scenario
        if self._documents:
            await self._documents.reset(scenario.before)
        if self._calls:
            await self._calls.clear()
        names, answers = names_since(scenario.clock), dict[str, JSON]()
        steps: list[JSON] = []
        for written, step in script.steps():
            names.step += 1
            steps.append(await self._record_step(scenario.name, written, step, names, answers))
            on_step(step.name)
        rest = {name: value for name, value in script.entry.items() if name not in ("steps", "store", "calls")}
        return {**rest, "steps": steps, **await self._side_effects()}

    async def _record_step(
        self, scenario: str, written: dict[str, JSON], step: Step, names: Correspondence, answers: dict[str, JSON]
    ) -> JSON:
        request = _filled(written["request"], _Filling(f"{scenario} / {step.name}", names, answers))
        answer = await self._client.send(_request(step.name, request))
        if "outcome" in written:
            compare_answers(step.answer, answer, names)
        answers[step.name] = answer.json_or_text
        recorded: dict[str, JSON] = {"name": step.name, "request": request, "outcome": answer.outcome}
        if answer.outcome == "response":
            recorded["response"] = _response(answer)
        elif answer.outcome == "reset":
            await self._client.await_restart()
        return recorded

    async def _side_effects(self) -> dict[str, JSON]:
        """Return documents and calls, once late writes have had time to arrive."""
        result: dict[str, JSON] = {}
        if self._documents or self._calls:
            await asyncio.sleep(SETTLE_DELAY)
        if self._documents:
            result["store"] = {**await self._documents.read()}
        if self._calls:
            result["calls"] = await self._calls.read()
        return result


def encode_recordings(entries: Sequence[JSON]) -> bytes:
    """Return the text of an `http.json`."""
    try:
        return (json.dumps(entries, indent=1, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # lone surrogates, which can only be written as escapes
        return (json.dumps(entries, indent=1) + "\n").encode()


@dataclass(frozen=True, slots=True)
class _Filling:
    location: str
    names: Correspondence
    answers: dict[str, JSON]

    def text(self, text: str) -> str:
        """Return a text with references and old ids replaced."""
        return _REFERENCE.sub(self._resolve, self.names.native_text(text))

    def _resolve(self, match: re.Match[str]) -> str:
        if match[1] not in self.answers:
            return match[0]
        value = self.answers[match[1]]
        for step in match[2].split("/")[1:]:
            value = _below(value, step.replace("~1", "/").replace("~0", "~"))
        if value is None:
            raise RecordingError(f"{self.location}: the answer of {match[1]} has nothing at {match[2] or '/'}")
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _filled(value: JSON, filling: _Filling) -> JSON:
    """Return a request's JSON with every text in it filled in."""
    if isinstance(value, str):
        return filling.text(value)
    if isinstance(value, dict):
        return {name: _filled(one, filling) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, filling) for one in value]
    return value


def _below(value: JSON, step: str) -> JSON:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return None


def _request(name: str, request: JSON) -> RecordedRequest:
    step: JSON = {"name": name, "request": request, "outcome": "hang"}
    return model.scenario({"scenario": "", "steps": [step]}).steps[0].request


def _response(answer: DecodedAnswer) -> JSON:
    response: dict[str, JSON] = {"status": answer.status, "headers": _headers(answer), "text": answer.text}
    if is_json(media_type(answer.headers.get("content-type", ""))):
        with suppress(PayloadError):
            response["json"] = parse_json(answer.text)
    return response


def _headers(answer: DecodedAnswer) -> dict[str, JSON]:
    """Return headers by name; several cookies as a list, because their values may contain commas."""
    return {name: [*value.split("\n")] if "\n" in value else value for name, value in answer.headers.items()}


def _script(file: Path, index: int, entry: JSON) -> Script:
    try:
        return Script.read(entry)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RecordingError(f"{file}: entry {index}: {what}") from error


def _check_references(entry: dict[str, JSON], scenario: Scenario) -> None:
    """Raise ValueError for a reference to a later step, which would be sent as it is written."""
    every, earlier = {step.name for step in scenario.steps}, set[str]()
    written = entry["steps"]
    for step, raw in zip(scenario.steps, written if isinstance(written, list) else [], strict=True):
        for match in _REFERENCE.finditer(json.dumps(raw, ensure_ascii=False)):
            if match[1] in every - earlier:
                raise ValueError(f"step {step.name}: {match[0]} refers to a step that comes later")
        earlier.add(step.name)
