"""Recorded exchanges: requests to a service, its answers, and the side effects of a scenario.

A directory holds `http.json`, a list of scenarios, and `ws.json`, a list of conversations and of connection attempts;
either may be absent. Further scenarios are in `http-*.json`: counterexamples that a search found, with unusual
documents and requests. They are played like the others, but no contract is inferred from them. All files are read and
checked before the first step is played, so that a malformed step is reported immediately.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar, cast

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.exchange import Outcome
from proxy.comparison.headers import joined_text
from proxy.recordings.clock import RecordedClock, estimated_clock, scenario_clock
from proxy.types import JSON

_OUTCOMES = ("response", "hang", "reset")
_BODIED = ("POST", "PUT", "PATCH")
VERSIONS = ("1.1", "1.0")
DEFAULT_VERSION = VERSIONS[0]
OPEN = "open"

T = TypeVar("T")


class RecordingError(ValueError):
    """A recording that cannot be read; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it is sent. `target`: the raw request target, never normalised. `version`: of HTTP."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    version: str = DEFAULT_VERSION


@dataclass(frozen=True, slots=True)
class Step:
    """One request and its answer."""

    name: str
    request: RecordedRequest
    answer: DecodedAnswer


@dataclass(frozen=True, slots=True)
class Scenario:
    """Requests that build on each other, starting with an empty database.

    `before` and `store` are documents by collection in relaxed MongoDB extended JSON: those inserted before the first
    step, and those that are stored after the last one. `calls`: the calls to outside services. `clock` is the time of
    its recording, None if no value shows it. `answer_time` is the time of the slowest recorded answer in ms, 0 if it is
    unknown.
    """

    name: str
    steps: tuple[Step, ...]
    store: Mapping[str, Sequence[JSON]]
    calls: Sequence[JSON]
    before: Mapping[str, Sequence[JSON]]
    clock: RecordedClock | None
    about: str = ""
    answer_time: int = 0

    def requests(self) -> Iterator[str]:
        """Yield each step's `METHOD target`."""
        return (f"{step.request.method} {step.request.target}" for step in self.steps)


@dataclass(frozen=True, slots=True)
class RecordedConversation:
    """WebSocket frames sent and received: text unchanged, any other value as a JSON text frame."""

    name: str
    target: str
    sent: Sequence[JSON]
    received: Sequence[JSON]
    clock: RecordedClock | None


@dataclass(frozen=True, slots=True)
class RecordedConnection:
    """A handshake and its result: `open`, or the status of its refusal."""

    target: str
    result: str


@dataclass(frozen=True, slots=True)
class Recordings:
    """All recordings of one service."""

    scenarios: tuple[Scenario, ...] = ()
    conversations: tuple[RecordedConversation, ...] = ()
    connections: tuple[RecordedConnection, ...] = ()


def load(directory: Path, *, counterexamples: bool = True) -> Recordings:
    """Return the recordings in `directory`; without `counterexamples`, only those of `http.json` and `ws.json`.

    Raises RecordingError naming the file and the place of the first fault.
    """
    files = [file for file in http_files(directory) if counterexamples or file.name == "http.json"]
    websocket = directory / "ws.json"
    if not files and not websocket.is_file():
        raise RecordingError(f"{directory}: neither http.json nor ws.json is there")
    scenarios = tuple(one for file in files for one in _each(file, _read(file), scenario))
    conversations, connections = _sockets(websocket, _read(websocket) if websocket.is_file() else [])
    return Recordings(scenarios, conversations, connections)


def http_files(directory: Path) -> list[Path]:
    """Return the files of scenarios in a directory: `http.json`, then `http-*.json` in the order of their names."""
    return [file for file in (directory / "http.json", *sorted(directory.glob("http-*.json"))) if file.is_file()]


def scenario(value: JSON) -> Scenario:
    """Read a scenario from its JSON. Raises KeyError, TypeError or ValueError if that is malformed."""
    entry = _object(value)
    return Scenario(
        name=_text(entry["scenario"]),
        steps=tuple(_step(step) for step in _list(entry["steps"])),
        store=_documents(entry.get("store", {})),
        calls=_list(entry.get("calls", [])),
        before=_documents(entry.get("before", {})),
        clock=scenario_clock(entry["steps"], entry.get("store", {}), entry.get("before", {})),
        about=_text(entry.get("about", "")),
    )


def select(recordings: Recordings, patterns: Sequence[str]) -> Recordings:
    """Return the recordings that match any of the glob patterns; all of them without a pattern.

    A pattern names scenarios and conversations, or a request as `METHOD target`: its whole scenario is kept, since
    steps build on each other.
    """
    if not patterns:
        return recordings

    def chosen(*names: str) -> bool:
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)

    return Recordings(
        tuple(one for one in recordings.scenarios if chosen(one.name, *one.requests())),
        tuple(one for one in recordings.conversations if chosen(one.name, f"WS {one.target}")),
        tuple(one for one in recordings.connections if chosen("connect", f"WS {one.target}")),
    )


def encode(value: JSON) -> bytes:
    """Return compact JSON, as clients send it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")


def _read(file: Path) -> list[JSON]:
    try:
        return _list(json.loads(file.read_bytes()))
    except (ValueError, TypeError, OSError) as error:
        raise RecordingError(f"{file}: {error}") from error


def _each(file: Path, entries: Iterable[JSON], parse: Callable[[JSON], T]) -> tuple[T, ...]:
    parsed: list[T] = []
    for index, entry in enumerate(entries):
        try:
            parsed.append(parse(entry))
        except (KeyError, TypeError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise RecordingError(f"{file}: entry {index}: {what}") from error
    return tuple(parsed)


def _sockets(
    file: Path, entries: list[JSON]
) -> tuple[tuple[RecordedConversation, ...], tuple[RecordedConnection, ...]]:
    """Read conversations and connections; the default `path` is the first one that accepted a connection."""
    attempts = [entry for entry in entries if isinstance(entry, dict) and "connect" in entry]
    connections = _each(file, attempts, _connection)
    opened = (one.target.partition("?")[0] for one in connections if one.result == OPEN)
    target = next(opened, "/")
    talks = [entry for entry in entries if entry not in attempts]
    return _each(file, talks, lambda entry: _conversation(entry, target)), connections


def _connection(value: JSON) -> RecordedConnection:
    entry = _object(value)
    result = _text(entry["result"])
    refused = re.search(r"HTTP (\d{3})$", result)
    return RecordedConnection(_text(entry["connect"]), refused[1] if refused else result)


def _conversation(value: JSON, target: str) -> RecordedConversation:
    entry = _object(value)
    return RecordedConversation(
        name=_text(entry["conversation"]),
        target=_text(entry.get("path", target)),
        sent=_list(entry["sent"]),
        received=_list(entry["received"]),
        clock=estimated_clock(entry["received"], entry["sent"]),
    )


def _step(value: JSON) -> Step:
    entry = _object(value)
    outcome = entry["outcome"]
    if outcome not in _OUTCOMES:
        raise ValueError(f"outcome {outcome!r} is none of {', '.join(_OUTCOMES)}")
    response = _object(entry["response"]) if outcome == "response" else {}
    return Step(
        name=_text(entry["name"]),
        request=_request(_object(entry["request"])),
        answer=_answer(cast(Outcome, outcome), response),
    )


def _answer(outcome: Outcome, response: dict[str, JSON]) -> DecodedAnswer:
    if outcome != "response":
        return DecodedAnswer(outcome)
    status = response["status"]
    if not isinstance(status, int):
        raise TypeError(f"status {status!r} is not a number")
    body = _text(response.get("text", "")).encode(errors="surrogatepass")
    return DecodedAnswer(outcome, status, joined_text(_headers(response.get("headers", {}))), body)


def _request(entry: dict[str, JSON]) -> RecordedRequest:
    method, body = _text(entry["method"]), _body(entry)
    headers = list(_headers(entry.get("headers", {})))
    if "json" in entry and "content-type" not in dict(headers):
        headers.append(("content-type", "application/json"))
    if body is None and method in _BODIED:
        body = b""
    return RecordedRequest(method, _text(entry["path"]), tuple(headers), body, _version(entry))


def _version(entry: dict[str, JSON]) -> str:
    version = _text(entry.get("version", DEFAULT_VERSION))
    if version not in VERSIONS:
        raise ValueError(f"version {version!r} is none of {', '.join(VERSIONS)}")
    return version


def _body(entry: dict[str, JSON]) -> bytes | None:
    if "json" in entry:
        return encode(entry["json"])
    if "repeat" in entry:
        return _repeated(_object(entry["repeat"]))
    content = entry.get("content")
    if isinstance(content, list):
        return bytes(cast(list[int], content))
    return None if content is None else _text(content).encode(errors="surrogatepass")


def _repeated(entry: dict[str, JSON]) -> bytes:
    count = entry["count"]
    if not isinstance(count, int):
        raise TypeError(f"count {count!r} is not a number")
    prefix = _text(entry.get("prefix", ""))
    suffix = _text(entry.get("suffix", ""))
    return f"{prefix}{_text(entry['char']) * count}{suffix}".encode()


def _headers(value: JSON) -> Iterator[tuple[str, str]]:
    for name, content in _object(value).items():
        for one in content if isinstance(content, list) else [content]:
            yield _text(name).lower(), _text(one)


def _documents(value: JSON) -> dict[str, list[JSON]]:
    return {name: _list(documents) for name, documents in _object(value).items()}


def _object(value: JSON) -> dict[str, JSON]:
    if not isinstance(value, dict):
        raise TypeError(f"an object is expected, not {type(value).__name__}")
    return value


def _list(value: JSON) -> list[JSON]:
    if not isinstance(value, list):
        raise TypeError(f"a list is expected, not {type(value).__name__}")
    return value


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string is expected, not {type(value).__name__}")
    return value
