"""What the gateway sees of a request that runs in the shadow, and what it makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message, Scope

from proxy.comparison.exchange import Exchange, RawExchange
from proxy.comparison.verdicts import Reason
from proxy.shadow.messages import ConnectionInfo, RequestSnapshot
from proxy.shadow.mirror import MirroredDryRun, MirroredRead
from proxy.types import Backend

LIMIT = 10
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"answer"}


class Office:
    """Notes what is brought, and rehearses as it is told."""

    def __init__(self, number: int | None = 7) -> None:
        self.reads: list[tuple[str, Backend, ConnectionInfo, RawExchange]] = []
        self.asked: list[RequestSnapshot] = []
        self.compared: list[tuple[int, Exchange]] = []
        self.left: list[Reason] = []
        self.forgotten: list[tuple[int, Reason]] = []
        self._number = number

    def read(self, route: str, served: Backend, arrival: ConnectionInfo, seen: RawExchange) -> None:
        self.reads.append((route, served, arrival, seen))

    async def dry_run(self, route: str, asked: RequestSnapshot) -> int | None:
        self.asked.append(asked)
        return self._number

    def served(self, number: int, seen: RawExchange) -> None:
        self.compared.append((number, seen.exchange()))

    def forget(self, number: int, reason: Reason) -> None:
        self.forgotten.append((number, reason))

    def leave(self, route: str, served: Backend, reason: Reason) -> None:
        self.left.append(reason)


class Client:
    """Sends messages one after the other."""

    def __init__(self, *bodies: bytes, gone: bool = False) -> None:
        last = len(bodies) - 1
        self.left = [part(body, place < last or gone) for place, body in enumerate(bodies)]
        self.left += [{"type": "http.disconnect"}] if gone else []

    async def receive(self) -> Message:
        return self.left.pop(0)


def part(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def scope(method: str = "GET", **headers: str) -> Scope:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": method,
        "scheme": "https",
        "path": "/x",
        "raw_path": b"/x",
        "query_string": b"q=1",
        "headers": given,
        "client": ("10.0.0.7", 1),
        "server": ("127.0.0.1", 8000),
        "proxy.request_id": b"id-1",
        "proxy.template": "/{x}",
    }


def reading(office: Office, *, messages: Sequence[Message] = (START, END), **headers: str) -> MirroredRead:
    attendance = MirroredRead(office, "r", scope(**headers), Client(b"sent", b"more").receive, LIMIT)
    for message in messages:
        attendance.capture.sent(message)
    return attendance


async def test_a_read_is_brought_with_how_it_came() -> None:
    office = Office()
    attendance = reading(office, host="a")
    await attendance.prepare()
    attendance.end("native", None)
    [(route, backend, arrival, seen)] = office.reads
    exchange = seen.exchange()
    assert (route, backend, exchange.status, exchange.body.data) == ("r", "native", 200, b"answer")
    assert arrival == ConnectionInfo("https", "1.1", ("10.0.0.7", 1), ("127.0.0.1", 8000), b"id-1", "/{x}")
    assert RequestSnapshot.of(exchange, arrival) == RequestSnapshot("GET", b"/x?q=1", ((b"host", b"a"),), b"", arrival)


async def test_a_read_says_whether_its_body_was_read() -> None:
    office = Office()
    reading(office, content_length="8").end("legacy", None)
    attendance = reading(office, content_length="8")
    assert [await attendance.receive(), await attendance.receive()] == [part(b"sent", True), part(b"more", False)]
    attendance.end("legacy", None)
    assert [one[3].asked for one in office.reads] == [False, True]
    assert office.reads[1][3].exchange().request_body.data == b"sentmore"


@pytest.mark.parametrize(
    ("messages", "failure", "reason"),
    [
        ((), None, "client_gone"),
        ((START,), None, "client_gone"),
        ((), "legacy_unreachable", "backend_unavailable"),
    ],
)
async def test_what_has_no_answer_is_left(messages: Sequence[Message], failure: str | None, reason: str) -> None:
    office = Office()
    reading(office, messages=messages).end("legacy", failure)
    assert (office.left, office.reads) == ([reason], [])


async def test_a_failure_of_the_served_side_is_an_outcome_to_compare() -> None:
    office = Office()
    reading(office, messages=()).end("legacy", "legacy_timeout")
    assert office.reads[0][3].outcome == "hang"


async def after_dry_run(
    office: Office, *bodies: bytes, gone: bool = False, **headers: str
) -> tuple[MirroredDryRun, list[Any]]:
    """A dry run that is over, and what legacy then receives."""
    client = Client(*bodies, gone=gone)
    attendance = MirroredDryRun(office, "r", scope("POST", **headers), client.receive, LIMIT)
    await attendance.prepare()
    count = len(bodies) + gone
    return attendance, [await attendance.receive() for _ in range(count)]


async def test_a_write_is_dry_run_with_its_whole_body_and_legacy_receives_it_piece_by_piece() -> None:
    office = Office()
    attendance, received = await after_dry_run(office, b"one", b"two")
    assert received == [part(b"one", True), part(b"two", False)]
    assert [(one.method, one.target, one.body) for one in office.asked] == [("POST", b"/x?q=1", b"onetwo")]
    assert attendance.capture is not None
    for message in (START, END):
        attendance.capture.sent(message)
    attendance.end("legacy", None)
    [(number, exchange)] = office.compared
    assert (number, exchange.request_body.data, exchange.body.data) == (7, b"onetwo", b"answer")


async def test_a_write_that_native_served_after_all_is_not_compared() -> None:
    office = Office()
    attendance, _ = await after_dry_run(office, b"one")
    attendance.end("native", None)
    assert (office.forgotten, office.compared) == ([(7, "backend_unavailable")], [])


async def test_a_write_that_was_not_dry_run_is_only_served() -> None:
    office = Office(number=None)
    attendance, received = await after_dry_run(office, b"one", b"two")
    attendance.end("legacy", None)
    assert attendance.capture is None
    assert len(received) == 2
    assert (office.compared, office.left) == ([], [])


@pytest.mark.parametrize(
    ("bodies", "gone", "headers", "reason"),
    [
        ((b"123456", b"78901"), False, {}, "body_too_large"),
        ((b"1",), True, {}, "client_gone"),
    ],
)
async def test_a_write_that_is_too_long_or_breaks_off_is_passed_on_untouched(
    bodies: tuple[bytes, ...], gone: bool, headers: dict[str, str], reason: str
) -> None:
    office = Office()
    attendance, received = await after_dry_run(office, *bodies, gone=gone, **headers)
    assert [one.get("body") for one in received] == [*bodies, None][: len(bodies) + gone]
    attendance.end("legacy", None)
    assert (office.left, office.asked) == ([reason], [])


async def test_a_length_that_says_too_long_spares_the_gathering() -> None:
    office = Office()
    never = asyncio.Event()

    async def receive() -> Message:
        await never.wait()
        return {}

    await MirroredDryRun(office, "r", scope("POST", content_length="11"), receive, LIMIT).prepare()
    assert office.left == ["body_too_large"]
