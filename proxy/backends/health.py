"""Asks native the request that `health` names, within this process, and tells whether native fails it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from starlette.types import ASGIApp

from proxy.config.models import Config
from proxy.config.service_models import HealthSettings

logger = logging.getLogger("scribe_proxy.health")


class HealthChecks:
    """Runs beside the gateway. `native` is asked as long as the file says how; without `health` nothing fails."""

    def __init__(self, native: ASGIApp | None, config: Config) -> None:
        self.failures = 0  # in a row
        self._native = native
        self._settings = config.health
        self._task: asyncio.Task[None] | None = None

    @property
    def failing(self) -> bool:
        """Whether so many checks failed in a row that native counts as failing."""
        return self._settings is not None and self.failures >= self._settings.failures

    async def start(self) -> None:
        """Begins to ask."""
        self._begin()

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def apply_config(self, config: Config) -> None:
        """Go on by a changed file."""
        if config.health != self._settings:
            if self._task is not None:
                self._task.cancel()
            self._settings, self.failures = config.health, 0
            self._begin()

    def _begin(self) -> None:
        if self._native is not None and self._settings is not None:
            self._task = asyncio.create_task(self._run(self._native, self._settings))

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
    """Return the fault of native's answer to `GET path` (a 5xx, none within `timeout` seconds), None without one."""
    import httpx  # a quarter of a second, which start-up need not pay

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
