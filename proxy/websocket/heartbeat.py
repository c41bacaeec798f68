"""Decide when to ping one end of a connection and when to declare it dead. Pure.

TCP reports a closed end, but takes minutes to report one that froze or lost its network. A quiet end is therefore
pinged, and an unanswered ping means that it is dead. Four conditions must not count against an end:

- Data is queued for a slow receiver, possibly with the ping in it. Any progress shows that it is alive. It is dead
  after `stall` seconds without progress, or after `timeout` seconds with unacknowledged bytes in flight. Bytes that
  its kernel acknowledges at once are not progress, because the kernel of a frozen process does that too.
- Reading from it is paused because the other leg is slow: its answer may wait in this process's socket buffer.
- This process was late itself, because it was stopped or its event loop was blocked.
- A frame to it is unfinished, so the ping has to wait for the end of that frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_LATENESS = 0.1
"""Seconds behind schedule at which a check declares no end dead, because answers may wait unread."""
POLL_INTERVAL = 0.25
"""Seconds between checks of a ping that is still queued or in flight."""


class Action(Enum):
    """The result of a check, other than a delay until the next one."""

    PING = "ping"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class LinkState:
    """The state of a connection, as this process observes it.

    `written`: bytes written so far. `unacknowledged`: those not yet acknowledged by the other end's kernel.
    `in_flight`: the unacknowledged bytes on the network. `reading`: reading is not paused. `ping_waits`: a ping is due
    but unwritten.
    """

    written: int
    unacknowledged: int
    in_flight: int
    reading: bool
    ping_waits: bool = False


class Heartbeat:
    """Liveness of one end. The owner sets `received_at` to the time of each received byte.

    `interval`: seconds of silence before a ping. `timeout`: seconds for its answer. `stall`: seconds without progress
    after which an end with a full buffer is dead; at least `timeout`. `now` is a monotonic time in seconds.
    """

    __slots__ = (
        "_acknowledged",
        "_next_check",
        "_ping_position",
        "_pinged_at",
        "_progress_at",
        "_queued",
        "_taken_at",
        "interval",
        "received_at",
        "stall",
        "timeout",
    )

    def __init__(self, interval: float, timeout: float, stall: float, now: float) -> None:
        self.interval, self.timeout, self.stall = interval, timeout, max(stall, timeout)
        self.received_at = self._pinged_at = self._progress_at = self._taken_at = now
        self._next_check = now + interval
        self._acknowledged = self._ping_position = 0
        self._queued = False

    def ping_written(self, now: float, position: int) -> float:
        """Record a ping that ends at byte `position` of the bytes written. Return the seconds to the next check."""
        self._pinged_at = self._taken_at = now
        self._ping_position = position
        delay = min(POLL_INTERVAL, self.timeout) if self._queued else self.timeout
        self._next_check = now + delay
        return delay

    def check(self, now: float, link: LinkState) -> Action | float:
        """Return an action, or the seconds to the next check."""
        acknowledged = link.written - link.unacknowledged
        if acknowledged > self._acknowledged or not link.unacknowledged:
            self._progress_at = now
        self._acknowledged = acknowledged
        late = now - self._next_check > MAX_LATENESS
        verdict = self._judge(now, link)
        if verdict is Action.DEAD and late:
            verdict = MAX_LATENESS
        if isinstance(verdict, float):
            self._next_check = now + verdict
        return verdict

    def _judge(self, now: float, link: LinkState) -> Action | float:
        stuck = now - self._progress_at
        if not link.reading or link.ping_waits:
            return Action.DEAD if stuck >= self.stall else self._until_ping(now, link)
        if self.received_at >= self._pinged_at:
            return self._until_ping(now, link)
        if self._acknowledged < self._ping_position or link.unacknowledged > link.in_flight:
            self._queued = True
            limit = self.timeout if link.in_flight else self.stall
            return Action.DEAD if stuck >= limit else min(POLL_INTERVAL, self.timeout)
        if self._queued:
            self._queued, self._taken_at = False, now
        remaining = self._taken_at + self.timeout - now
        return remaining if remaining > 0 else Action.DEAD

    def _until_ping(self, now: float, link: LinkState) -> Action | float:
        remaining = max(self.received_at, self._pinged_at) + self.interval - now
        if remaining > 0:
            return remaining
        if link.ping_waits:
            return POLL_INTERVAL
        self._queued = link.unacknowledged > 0
        return Action.PING
