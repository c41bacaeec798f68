"""Timings of a gateway's side of the shadow, and the CPU priority of its process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShadowTimings:
    """Seconds between two actions of the gateway's side of the shadow, and the niceness of the shadow process.

    `ping_interval`: between two pings. `heartbeat_timeout`: silence after which a ready process counts as hung,
    without the time for which it waits for a CPU.
    `retry_delays`: before a restart, the shortest and the longest. `min_uptime`: uptime that resets the delay to the
    shortest. `publish_delay`: maximum between a count and its
    publication. `niceness`: see nice(2).
    """

    ping_interval: float = 1.0
    heartbeat_timeout: float = 5.0
    retry_delays: tuple[float, float] = (5.0, 300.0)
    min_uptime: float = 30.0
    publish_delay: float = 0.1
    niceness: int = 10
