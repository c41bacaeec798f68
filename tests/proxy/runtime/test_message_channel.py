"""Messages between two processes arrive whole and in order, however their bytes are split."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Iterator
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.exchange import Exchange
from proxy.runtime.message_channel import MessageChannel
from proxy.shadow.messages import (
    AnsweredRead,
    Compared,
    CompareRead,
    CompareReads,
    ConnectionInfo,
    DryRun,
    DryRunFinished,
    LegacyServed,
    Ping,
    ReportsDropped,
    RequestSnapshot,
)
from tests.support.exchanges import exchange

ARRIVAL = ConnectionInfo("http", "1.1", ("127.0.0.1", 1), None, b"id")
Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Yield a channel's end, which the channel closes, and the other process's end, which does not block."""
    own, other = socket.socketpair()
    with other:
        other.setblocking(False)
        yield own, other


def received_by(end: socket.socket) -> Any:
    """Return the messages of the batch that has arrived at an end. Raises BlockingIOError if none has."""
    return pickle.loads(end.recv(1000)[8:])


async def linked(on_message: Any, gather: float = 0.0) -> tuple[MessageChannel[Any, Any], MessageChannel[Any, Any]]:
    near, far = socket.socketpair()
    one, other = MessageChannel[Any, Any](lambda _: None, gather), MessageChannel[Any, Any](on_message)
    await one.open(near)
    await other.open(far)
    return one, other


async def test_messages_arrive_whole_and_in_order() -> None:
    received: list[Any] = []
    one, other = await linked(received.append)
    large = RequestSnapshot("POST", b"/x", ((b"host", b"a"),), b"x" * 3_000_000, ARRIVAL)
    messages = [Ping(), large, DryRunFinished(1, "timeout"), Compared(2, "match"), ReportsDropped("full", 3)]
    for message in messages:
        one.send(message)
    one.close()
    await other.closed.wait()
    assert received == messages


@given(st.lists(st.integers(1, 60), min_size=1))
async def test_split_bytes_are_read_as_messages(sizes: list[int]) -> None:
    received: list[Any] = []
    link = MessageChannel[Any, Any](received.append)
    messages = [Ping(), RequestSnapshot.of(exchange(b"text"), ARRIVAL), Compared(7, "skipped", "changed")]
    frames = map(pickle.dumps, (messages[:1], messages[1:]))
    data = b"".join(pack(">Q", len(each)) + each for each in frames)
    while data:
        size = sizes.pop(0) if sizes else len(data)
        link.data_received(data[:size])
        data = data[size:]
    assert received == messages


async def test_messages_are_sent_at_the_end_of_the_turn(ends: Ends) -> None:
    own, other = ends
    link = MessageChannel[Any, Any](lambda _: None)
    await link.open(own)
    link.send(Ping())
    with pytest.raises(BlockingIOError):
        received_by(other)
    await asyncio.sleep(0)
    assert received_by(other) == [Ping()]
    link.close()
    await link.closed.wait()


async def test_messages_are_batched_until_an_urgent_one(ends: Ends) -> None:
    own, other = ends
    link = MessageChannel[Any, Any](lambda _: None, gather=30.0)
    await link.open(own)
    for number in range(3):
        link.send(DryRunFinished(number))
        await asyncio.sleep(0)
    assert received_by(other) == [DryRunFinished(0)]  # the first goes at once
    link.send(Ping(), urgent=True)
    await asyncio.sleep(0)
    assert received_by(other) == [DryRunFinished(1), DryRunFinished(2), Ping()]
    link.send(DryRunFinished(4))
    link.close()
    await link.closed.wait()
    assert received_by(other) == [DryRunFinished(4)]


async def test_batched_messages_are_sent_after_their_delay() -> None:
    received: list[Any] = []
    one, other = await linked(received.append, gather=0.01)
    for number in range(3):
        one.send(DryRunFinished(number))
        await asyncio.sleep(0)
    while len(received) < 3:
        await asyncio.sleep(0.001)
    one.close()
    await other.closed.wait()


class Steps:
    """Prepares a batch in `left` steps, each of which sends one message."""

    def __init__(self, left: int) -> None:
        self.link: MessageChannel[Any, Any] = MessageChannel(lambda _: None, 30.0, prepare=self._prepare)
        self.left = left

    def _prepare(self) -> bool:
        if self.left:
            self.left -= 1
            self.link.send(DryRunFinished(self.left))
        return self.left > 0


async def test_batch_is_prepared_in_steps_and_sent_after_the_last(ends: Ends) -> None:
    own, other = ends
    steps = Steps(3)
    await steps.link.open(own)
    steps.link.request_flush()
    for left in (2, 1):
        await asyncio.sleep(0)
        assert steps.left == left
        with pytest.raises(BlockingIOError):
            received_by(other)
    await asyncio.sleep(0)
    assert received_by(other) == [DryRunFinished(2), DryRunFinished(1), DryRunFinished(0)]
    steps.left = 2
    steps.link.close()
    await steps.link.closed.wait()
    assert received_by(other) == [DryRunFinished(1), DryRunFinished(0)]


@pytest.mark.parametrize("steps_before", [0, 1, 2])
async def test_urgent_message_does_not_wait_for_a_preparation(steps_before: int, ends: Ends) -> None:
    own, other = ends
    steps = Steps(4)
    await steps.link.open(own)
    steps.link.request_flush()
    for _ in range(steps_before):
        await asyncio.sleep(0)
    steps.link.send(Ping(), urgent=True)
    await asyncio.sleep(0)
    assert Ping() in received_by(other)
    assert steps.left == 3 - steps_before
    while steps.left:
        await asyncio.sleep(0)
    assert received_by(other)[-1] == DryRunFinished(0)
    steps.link.close()
    await steps.link.closed.wait()


async def test_closed_channel_sends_nothing() -> None:
    one, other = await linked(lambda _: None)
    other.close()
    await one.closed.wait()
    one.send(Ping())
    await asyncio.sleep(0)
    assert one.closed.is_set()
    one.close()


def answered_read(served: Exchange) -> AnsweredRead:
    request, answer = (
        (served.method, served.target, served.request_headers),
        (served.status, served.headers, served.body.data),
    )
    return AnsweredRead(1, "r", "legacy", tuple(ARRIVAL), 9.0, *request, *answer, served.started, served.total)


async def test_reads_of_a_batch_arrive_as_exchanges() -> None:
    received: list[Any] = []
    one, other = await linked(received.append)
    served = exchange(b"text", target="/notes")._replace(started=3.0, head=0.5, total=0.5)
    read = answered_read(served)._replace(headers=tuple((name.title(), value) for name, value in served.headers))
    one.send(CompareReads.of([read, read._replace(number=2)]))
    one.close()
    await other.closed.wait()
    [message] = received
    job = CompareRead(1, "r", "legacy", ARRIVAL, served, 9.0)
    assert list(message.jobs()) == [job, job._replace(number=2)]


def test_request_content_is_absent_from_tracebacks() -> None:
    served = exchange(b"Agnes", target="/patients/Agnes", sent=b"Agnes")
    request = RequestSnapshot.of(served, ARRIVAL)
    read = answered_read(served)
    for message in (
        CompareRead(1, "r", "legacy", ARRIVAL, served, 0.0),
        read,
        CompareReads.of([read]),
        DryRun(1, "r", request, 0.0),
        LegacyServed(1, served),
    ):
        assert "Agnes" not in repr(message)
