"""Liveness of one end of a connection: when to ping it, and when it counts as dead. Pure.

TCP reports an end that closed, but for minutes nothing of one that froze or lost its network. So an end that has been
quiet is pinged, and an unanswered ping means that it is dead. Four cases must not count against it:

- Data is queued for an end that takes it slowly, the ping perhaps among it. Progress is then enough, and only an end
  that takes nothing for `stall` seconds is dead; one that does not acknowledge bytes in flight, after `timeout`. Bytes
  that its kernel acknowledges at once are no progress: the kernel of a frozen process does that too.
- Reading from it is paused, because the other leg is slow: its answer waits on this side.
- This process was itself late, because it was stopped or busy.
- A frame to it is unfinished, so that the ping must wait for its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_LATENESS = 0.1
"""Seconds behind schedule at which a check declares nobody dead, since answers may be waiting unread."""
POLL_INTERVAL = 0.25
"""Seconds between checks of a ping that is still queued or in flight."""


class Action(Enum):
    """The outcome of a check, where it is not the number of seconds until the next one."""

    PING = "ping"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class LinkState:
    """A connection as seen from this end.

    `written`: bytes so far. `unacknowledged`: those that the other end's kernel has not acknowledged. `in_flight`:
    those of them on the network. `reading`: reading is not paused. `ping_waits`: a ping is due, and not yet written.
    """

    written: int
    unacknowledged: int
    in_flight: int
    reading: bool
    ping_waits: bool = False


class Heartbeat:
    """Liveness of one end. Set `received_at` to the time of whatever arrives from it.

    `interval`: seconds of quiet before a ping; `timeout`: seconds for its answer; `stall`: seconds for which an end
    with a full buffer may take nothing, at least `timeout`. `now` is a monotonic time in seconds.
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
        """Register a ping that ends at byte `position` of the bytes written. Return the seconds to the next check."""
        self._pinged_at = self._taken_at = now
        self._ping_position = position
        delay = min(POLL_INTERVAL, self.timeout) if self._queued else self.timeout
        self._next_check = now + delay
        return delay

    def check(self, now: float, link: LinkState) -> Action | float:
        """Judge the end by `link`. A `float` is the time to the next check, in seconds."""
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
