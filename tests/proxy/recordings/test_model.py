"""Recordings are read completely, or refused with the position of the fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.recordings.model import RecordedConnection, RecordingError, load, scenario, select
from proxy.types import JSON

RECORDINGS = Path(__file__).parents[3] / "contracts" / "recordings"
ANSWER: JSON = {"status": 200, "headers": {"Content-Type": "text/plain"}, "text": "é"}


def step(request: JSON, outcome: JSON = "response", response: JSON = ANSWER) -> JSON:
    return {"name": "one", "request": request, "outcome": outcome, "response": response}


def in_scenario(*steps: JSON) -> JSON:
    return {"scenario": "s", "steps": list(steps)}


def write(directory: Path, http: JSON | None = None, sockets: JSON | None = None) -> Path:
    for name, content in (("http.json", http), ("ws.json", sockets)):
        if content is not None:
            (directory / name).write_text(json.dumps(content))
    return directory


def test_shipped_recordings_are_complete() -> None:
    recordings = load(RECORDINGS)
    regular, counterexamples = (
        json.loads((RECORDINGS / name).read_text()) for name in ("http.json", "http-found.json")
    )
    written = [*regular, *counterexamples]
    assert [len(one.steps) for one in recordings.scenarios] == [len(one["steps"]) for one in written]
    assert len(written) >= 44 + 9
    assert len(recordings.conversations) == 14
    assert [one.result for one in recordings.connections] == ["400", "400", "400", "open"]
    assert {one.target for one in recordings.conversations} == {"/transcription-stream"}
    assert len(load(RECORDINGS, counterexamples=False).scenarios) == len(regular)


@pytest.mark.parametrize(
    ("extra", "headers", "body"),
    [
        ({}, (), None),
        ({"json": {"ü": 1}}, (("content-type", "application/json"),), '{"ü":1}'.encode()),
        ({"json": None, "headers": {"Content-Type": "a/b"}}, (("content-type", "a/b"),), b"null"),
        ({"content": "é"}, (), "é".encode()),
        ({"content": ""}, (), b""),
        ({"content": [0, 255]}, (), b"\x00\xff"),
        ({"repeat": {"prefix": "<", "char": "ab", "count": 3, "suffix": ">"}}, (), b"<ababab>"),
        ({"headers": {"X-A": ["1", "2"]}}, (("x-a", "1"), ("x-a", "2")), None),
    ],
)
def test_every_kind_of_request_is_read(
    extra: dict[str, JSON], headers: tuple[tuple[str, str], ...], body: bytes | None
) -> None:
    given: dict[str, JSON] = {"method": "GET", "path": "//a?b"}
    request = scenario(in_scenario(step(given | extra))).steps[0].request
    assert (request.method, request.target, request.headers, request.body) == ("GET", "//a?b", headers, body)


@pytest.mark.parametrize(("extra", "version"), [({}, "1.1"), ({"version": "1.0"}, "1.0")])
def test_request_has_its_http_version(extra: dict[str, JSON], version: str) -> None:
    given: dict[str, JSON] = {"method": "GET", "path": "/"}
    assert scenario(in_scenario(step(given | extra))).steps[0].request.version == version


def test_post_without_a_body_has_an_empty_one() -> None:
    request = scenario(in_scenario(step({"method": "POST", "path": "/"}))).steps[0].request
    assert request.body == b""


def test_answers_and_their_absence_are_read() -> None:
    request: JSON = {"method": "GET", "path": "/"}
    steps = scenario(in_scenario(step(request), step(request, "hang"), step(request, "reset"))).steps
    assert (steps[0].answer.status, steps[0].answer.headers) == (200, {"content-type": "text/plain"})
    assert steps[0].answer.text == "é"
    assert [one.answer.outcome for one in steps] == ["response", "hang", "reset"]


def test_conversation_is_read_where_a_connection_opened(tmp_path: Path) -> None:
    talk: dict[str, JSON] = {"conversation": "c", "sent": [], "received": []}
    refused: JSON = {"connect": "/no", "result": "InvalidStatus: server rejected it: HTTP 403"}
    opened: JSON = {"connect": "/stream?x=1", "result": "open"}
    recordings = load(write(tmp_path, sockets=[talk, {**talk, "path": "/own"}, refused, opened]))
    assert [one.target for one in recordings.conversations] == ["/stream", "/own"]
    assert recordings.connections == (RecordedConnection("/no", "403"), RecordedConnection("/stream?x=1", "open"))


def test_conversations_without_connections_start_at_the_root(tmp_path: Path) -> None:
    talk: JSON = {"conversation": "c", "sent": [], "received": []}
    assert load(write(tmp_path, sockets=[talk])).conversations[0].target == "/"


@pytest.mark.parametrize(
    ("http", "expected"),
    [
        ({}, "http.json: a list is expected, not dict"),
        ([5], "http.json: entry 0: an object is expected, not int"),
        ([{"steps": []}], "http.json: entry 0: 'scenario' is missing"),
        ([in_scenario(), in_scenario({"name": "x", "request": {}})], "entry 1: 'outcome' is missing"),
        (
            [in_scenario(step({"method": "GET", "path": "/"}, "died"))],
            "outcome 'died' is none of response, hang, reset",
        ),
        ([in_scenario(step({"method": 1, "path": "/"}))], "entry 0: a string is expected, not int"),
        ([in_scenario(step({"method": "GET", "path": "/"}, response={"status": "x"}))], "status 'x' is not a number"),
        ([in_scenario(step({"method": "GET", "path": "/", "version": "2"}))], "version '2' is none of 1.1, 1.0"),
        ([in_scenario(step({"method": "GET", "path": "/", "content": [999]}))], "entry 0: bytes must be in range"),
        ([in_scenario(step({"method": "GET", "path": "/", "repeat": {"char": "a", "count": "9"}}))], "not a number"),
    ],
)
def test_invalid_recording_is_reported_with_its_position(tmp_path: Path, http: JSON, expected: str) -> None:
    with pytest.raises(RecordingError) as caught:
        load(write(tmp_path, http))
    assert expected in str(caught.value)


def test_invalid_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "http.json").write_bytes(b"\xff{")
    with pytest.raises(RecordingError, match=r"http\.json"):
        load(tmp_path)


def test_directory_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="neither"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "scenarios", "conversations", "connections"),
    [
        ("login-*", 4, 0, 0),
        ("PATCH /api/prompts/*", 8, 0, 0),
        ("record-twice", 0, 1, 0),
        ("WS *", 0, 14, 4),
        ("nothing", 0, 0, 0),
    ],
)
def test_pattern_selects_scenarios(pattern: str, scenarios: int, conversations: int, connections: int) -> None:
    chosen = select(load(RECORDINGS), [pattern])
    assert len(chosen.scenarios) == scenarios
    assert (len(chosen.conversations), len(chosen.connections)) == (conversations, connections)


def test_missing_pattern_selects_all() -> None:
    recordings = load(RECORDINGS)
    assert select(recordings, ()) is recordings


def test_answer_has_every_value_of_a_header_given_as_a_list() -> None:
    headers: JSON = {"Set-Cookie": ["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=2"], "Vary": ["Origin", "Cookie"]}
    (one,) = scenario(
        in_scenario(step({"method": "GET", "path": "/"}, response={"status": 200, "headers": headers}))
    ).steps
    assert one.answer.headers == {
        "set-cookie": "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT\nb=2",
        "vary": "Origin, Cookie",
    }
