"""A service equals its own recording; a faulty service is reported with the position of its fault."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.server import ServerConnection, serve

from demo.ports import free_port
from proxy.contract.divergences import Case, Divergence
from proxy.recordings.model import RecordedConnection, RecordedConversation, Recordings, scenario
from proxy.recordings.player import Player, PlayerSettings
from proxy.recordings.recorder import Recorder
from proxy.recordings.recorder import Script as Instructions
from proxy.recordings.report import Report, value_text
from proxy.recordings.service_client import ServiceUnreachable
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from proxy.recordings.websocket_player import PlaybackPace
from proxy.types import JSON
from tests.support.notebook import DATABASE, Database, Notebook, a_days_work, record
from tests.support.sockets import Script, read_head, scripted, serving
from tests.support.waiting import PROMPT_TIMEOUT

QUICK = PlayerSettings(hang_after=PROMPT_TIMEOUT, pace=PlaybackPace(0.01, PROMPT_TIMEOUT, 0.05))
HANGING = replace(QUICK, hang_after=0.3)
"""For services that hang."""
IMPATIENT = replace(QUICK, restart_timeout=0.2)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
async def client(mongodb_url: str) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](mongodb_url) as client:
        yield client
        await client.drop_database(DATABASE)


async def play_notebook(client: Database, url: str, fault: str, terms: PlayerSettings = QUICK) -> Report:
    """Record a notebook without fault, then play that against another with one."""
    async with serving(Notebook(client).app) as port:
        recorded = await record(port, client, a_days_work())
    async with serving(Notebook(client, fault).app) as port, StoredDocuments(url, DATABASE) as documents:
        base = f"http://127.0.0.1:{port}"
        async with OutsideCalls(f"{base}/calls") as calls:
            return await Player(base, terms, documents, calls).play(Recordings((scenario(recorded),)))


def where(report: Report) -> list[tuple[str, list[str]]]:
    return [
        (one.name or one.subject, [each.location for each in one.differences])
        for one in report.results
        if one.differences
    ]


async def test_service_equals_its_own_recording(client: Database, mongodb_url: str) -> None:
    report = await play_notebook(client, mongodb_url, "")
    assert where(report) == []
    assert [one.subject for one in report.results] == [*["step"] * 5, "store", "calls"]
    assert report.results[3].endpoint == report.results[4].endpoint == "GET /notes/{id}"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("short token", [("0", ["body.token.claims.exp"])]),
        ("status", [("1", ["status"]), ("2", ["status"])]),
        ("another id", [("3", ["body._id"])]),
        ("extra field", [("3", ["body.draft"]), ("store", ["store.notes.0.draft", "store.notes.1.draft"])]),
        ("late write", []),
    ],
)
async def test_fault_is_reported_at_its_position(
    client: Database, mongodb_url: str, fault: str, expected: list[tuple[str, list[str]]]
) -> None:
    report = await play_notebook(client, mongodb_url, fault)
    assert where(report) == expected


@pytest.mark.parametrize(
    ("fault", "plays", "expected"),
    [
        ("", 1, []),
        ("one date", 3, [("2", ["body.at"]), ("store", ["store.notes.1.at.$date"])]),
        ("one date once", 1, [("2", ["body.at"]), ("store", ["store.notes.1.at.$date"])]),
        ("one date once", 2, []),
        ("status", 3, [("1", ["status"]), ("2", ["status"])]),
    ],
)
async def test_strict_difference_of_dates_counts_if_all_plays_show_it(
    client: Database, mongodb_url: str, fault: str, plays: int, expected: list[tuple[str, list[str]]]
) -> None:
    report = await play_notebook(client, mongodb_url, fault, replace(QUICK, strict=True, plays=plays))
    assert where(report) == expected
    assert len(report.results) == 7


def clocked(date: float, made: float) -> ASGIApp:
    """Return a service that makes a document at `made`, and whose header has the time `date`, in seconds from now."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        now = time.time()
        at = datetime.fromtimestamp(now + made, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        body = json.dumps({"_id": f"{int(now + made):08x}{7:016x}", "at": at}).encode()
        headers = [(b"content-type", b"application/json"), (b"date", formatdate(now + date, usegmt=True).encode())]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


@pytest.mark.parametrize(
    ("date", "made", "paths"),
    [
        (0.0, 0.0, []),
        (-7200.0, -7200.0, []),
        (7200.0, 7200.0, []),
        (0.0, -7200.0, ["body._id", "body.at"]),
        (7200.0, 3600.0, ["body._id", "body.at"]),
    ],
)
async def test_clock_of_a_service_is_its_date_header(date: float, made: float, paths: list[str]) -> None:
    steps: list[JSON] = [{"name": "create", "request": {"method": "POST", "path": "/", "headers": {}}}]
    async with serving(clocked(0.0, 0.0)) as port:
        recorded = await Recorder(f"http://127.0.0.1:{port}").record(
            Instructions.read({"scenario": "s", "steps": steps})
        )
    async with serving(clocked(date, made)) as port:
        report = await Player(f"http://127.0.0.1:{port}", QUICK).play(Recordings((scenario(recorded),)))
    assert [one.location for result in report.results for one in result.differences] == paths


async def test_missing_document_is_a_difference(client: Database, mongodb_url: str) -> None:
    differences = dict(where(await play_notebook(client, mongodb_url, "forgets")))
    assert differences["store"] == ["store.notes.0", "store.notes.1"]
    assert differences["3"][0] == "status"


async def test_divergence_explains_its_own_differences_only(client: Database, mongodb_url: str) -> None:
    text = {"legacy": "", "native": "", "reason": "", "since": "1"}
    extra = Divergence(
        id="drafts",
        operation="STORE notes",
        when=(Case(), Case.model_validate({"operation": "GET /notes/{id}", "paths": "body.draft"})),
        **text,
    )
    unused = Divergence(id="unused", operation="GET /", when=(Case(),), **text)
    terms = replace(QUICK, divergences=(extra, unused))
    report = await play_notebook(client, mongodb_url, "extra field", terms)
    assert report.differing == ()
    assert [one.declared for one in report.results if one.differences] == [("drafts",), ("drafts",)]
    assert report.unseen == ("unused",)


async def test_documents_are_stored_before_the_scenario(client: Database, mongodb_url: str) -> None:
    note: JSON = {"_id": {"$oid": "64b7f0f0f0f0f0f0f0f0f0f0"}, "at": {"$date": "2020-01-01T00:00:00Z"}}
    request: JSON = {"method": "GET", "path": "/notes/64b7f0f0f0f0f0f0f0f0f0f0"}
    body = '{"_id":"64b7f0f0f0f0f0f0f0f0f0f0","at":"2020-01-01T00:00:00.000Z"}'
    response: JSON = {"status": 200, "headers": {"content-type": "application/json"}, "text": body}
    given: JSON = {
        "scenario": "old",
        "steps": [{"name": "read", "request": request, "outcome": "response", "response": response}],
        "store": {"notes": [note]},
        "before": {"notes": [note]},
    }
    terms = replace(QUICK, ignored_headers={"date", "content-length", "etag"})
    async with serving(Notebook(client).app) as port, StoredDocuments(mongodb_url, DATABASE) as documents:
        player = Player(f"http://127.0.0.1:{port}", terms, documents)
        assert where(await player.play(Recordings((scenario(given),)))) == []


def single(outcome: str, path: str = "/x", repeated: int = 1) -> Recordings:
    response: JSON = {"status": 200, "headers": {"content-length": "2"}, "text": "ok"}
    request: JSON = {"method": "GET", "path": path}
    step: JSON = {"name": "one", "request": request, "outcome": outcome, "response": response}
    return Recordings((scenario({"scenario": outcome, "steps": [step] * repeated}),))


def behaving(how: str) -> Script:
    """Hang, reset, or answer every request with a status, except the probe of `/`."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if how == "hang":
            await asyncio.sleep(3600)
        elif head.startswith(b"GET / ") or how == "ok":
            writer.write(OK)
        elif how.isdecimal():
            writer.write(f"HTTP/1.1 {how} X\r\ncontent-length: 0\r\n\r\n".encode())
        writer.close()

    return script


@pytest.mark.parametrize(
    ("recorded", "live", "paths"),
    [
        ("response", "ok", []),
        ("hang", "hang", []),
        ("reset", "reset", []),
        ("hang", "504", []),
        ("reset", "502", []),
        ("hang", "502", ["outcome"]),
        ("reset", "ok", ["outcome"]),
        ("response", "reset", ["outcome"]),
        ("response", "hang", ["outcome"]),
        ("response", "504", ["status"]),
    ],
)
async def test_outcome_is_equal_or_stood_for(recorded: str, live: str, paths: list[str]) -> None:
    terms = replace(HANGING if live == "hang" else QUICK, accepted={"hang": 504, "reset": 502})
    async with scripted(behaving(live)) as port:
        report = await Player(f"http://127.0.0.1:{port}", terms).play(single(recorded))
    assert [each.location for one in report.results for each in one.differences] == paths


async def test_gateway_status_equals_no_hang_by_default() -> None:
    async with scripted(behaving("504")) as port:
        report = await Player(f"http://127.0.0.1:{port}", QUICK).play(single("hang"))
    assert len(report.differing) == 1


async def test_service_is_awaited_after_a_reset() -> None:
    requested: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await read_head(reader)).split(b" ")[1]
        requested.append(head)
        if head == b"/":
            writer.write(OK if requested.count(b"/") > 3 else b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n")

    async with scripted(script) as port:
        report = await Player(f"http://127.0.0.1:{port}", QUICK).play(single("reset", repeated=2))
    assert not report.differing
    assert requested == [b"/x", *[b"/"] * 4, b"/x", b"/"]


async def test_service_lost_after_a_reset_ends_the_run() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    async with scripted(never) as port:
        with pytest.raises(ServiceUnreachable, match="not back"):
            await Player(f"http://127.0.0.1:{port}", IMPATIENT).play(single("reset"))


async def test_briefly_unreachable_service_is_awaited() -> None:
    port = free_port()
    player = Player(f"http://127.0.0.1:{port}", QUICK)

    async def come_back() -> asyncio.Server:
        await asyncio.sleep(0.2)
        return await asyncio.start_server(behaving("ok"), "127.0.0.1", port)

    coming = asyncio.create_task(come_back())
    results: list[str] = []
    await player.play_scenario(single("response").scenarios[0], lambda result: results.append(result.verdict))
    assert results == ["equal"]
    async with await coming:
        pass


async def test_unreachable_service_raises_after_the_timeout() -> None:
    port = free_port()
    player = Player(f"http://127.0.0.1:{port}", IMPATIENT)
    with pytest.raises(ServiceUnreachable):
        await player.play_scenario(single("response").scenarios[0], lambda result: None)


async def test_unknown_host_is_named_with_the_systems_text() -> None:
    with pytest.raises(ServiceUnreachable) as raised:
        await Player("http://no-such-host.invalid:80", IMPATIENT).play(single("response"))
    assert "no-such-host.invalid cannot be reached: " in str(raised.value)
    assert "Unknown error" not in str(raised.value)


async def test_service_unreachable_at_the_start_raises_at_once() -> None:
    port = free_port()
    begun = time.monotonic()
    with pytest.raises(ServiceUnreachable, match=f"{port} cannot be reached: Connection refused"):
        await Player(f"http://127.0.0.1:{port}", QUICK).play(single("response"))
    assert time.monotonic() - begun < PROMPT_TIMEOUT


async def test_results_are_reported_as_they_arrive() -> None:
    names: list[str] = []
    async with scripted(behaving("ok")) as port:
        await Player(f"http://127.0.0.1:{port}", QUICK).play(
            single("response", repeated=3), lambda result: names.append(result.name)
        )
    assert names == ["one"] * 3


async def test_unusual_targets_are_sent_as_recorded() -> None:
    received: list[bytes] = []
    targets = ["//a//b", "/a/../b", "/a%2Fb", "/x?", "/é"]

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await read_head(reader)).split(b" ")[1])
        writer.write(OK)

    async with scripted(script) as port:
        for target in targets:
            await Player(f"http://127.0.0.1:{port}", QUICK).play(single("response", target))
    assert received == [target.encode() for target in targets]


def talks(*received: JSON) -> Recordings:
    sent: list[JSON] = [{"a": 1}, "2"]
    conversation = RecordedConversation("chat", "/talk", sent, received, None)
    return Recordings(
        (), (conversation,), (RecordedConnection("/talk?x=1", "open"), RecordedConnection("/nope", "403"))
    )


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("", []),
        ("mishears", [("conversation", ["frames.1.said", "frames.2.said"])]),
        ("refuses", [("conversation", ["connection"]), ("/talk?x=1", ["connection"])]),
    ],
)
async def test_conversations_and_handshakes_are_played(
    client: Database, fault: str, expected: list[tuple[str, list[str]]]
) -> None:
    recordings = talks({"hello": "6b034563940a5b5bf227fda4"}, {"said": {"a": 1}}, {"said": 2})
    async with serving(Notebook(client, fault).app, ws="websockets-sansio") as port:
        report = await Player(f"http://127.0.0.1:{port}", QUICK).play(recordings)
    assert where(report) == expected
    assert [one.endpoint for one in report.results] == ["WS /talk", "WS /talk", "WS /nope"]


async def test_conversation_is_retried_at_another_pace() -> None:
    # An event after 20 ms comes after a frame that is sent 10 ms later, and before one that is sent 25 ms later.
    async def script(socket: ServerConnection) -> None:
        async for frame in socket:
            delay = 0.02 if frame == "slow" else 0.0
            tasks.append(asyncio.create_task(later(socket, str(frame), delay)))

    async def later(socket: ServerConnection, frame: str, delay: float) -> None:
        await asyncio.sleep(delay)
        await socket.send(json.dumps(frame))

    tasks: list[asyncio.Task[None]] = []
    conversation = RecordedConversation("chat", "/", ["slow", "quick"], ["slow", "quick"], None)
    wrong = replace(conversation, received=["quick", "quick"])
    async with serve(script, "127.0.0.1", 0) as server:
        player = Player(f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", QUICK)
        report = await player.play(Recordings((), (conversation, wrong)))
    assert [one.verdict for one in report.results] == ["equal", "differing"]
    assert len(tasks) > 4


async def test_missing_and_extra_frames_are_differences(client: Database) -> None:
    hello: JSON = {"hello": "6b034563940a5b5bf227fda4"}
    async with serving(Notebook(client).app, ws="websockets-sansio") as port:
        pace = replace(QUICK.pace, timeout=1.5, grace=1.5)  # a missing frame is waited for, and an extra one
        player = Player(f"http://127.0.0.1:{port}", replace(QUICK, pace=pace, pace_factors=(1.0,)))
        fewer = await player.play(talks(hello, {"said": {"a": 1}}))
        more = await player.play(talks(hello, {"said": {"a": 1}}, {"said": 2}, {"said": 3}))
    assert where(fewer) == [("conversation", ["frames.2"])]
    assert where(more) == [("conversation", ["frames.3"])]
    assert json.loads(value_text(more.results[0].differences[0].legacy)) == {"said": 3}
