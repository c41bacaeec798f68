"""Progress of the whole migration: by traffic, by routes, and the estimated end. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.ops.board.lines import STATES, GroupLine


@dataclass(frozen=True, slots=True)
class Migration:
    """Progress of the migration. `traffic` is native's part of the requests at the shares in force, in percent.

    It is None without requests; `requests` is their number. `routes`: those that native answers alone. `ends`: the
    earliest end (seconds since the epoch) of the groups whose rollouts reach 100%, or None. `unplanned`: the groups
    without such a rollout. `waiting`: the groups whose rollout does not continue automatically.
    """

    traffic: float | None
    requests: int
    routes: int
    all_routes: int
    states: dict[str, int]
    ends: float | None
    unplanned: int
    waiting: int


def migration(lines: Sequence[GroupLine]) -> Migration:
    """Return the progress of all groups."""
    requests = sum(line.requests for line in lines)
    native = sum(line.requests * line.share for line in lines)
    states = Counter(line.state for line in lines)
    planned = [line.ends for line in lines if line.ends is not None and line.state != "done"]
    return Migration(
        traffic=native / requests if requests else None,
        requests=requests,
        routes=sum(len(line.routes) for line in lines if line.state == "done"),
        all_routes=sum(len(line.routes) for line in lines),
        states={state: states[state] for state in STATES if states[state]},
        ends=max(planned, default=None),
        unplanned=sum(line.ends is None for line in lines),
        waiting=sum(line.ends is not None and bool(line.severity) for line in lines),
    )
