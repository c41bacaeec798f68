"""Evaluate the guards of all routes every second, and cap the routes whose native backend fails."""

from __future__ import annotations

import logging
import time
from typing import Final

from proxy.config.models import Route
from proxy.periodic import tick
from proxy.rollout.in_force import SharesInForce, logged_errors
from proxy.rollout.transitions import guard_failed

logger = logging.getLogger("scribe_proxy.state")


class GuardEvaluator:
    """Caps failing routes in this process, without waiting for the store; `interval` is in seconds."""

    def __init__(self, shares: SharesInForce, interval: float) -> None:
        self._shares: Final = shares
        self._interval: Final = interval

    async def run(self) -> None:
        """Evaluate until cancelled."""
        while True:
            await tick(self._interval)
            with logged_errors("evaluating the guards"):
                self.evaluate(time.monotonic())

    def evaluate(self, now: float) -> None:
        """Advance the statistics to `now` (monotonic seconds) and cap failing routes.

        No route is capped while legacy is down, because callers could not be moved there.
        """
        shares, hooks = self._shares, self._shares.hooks
        shares.stats.advance(now)
        healthy = hooks.healthy()
        for route in shares.config.routes:
            if route.guard is None or route.pin is not None:
                continue
            if not shares.effective(route).share and not route.native_traffic.include:
                continue
            analysis = shares.stats.of(route.name).analyse(healthy=healthy)
            if analysis is not None and analysis.outcome == "fail" and not hooks.legacy_down():
                self._cap(route, analysis.reason)

    def _cap(self, route: Route, reason: str) -> None:
        shares = self._shares
        if route.group is not None:
            reason = f"{route.name}: {reason}"
        after = guard_failed(route, shares.cache.state(route), reason, shares.clock.now())
        if after is None:
            return
        logger.warning("%s is capped, %s: %s", route.domain, after.change.movement, reason)
        shares.apply_local(route, after)
