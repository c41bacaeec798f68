"""The observers of all requests of one process: access log, metrics, guards, recent failures, traces."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from proxy.config.models import Config
from proxy.gateway.request_record import Observer
from proxy.observability.access_log import AccessLog
from proxy.observability.log_writer import FLUSH_TIMEOUT, LogWriter, flush_logs
from proxy.observability.recent_failures import RecentFailures
from proxy.observability.request_metrics import RequestMetrics
from proxy.observability.tracing import Tracing
from proxy.rollout.analysis.route_stats import StatsRegistry


class RequestObservation:
    """The observers of requests in one process, and the writer of its access log. `env` configures traces."""

    def __init__(self, config: Config, env: Mapping[str, str]) -> None:
        self.stats = StatsRegistry()
        self.failures = RecentFailures()
        self.tracing = Tracing.configured(env)
        self._output = LogWriter(1, "stdout")
        self._access_log = AccessLog(self._output.write)
        self.apply_config(config)

    @property
    def observers(self) -> tuple[Observer, ...]:
        return RequestMetrics(), self._access_log, self.stats, self.failures

    def apply_config(self, config: Config) -> None:
        """Switch the access log on or off."""
        self._access_log.enabled = config.access_log

    async def close(self) -> None:
        """Write the collected lines and traces, for at most `FLUSH_TIMEOUT` seconds."""
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
        self._access_log.flush()
        await asyncio.to_thread(self._output.close, FLUSH_TIMEOUT)
        await asyncio.to_thread(flush_logs)
