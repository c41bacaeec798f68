"""Replies to commands, however their bytes are split, and what is no reply to the command."""

from __future__ import annotations

import asyncio
import gc
import itertools
from typing import Any, cast

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.errors import InvalidDocument
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, NetworkTimeout

from handlers.storage.borrowed_connection import BorrowedConnection
from handlers.storage.reads import Query
from handlers.storage.reply_channel import MAX_COMMAND, ReplyChannel
from tests.support.direct_reads import OpenDriver, expect_counts, warm_up
from tests.support.event_loop import advance
from tests.support.profile import examples

CODEC: CodecOptions[dict[str, Any]] = CodecOptions()


class Borrowed:
    """A connection; `timeout` is None or the seconds for a reply."""

    def __init__(self, timeout: float | None = None) -> None:
        self.timeout = timeout

    fields: dict[str, object] = {"maxTimeMS": 9}  # noqa: RUF012 - only read
    suffix: dict[str, object] = {}  # noqa: RUF012

    def is_stale(self) -> bool:
        return False


class Wire(asyncio.Transport):
    """A transport that records."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        """Do nothing."""


class Opened:
    """A channel, its wire, and what it reported as closed."""

    def __init__(self, timeout: float | None = None) -> None:
        self.closed: list[ReplyChannel] = []
        self.wire = Wire()
        self.channel = ReplyChannel(cast("BorrowedConnection", Borrowed(timeout)), self.closed.append)
        self.channel.connection_made(self.wire)

    def send(self) -> asyncio.Future[memoryview]:
        self.wire.written = b""
        return self.channel.send({"find": "notes"}, "scribe", CODEC)

    def reply(self, document: dict[str, object], *, after: int = 0, operation: int = 2013, flags: int = 0) -> bytes:
        """Return a reply to the command that was sent, or to a number `after` it."""
        body = bson.encode(document)
        answered = int.from_bytes(self.wire.written[4:8], "little") + after
        numbers = [21 + len(body), 7, answered, operation, flags]
        return b"".join(number.to_bytes(4, "little") for number in numbers) + b"\0" + body


async def test_command_is_one_message_of_the_wire_protocol() -> None:
    opened = Opened()
    opened.send().cancel()
    sent = opened.wire.written
    assert (int.from_bytes(sent[:4], "little"), sent[8:12], sent[12:16]) == (len(sent), bytes(4), b"\xdd\x07\0\0")
    assert (sent[16:20], sent[20:21]) == (bytes(4), b"\0")
    assert list(bson.decode(sent[21:]).items()) == [("find", "notes"), ("maxTimeMS", 9), ("$db", "scribe")]


@pytest.mark.parametrize("filter_", [{"a": "x" * MAX_COMMAND}, {"a": object()}], ids=["long", "type"])
async def test_command_that_cannot_be_sent_leaves_the_channel_free(filter_: dict[str, object]) -> None:
    opened = Opened()
    with pytest.raises((ValueError, InvalidDocument)):
        opened.channel.send({"find": "notes", "filter": filter_}, "scribe", CODEC)
    assert opened.wire.written == b""
    pending = opened.send()
    opened.channel.data_received(opened.reply({"ok": 1}))
    assert bson.decode(await pending) == {"ok": 1}


@given(st.lists(st.integers(0, 200), max_size=6), st.integers(0, 100))
@settings(max_examples=examples(100), deadline=None)
def test_reply_in_any_pieces_is_read_whole(cuts: list[int], size: int) -> None:
    async def read() -> None:
        opened = Opened()
        for _ in range(2):
            document = {"ok": 1, "text": "x" * size}
            pending, data = opened.send(), opened.reply(document)
            bounds = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
            for start, end in itertools.pairwise(bounds):
                opened.channel.data_received(data[start:end])
            assert bson.decode(await pending) == document

    asyncio.run(read())


@pytest.mark.parametrize(
    ("how", "more"),
    [({"after": 1}, b""), ({"operation": 1}, b""), ({"flags": 2}, b""), ({}, b"more")],
    ids=["another command's", "operation", "flags", "surplus"],
)
async def test_other_replies_fail_the_read(how: dict[str, int], more: bytes) -> None:
    opened = Opened()
    pending = opened.send()
    opened.channel.data_received(opened.reply({"ok": 1}, **how) + more)
    with pytest.raises(AutoReconnect):
        await pending
    assert not opened.channel.is_usable


async def test_time_of_an_answered_command_does_not_end_the_next() -> None:
    opened = Opened(timeout=2.0)
    first = opened.send()
    opened.channel.data_received(opened.reply({"ok": 1}))
    await first
    await advance(1.5)
    second = opened.send()
    for _ in range(10):  # in steps, because a late timer starts again
        await advance(0.1)
    assert not second.done()
    for _ in range(15):
        await advance(0.1)
    with pytest.raises(NetworkTimeout):
        await second


async def test_unasked_message_closes_a_free_channel() -> None:
    opened = Opened()
    opened.channel.data_received(opened.reply({"ok": 1}))
    opened.channel.connection_lost(None)
    assert opened.closed == [opened.channel]
    assert not opened.channel.is_usable


@pytest.mark.parametrize("is_answered", [True, False])
async def test_lost_connection_of_a_cancelled_read_is_not_logged(
    is_answered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    opened = Opened()
    opened.send().cancel()
    if is_answered:
        opened.channel.data_received(opened.reply({"ok": 1}))
    else:
        opened.channel.close()
    opened.channel.connection_lost(None)
    gc.collect()
    assert not caplog.messages


@pytest.mark.parametrize("is_answered", [True, False])
async def test_timeout_starts_again_once_after_a_stop(is_answered: bool) -> None:
    opened = Opened(timeout=1000.0)
    pending = opened.send()
    await advance(100_000.0)
    assert not pending.done()
    if is_answered:
        opened.channel.data_received(opened.reply({"ok": 1}))
    await advance(100_000.0)
    if is_answered:
        assert bson.decode(await pending) == {"ok": 1}
    else:
        with pytest.raises(NetworkTimeout):
            await pending


async def test_impossible_length_fails_the_read() -> None:
    opened = Opened()
    pending = opened.send()
    opened.channel.data_received(b"\xff\xff\xff\x7f" + opened.reply({"ok": 1})[4:])
    with pytest.raises(AutoReconnect):
        await pending


async def test_message_right_after_a_reply_only_closes_its_channel(
    mongodb_url: str, open_direct: OpenDriver, caplog: pytest.LogCaptureFixture
) -> None:
    driver = open_direct(mongodb_url, {})
    collection = driver.database("test_reads", CODEC)["notes"]
    await warm_up(driver, collection)
    [channel] = driver.reads.free
    received = channel.data_received

    def receive_twice(data: bytes) -> None:
        received(data)
        received(data)

    channel.data_received = receive_twice  # type: ignore[method-assign] # uvloop would not use it
    assert await driver.find(collection, Query({})) == []
    assert not channel.is_usable
    assert await driver.find(collection, Query({})) == []
    assert channel not in driver.reads.channels
    await expect_counts(driver)
    assert not caplog.messages
