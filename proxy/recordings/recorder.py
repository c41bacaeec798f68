"""Play scenarios against a live service and keep what it answers, in the format that `recordings` reads.

A scenario is written as in `http.json`, with or without answers. What earlier answers brought is put into later
requests: where there are old answers, new ids and tokens take the place of the old ones; and `{{login:/token}}` in a
request stands for what the JSON answer of the step `login` holds at that JSON pointer (RFC 6901), all of the answer
without a pointer.
"""

import asyncio
import copy
import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.comparison.correspondence import Correspondence
from proxy.contract.payloads import PayloadError, is_json, media_type, parse_json
from proxy.recordings import model
from proxy.recordings.answers import compare_answers, content
from proxy.recordings.model import RecordedAnswer, RecordedRequest, RecordingError, Scenario, Step
from proxy.recordings.player import ServiceUnreachable
from proxy.recordings.raw_http import Origin, exchange, reach
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from proxy.types import JSON

_RETURN: Final = 15.0
_PAUSE: Final = 0.05
_SETTLE_DELAY: Final = 0.2
_REFERENCE: Final = re.compile(r"\{\{([^{}:]+):?([^{}]*)\}\}")

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario to play: its JSON, what that means, and whether its steps have old answers."""

    entry: dict[str, JSON]
    scenario: Scenario

    @classmethod
    def read(cls, value: JSON) -> "Script":
        """Raises KeyError, TypeError or ValueError where the scenario is malformed, or refers to no earlier step."""
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
        """Each step as it is written and as it was read."""
        written = self.entry["steps"]
        assert isinstance(written, list)
        return [(one, step) for one, step in zip(written, self.scenario.steps, strict=True) if isinstance(one, dict)]


def read_scripts(path: Path) -> list[Script]:
    """The scenarios in a file, or in a directory's `http.json`. Raises RecordingError naming the first fault."""
    file = path / "http.json" if path.is_dir() else path
    try:
        entries = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise RecordingError(f"{file}: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise RecordingError(f"{file}: a list of scenarios is expected")
    return [_script(file, index, entry) for index, entry in enumerate(entries)]


class Recorder:
    """Records one service, with the documents and outside calls that scenarios leave behind where it can reach them."""

    def __init__(
        self,
        base_url: str,
        hang_after: float = 3.0,
        documents: StoredDocuments | None = None,
        calls: OutsideCalls | None = None,
    ) -> None:
        self._origin = Origin.parse(base_url)
        self._hang_after = hang_after
        self._documents = documents
        self._calls = calls

    async def reach(self) -> None:
        """Raises Unreachable where the service accepts no connections."""
        try:
            await reach(self._origin, self._hang_after)
        except OSError as error:
            raise ServiceUnreachable(f"{self._origin.authority}: {error or 'no connection in time'}") from error

    async def record(self, script: Script, notice: Notice = lambda step: None) -> dict[str, JSON]:
        """One scenario, played from an empty database where documents are reached.

        Raises Unreachable, AftermathError, and RecordingError where an answer lacks what a later request refers to.
        """
        scenario = script.scenario
        if self._documents:
            await self._documents.reset(scenario.before)
        if self._calls:
            await self._calls.clear()
        names, answers = Correspondence(scenario.moment, time.time_ns() // 1_000_000), dict[str, JSON]()
        steps: list[JSON] = []
        for written, step in script.steps():
            names.step += 1
            steps.append(await self._record_step(scenario.name, written, step, names, answers))
            notice(step.name)
        kept = {name: value for name, value in script.entry.items() if name not in ("steps", "store", "calls")}
        return {**kept, "steps": steps, **await self._traces()}

    async def _record_step(
        self, scenario: str, written: dict[str, JSON], step: Step, names: Correspondence, answers: dict[str, JSON]
    ) -> JSON:
        request = _filled(written["request"], _Filling(f"{scenario} / {step.name}", names, answers))
        answer = await self._exchange(_request(step.name, request))
        if "outcome" in written:
            compare_answers(step.answer, answer, names)
        answers[step.name] = content(answer)
        kept: dict[str, JSON] = {"name": step.name, "request": request, "outcome": answer.outcome}
        if answer.outcome == "response":
            kept["response"] = _response(answer)
        elif answer.outcome == "reset":
            await self._await_return()
        return kept

    async def _exchange(self, request: RecordedRequest) -> RecordedAnswer:
        """Only the connecting is tried again: nothing has been sent when it fails."""
        deadline = time.monotonic() + _RETURN
        while True:
            try:
                return await exchange(self._origin, request, self._hang_after)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ServiceUnreachable(f"{self._origin.authority}: {error}") from error
            await asyncio.sleep(_PAUSE)

    async def _await_return(self) -> None:
        """After a reset the service may be starting again."""
        await asyncio.sleep(_PAUSE)
        await self._exchange(RecordedRequest("GET", "/"))

    async def _traces(self) -> dict[str, JSON]:
        """What is left behind; a late write is given a moment."""
        found: dict[str, JSON] = {}
        if self._documents or self._calls:
            await asyncio.sleep(_SETTLE_DELAY)
        if self._documents:
            found["store"] = {**await self._documents.read()}
        if self._calls:
            found["calls"] = await self._calls.read()
        return found


def encode_recordings(entries: Sequence[JSON]) -> bytes:
    """The text of an `http.json`."""
    try:
        return (json.dumps(entries, indent=1, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # lone surrogates, which only an escape can write
        return (json.dumps(entries, indent=1) + "\n").encode()


@dataclass(frozen=True, slots=True)
class _Filling:
    place: str
    names: Correspondence
    answers: dict[str, JSON]

    def text(self, text: str) -> str:
        """The text with references and old ids replaced."""
        return _REFERENCE.sub(self._look_up, self.names.live_text(text))

    def _look_up(self, found: re.Match[str]) -> str:
        if found[1] not in self.answers:
            return found[0]
        value = self.answers[found[1]]
        for step in found[2].split("/")[1:]:
            value = _below(value, step.replace("~1", "/").replace("~0", "~"))
        if value is None:
            raise RecordingError(f"{self.place}: the answer of {found[1]} has nothing at {found[2] or '/'}")
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _filled(value: JSON, filling: _Filling) -> JSON:
    """A request's JSON with every text in it filled in; bytes are read as Latin-1 for it."""
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


def _response(answer: RecordedAnswer) -> JSON:
    found: dict[str, JSON] = {"status": answer.status, "headers": {**answer.headers}, "text": answer.text}
    if is_json(media_type(answer.headers.get("content-type", ""))):
        with suppress(PayloadError):
            found["json"] = parse_json(answer.text)
    return found


def _script(file: Path, index: int, entry: JSON) -> Script:
    try:
        return Script.read(entry)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RecordingError(f"{file}: entry {index}: {what}") from error


def _check_references(entry: dict[str, JSON], scenario: Scenario) -> None:
    """A reference to a later step, or to none, would be sent as it stands."""
    every, earlier = {step.name for step in scenario.steps}, set[str]()
    written = entry["steps"]
    for step, raw in zip(scenario.steps, written if isinstance(written, list) else [], strict=True):
        for found in _REFERENCE.finditer(json.dumps(raw, ensure_ascii=False)):
            if found[1] in every - earlier:
                raise ValueError(f"step {step.name}: {found[0]} refers to a step that comes later")
        earlier.add(step.name)
