"""Whether the other end of a socket is still there: when to ping it, and when to give it up. Pure.

TCP alone tells of an end that closed; of one that froze, or whose cable was pulled, it tells nothing for minutes. So an
end that has been quiet is pinged, and one that leaves a ping unanswered is dead. What must not count against it:

- Data waits for an end that takes it slowly, perhaps the ping too. Then it counts that it is taken at all, and only an
  end that takes nothing for `stall` seconds is dead; one that does not even acknowledge what is in flight, after
  `grace`. What its kernel takes at once is no such sign: the kernel of a frozen process does.
- We are not reading, because the other leg is slow: its answer waits on our side.
- We are late ourselves, since the process was stopped or busy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

LATE = 0.1
"""Seconds behind its time at which a look blames nobody, since answers may be waiting unread."""
POLL = 0.25
"""Seconds between looks at a ping that is still on its way."""


class Beat(Enum):
    """What a look calls for; otherwise it gives the seconds to the next one."""

    PING = "ping"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen of a connection, in bytes: `written` so far, `waiting` of them to be acknowledged by the other
    end's kernel, and `flying` of these on the network. `reading`: whether we read from it at present."""

    written: int
    waiting: int
    flying: int
    reading: bool


class Heartbeat:
    """The watch over one end. `heard_at` is to be set to the time of whatever comes from it.

    `interval`: seconds of quiet before a ping; `grace`: seconds for its answer; `stall`: seconds that an end with a
    full buffer may take nothing.
    """

    __slots__ = (
        "_arrived_at",
        "_delivered",
        "_expected",
        "_moved_at",
        "_on_its_way",
        "_pinged_at",
        "_position",
        "grace",
        "heard_at",
        "interval",
        "stall",
    )

    def __init__(self, interval: float, grace: float, stall: float, now: float) -> None:
        self.interval, self.grace, self.stall = interval, grace, max(stall, grace)
        self.heard_at = self._pinged_at = self._moved_at = self._arrived_at = now
        self._expected = now + interval
        self._delivered = self._position = 0
        self._on_its_way = False

    def pinged(self, now: float, position: int) -> float:
        """A ping was written; it ends at byte `position` of what was written. Gives the time to the next look."""
        self._pinged_at = self._arrived_at = now
        self._position = position
        left = min(POLL, self.grace) if self._on_its_way else self.grace
        self._expected = now + left
        return left

    def look(self, now: float, sight: Sight) -> Beat | float:
        """Judge by what is seen now. A `float` is the time to the next look, in seconds."""
        delivered = sight.written - sight.waiting
        if delivered > self._delivered or not sight.waiting:
            self._moved_at = now
        self._delivered = delivered
        late = now - self._expected > LATE
        verdict = self._judge(now, sight)
        if verdict is Beat.DEAD and late:
            verdict = LATE
        if isinstance(verdict, float):
            self._expected = now + verdict
        return verdict

    def _judge(self, now: float, sight: Sight) -> Beat | float:
        stuck = now - self._moved_at
        if not sight.reading:
            return Beat.DEAD if stuck >= self.stall else self._until_ping(now, sight)
        if self.heard_at >= self._pinged_at:
            return self._until_ping(now, sight)
        if self._delivered < self._position or sight.waiting > sight.flying:
            self._on_its_way = True
            limit = self.grace if sight.flying else self.stall
            return Beat.DEAD if stuck >= limit else min(POLL, self.grace)
        if self._on_its_way:
            self._on_its_way, self._arrived_at = False, now
        left = self._arrived_at + self.grace - now
        return left if left > 0 else Beat.DEAD

    def _until_ping(self, now: float, sight: Sight) -> Beat | float:
        left = max(self.heard_at, self._pinged_at) + self.interval - now
        if left > 0:
            return left
        self._on_its_way = sight.waiting > 0
        return Beat.PING
