"""Reading from a connection stops for two reasons, and resumes when neither applies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.read_flow import ReadFlow


class Calls:
    """Counts of what a flow calls."""

    turns = resumed = 0

    def be_reached(self) -> None:
        self.turns += 1

    def resume(self) -> None:
        self.resumed += 1


@asynccontextmanager
async def open_flow() -> AsyncIterator[tuple[ReadFlow, asyncio.Transport, Calls]]:
    loop, calls = asyncio.get_running_loop(), Calls()
    near, far = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    try:
        yield ReadFlow(loop, transport, "client", calls.be_reached, calls.resume), transport, calls
    finally:
        transport.close()
        far.close()
        await asyncio.sleep(0)


async def test_paused_flow_reads_after_resume_only() -> None:
    async with open_flow() as (flow, transport, calls):
        flow.pause()
        flow.pause()
        assert flow.is_stopped
        assert not transport.is_reading()
        flow.resume()
        flow.resume()
        assert transport.is_reading()
        assert calls.resumed == 1
        assert not calls.turns


@pytest.mark.parametrize("paused", [False, True])
async def test_queued_flow_reads_after_its_turn(paused: bool) -> None:
    async with open_flow() as (flow, transport, calls):
        if paused:
            flow.pause()
        flow.resume_by_queue(large=True)
        flow.resume_by_queue(large=True)
        assert flow.is_stopped
        assert not flow.is_paused
        assert not transport.is_reading()
        await asyncio.sleep(0)
        assert transport.is_reading()
        assert calls.turns == calls.resumed == 1


async def test_flow_paused_in_its_turn_stays_paused() -> None:
    async with open_flow() as (flow, transport, calls):
        flow.resume_by_queue(large=False)
        flow.pause()
        await asyncio.sleep(0)
        assert calls.turns == 1
        assert not calls.resumed
        assert not transport.is_reading()


async def test_resumed_flow_still_waits_for_its_turn() -> None:
    async with open_flow() as (flow, transport, _calls):
        flow.resume_by_queue(large=False)
        flow.pause()
        flow.resume()
        assert flow.is_stopped
        assert not transport.is_reading()
        await asyncio.sleep(0)
        assert transport.is_reading()


async def test_closing_connection_is_not_resumed() -> None:
    async with open_flow() as (flow, transport, calls):
        flow.pause()
        transport.close()
        flow.resume()
        assert not flow.is_stopped
        assert not calls.resumed
