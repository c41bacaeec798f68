"""Parts with limits so long that a pause of a busy machine reaches none: for tests of something other than limits."""

from __future__ import annotations

from typing import Final

from proxy.backends.legacy.pool import PoolLimits
from proxy.database.database import TICK, Database
from proxy.gateway.timeouts import Timeouts
from tests.support.waiting import HANG_TIMEOUT

LONG_TIMEOUTS: Final = Timeouts(connect=HANG_TIMEOUT, response=HANG_TIMEOUT, idle=HANG_TIMEOUT)


def lasting_pool(max_connections: int) -> PoolLimits:
    """Return the limits of a pool whose idle connections carry all methods."""
    return PoolLimits(max_connections, keep_alive=HANG_TIMEOUT, max_idle_for_unsafe=HANG_TIMEOUT)


def patient_database(url: str, name: str) -> Database:
    """Return a database whose pages wait for a server that pauses."""
    return Database(url, name, timeout=HANG_TIMEOUT, reach_timeout=HANG_TIMEOUT, ping_ticks=round(HANG_TIMEOUT / TICK))
