"""Health checks of native: send the configured request within this process, and count consecutive failures."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import ASGIApp

from common.background_tasks import BackgroundTasks
from proxy.config.models import Config
from proxy.config.service_models import HealthSettings

logger = logging.getLogger("scribe_proxy.health")


class HealthChecks:
    """Checks `native` as the section `health` says. Without the section, or without native, no check fails."""

    def __init__(self, native: ASGIApp | None, config: Config) -> None:
        self.failures = 0  # consecutive
        self._native = native
        self._settings = config.health
        self._tasks = BackgroundTasks()

    @property
    def failing(self) -> bool:
        """True if at least `health.failures` consecutive checks failed."""
        return self._settings is not None and self.failures >= self._settings.failures

    async def start(self) -> None:
        """Start to check."""
        self._begin()

    async def stop(self) -> None:
        """Stop checking."""
        await self._tasks.stop()

    def apply_config(self, config: Config) -> None:
        """Apply a changed configuration; changed settings reset the count of failures."""
        if config.health != self._settings:
            self._tasks.cancel()
            self._settings, self.failures = config.health, 0
            self._begin()

    def _begin(self) -> None:
        if self._native is not None and self._settings is not None:
            self._tasks.start(self._run(self._native, self._settings))

    async def _run(self, native: ASGIApp, settings: HealthSettings) -> None:
        while True:
            await asyncio.sleep(settings.interval)
            fault = await probe(native, settings.path, settings.interval)
            if fault is None and self.failing:
                logger.warning("native answers its health checks again")
            self.failures = self.failures + 1 if fault is not None else 0
            if self.failures == settings.failures:
                logger.warning("native fails its health checks: %s", fault)


async def probe(native: ASGIApp, path: str, timeout: float) -> str | None:
    """Send `GET path`; return the fault (a 5xx status, or no answer within `timeout` seconds), or None."""
    import httpx  # takes 0.25 s: not imported at start-up

    transport = httpx.ASGITransport(native)
    headers = {"user-agent": "scribe-proxy-health"}
    client = httpx.AsyncClient(transport=transport, base_url="http://native", headers=headers)
    try:
        async with asyncio.timeout(timeout), client:
            answer = await client.get(path)
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except Exception as error:
        return f"it raised {type(error).__name__}"
    return f"it answered {answer.status_code}" if answer.status_code >= 500 else None
