"""Ping a quiet end of an open WebSocket, and report a dead one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.read_flow import ReadFlow
from proxy.websocket.heartbeat import POLL_INTERVAL, Action, Heartbeat
from proxy.websocket.link import Timing, link_state


class LivenessMonitor:
    """The heartbeat of one connection, with its timer.

    `written` returns the bytes written to the connection so far. `send_ping` writes a ping and then calls
    `ping_written`, possibly later if a frame is unfinished. `dead` is called once, for a dead end.
    """

    __slots__ = (
        "_dead",
        "_flow",
        "_heartbeat",
        "_loop",
        "_send_ping",
        "_timer",
        "_transport",
        "_written",
        "ping_waits",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        written: Callable[[], int],
        send_ping: Callable[[], None],
        dead: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport, self._written, self._send_ping, self._dead = transport, written, send_ping, dead
        self._flow: ReadFlow
        self._heartbeat: Heartbeat | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.ping_waits = False
        """True while a ping is due but unwritten."""

    def start(self, timing: Timing, flow: ReadFlow) -> None:
        """Start the checks. An end is not dead while `flow` is paused, because its answer may wait unread."""
        self._flow = flow
        self._heartbeat = Heartbeat(timing.ping_interval, timing.ping_timeout, timing.stall, self._loop.time())
        self._schedule(timing.ping_interval)

    def stop(self) -> None:
        """Stop the checks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def mark_alive(self) -> None:
        """Record that bytes were received, or that reading was resumed."""
        if self._heartbeat is not None:
            self._heartbeat.received_at = self._loop.time()

    def ping_written(self) -> None:
        """Record that the ping was written just now."""
        if self.ping_waits and self._heartbeat is not None and self._timer is not None:
            self.ping_waits = False
            self._timer.cancel()
            self._schedule(self._heartbeat.ping_written(self._loop.time(), self._written()))

    def _schedule(self, delay: float) -> None:
        self._timer = self._loop.call_later(delay, self._check)

    def _check(self) -> None:
        assert self._heartbeat is not None
        reading = not self._flow.is_paused
        state = link_state(self._transport, self._written(), reading=reading, ping_waits=self.ping_waits)
        verdict = self._heartbeat.check(self._loop.time(), state)
        if verdict is Action.DEAD:
            self._timer = None
            self._dead()
            return
        if verdict is Action.PING:
            self.ping_waits = True
            verdict = POLL_INTERVAL
        self._schedule(verdict)
        if self.ping_waits:
            self._send_ping()
