"""The few frames that the gateway adds to a relayed WebSocket, on real sockets: pings, and closes of its own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from proxy.backends.legacy.websocket import WebSocketUpstream
from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts
from proxy.websocket.frames import FRAMES_AT_ONCE, FrameFilter
from proxy.websocket.heartbeat import POLL_INTERVAL, Action, Heartbeat, LinkState
from proxy.websocket.relay import Relay
from tests.support.event_loop import advance
from tests.support.raw_websocket_legacy import raw_legacy
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.websocket_client import RawSocket, frame, raw_client
from tests.support.websocket_server import stoppable, with_pings, with_state

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


@dataclass
class Ends:
    """The two ends of a relayed WebSocket."""

    client: RawSocket
    legacy: RawSocket


@asynccontextmanager
async def relayed(interval: float = 0.1, timeout: float = HANG_TIMEOUT) -> AsyncIterator[Ends]:
    """Return a client and a legacy that a test controls; idle ones are pinged after `interval` seconds."""
    async with raw_legacy() as (port, accepted):
        app = with_pings(WebSocketUpstream(f"http://127.0.0.1:{port}"), interval, timeout)
        async with serving(app, lifespan="on") as gateway, raw_client(gateway) as client:
            yield Ends(client, await accepted)


@asynccontextmanager
async def stopping() -> AsyncIterator[tuple[RawSocket, RawSocket, Callable[[], None]]]:
    """Return the same two ends, and the event that stops the gateway between them."""
    async with (
        raw_legacy() as (port, accepted),
        stoppable(WebSocketUpstream(f"http://127.0.0.1:{port}")) as (gateway, stop),
        raw_client(gateway) as client,
    ):
        yield client, await accepted, stop


async def next_frame(end: RawSocket) -> tuple[int, bytes]:
    async with asyncio.timeout(HANG_TIMEOUT):
        return await end.read_frame()


async def next_text(end: RawSocket) -> bytes:
    """Return the next text frame, after any number of further pings of the gateway; a pong fails."""
    while (received := await next_frame(end))[0] == PING:
        pass
    assert received[0] == TEXT
    return received[1]


async def test_both_silent_ends_are_pinged_and_pongs_removed() -> None:
    async with relayed() as ends:
        pings = [(end, await next_frame(end)) for end in (ends.client, ends.legacy)]
        for end, (opcode, payload) in pings:
            assert (opcode, len(payload)) == (PING, 8)
            masked = end is ends.client
            end.writer.write(frame(PONG, payload, masked=masked) + frame(1, b"then", masked=masked))
        assert await next_text(ends.legacy) == b"then"
        assert await next_text(ends.client) == b"then"


async def test_small_frames_pass_in_several_passes_before_the_end() -> None:
    async with relayed(interval=10 * HANG_TIMEOUT) as ends, asyncio.timeout(HANG_TIMEOUT):
        stream = b"".join(frame(1, b"%06d" % each) for each in range(5 * FRAMES_AT_ONCE))
        ends.client.writer.write(stream)
        ends.client.writer.write_eof()
        assert await ends.legacy.reader.read(-1) == stream


async def test_end_that_sends_to_a_lost_one_is_read_on() -> None:
    async with relayed(interval=10 * HANG_TIMEOUT) as ends:
        client, sizes = ends.client.writer.transport, [0]

        def has_stalled() -> bool:
            sizes.append(client.get_write_buffer_size())
            return len(sizes) > 50 and len(set(sizes[-50:])) == 1

        ends.client.writer.write(frame(2, bytes(64 << 20)))
        await until(has_stalled)
        assert sizes[-1]
        ends.legacy.writer.transport.abort()
        await until(lambda: not client.get_write_buffer_size())
        assert not client.is_closing()


async def test_ended_relay_is_released_before_its_closing_timeout() -> None:
    def relays() -> set[int]:
        gc.collect()
        return {id(each) for each in gc.get_objects() if isinstance(each, Relay)}

    before = relays()
    timeouts = ListenerTimeouts(ClientTimeouts(websocket_closing=10 * HANG_TIMEOUT))
    async with raw_legacy() as (port, accepted):
        app = with_state(WebSocketUpstream(f"http://127.0.0.1:{port}"), {STATE_KEY: timeouts})
        async with serving(app, lifespan="on") as gateway, raw_client(gateway) as client:
            legacy = await accepted
            assert relays() - before
            client.writer.write_eof()
            assert not await legacy.reader.read()
            legacy.writer.close()
            assert not await client.reader.read()
            await until(lambda: not relays() - before)


async def test_pings_and_pongs_of_the_ends_pass() -> None:
    async with relayed(interval=60.0) as ends:
        ends.client.writer.write(frame(PING, b"mine") + frame(PONG, b"12345678"))
        assert await next_frame(ends.legacy) == (PING, b"mine")
        assert await next_frame(ends.legacy) == (PONG, b"12345678")
        ends.legacy.writer.write(frame(PONG, b"mine", masked=False) + frame(PING, b"yours", masked=False))
        assert await next_frame(ends.client) == (PONG, b"mine")
        assert await next_frame(ends.client) == (PING, b"yours")


async def test_ping_waits_for_the_end_of_a_frame() -> None:
    async with relayed() as ends:
        whole = frame(2, b"x" * 1000, masked=False)
        for at in range(0, 1000, 100):
            ends.legacy.writer.write(whole[at : at + 100])
            await asyncio.sleep(0.05)
        ends.legacy.writer.write(whole[1000:])
        frames = [await next_frame(ends.client) for _ in range(2)]
        assert [opcode for opcode, _ in frames] == [2, PING] or frames[0][0] == PING
        assert (2, b"x" * 1000) in frames


async def test_ping_is_inserted_into_a_continuous_stream() -> None:
    stream = frame(2, b"y" * 5000, masked=False) * 20_000

    async def pour(legacy: RawSocket) -> None:
        for at in range(0, len(stream), 65536):
            legacy.writer.write(stream[at : at + 65536])
            await legacy.writer.drain()

    async with relayed() as ends:
        pouring = asyncio.ensure_future(pour(ends.legacy))
        messages, pings = 0, 0
        while messages < 20_000:
            opcode, data = await next_frame(ends.client)
            assert (opcode, data) == (2, b"y" * 5000) or opcode == PING
            pings += opcode == PING
            messages += opcode == 2
        await pouring
        assert pings


async def test_shutdown_relays_the_clients_last_messages() -> None:
    async with stopping() as (client, legacy, stop):
        stop()
        assert await next_frame(client) == (CLOSE, b"\x03\xe9")
        client.writer.write(frame(1, b"last words") + frame(CLOSE, b"\x03\xe9"))
        assert await next_frame(legacy) == (1, b"last words")
        assert await next_frame(legacy) == (CLOSE, b"\x03\xe9")
        legacy.writer.write(frame(1, b"too late", masked=False) + frame(CLOSE, b"\x03\xe9", masked=False))
        legacy.writer.write_eof()
        assert await client.read_rest() == b""


async def test_shutdown_ends_a_client_that_ignores_its_close() -> None:
    async with stopping() as (client, legacy, stop):
        stop()
        assert await next_frame(client) == (CLOSE, b"\x03\xe9")
        for _ in range(100):
            await advance(1.0)
        assert await legacy.read_rest() == b""


async def test_shutdown_waits_for_the_end_of_a_frame() -> None:
    async with stopping() as (client, legacy, stop):
        whole = frame(2, b"x" * 1000, masked=False)
        legacy.writer.write(whole[:500])
        assert await client.reader.readexactly(500) == whole[:500]
        stop()
        await asyncio.sleep(0.3)
        legacy.writer.write(whole[500:])
        rest = whole[500:] + frame(CLOSE, b"\x03\xe9", masked=False)
        assert await client.reader.readexactly(len(rest)) == rest
        legacy.writer.write(frame(1, b"too late", masked=False))
        client.writer.write(frame(CLOSE, b"\x03\xe9"))
        legacy.writer.write_eof()
        assert await client.read_rest() == b""


async def test_end_without_a_close_frame_follows_its_bytes() -> None:
    async with relayed(interval=60.0) as ends:
        ends.client.writer.write(frame(1, b"before") + frame(1, b"unfinished")[:9])
        ends.client.writer.write_eof()
        assert await ends.legacy.read_rest() == frame(1, b"before") + frame(1, b"unfinished")[:9]
        ends.legacy.writer.write(frame(1, b"still", masked=False))
        ends.legacy.writer.write_eof()
        assert await ends.client.read_rest() == frame(1, b"still", masked=False)


def test_ping_waiting_for_a_frames_end_has_no_deadline() -> None:
    heartbeat = Heartbeat(2.0, 2.0, 4.0, 0.0)
    assert heartbeat.check(2.0, LinkState(0, 0, 0, reading=True)) is Action.PING
    waiting = LinkState(0, 0, 0, reading=True, ping_waits=True)
    for quarter in range(8, 200):
        assert heartbeat.check(quarter / 4, waiting) == POLL_INTERVAL
    assert heartbeat.ping_written(50.0, 6) == 2.0


def test_end_stuck_within_a_frame_is_dead() -> None:
    heartbeat = Heartbeat(2.0, 2.0, 4.0, 0.0)
    now, stuck = 0.0, LinkState(1000, 500, 0, reading=True, ping_waits=True)
    verdict: Action | float = heartbeat.check(now, stuck)
    while isinstance(verdict, float):
        now += verdict
        verdict = heartbeat.check(now, stuck)
    assert verdict is Action.DEAD
    assert now == pytest.approx(4.0, abs=0.3)


def test_unarmed_filter_holds_nothing() -> None:
    frame_filter = FrameFilter(b"12345678")
    assert frame_filter.feed(b"\x8a") == b"\x8a"
