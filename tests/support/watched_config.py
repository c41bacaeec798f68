"""A watched configuration and what its watcher applied."""

from __future__ import annotations

from proxy.config.models import Config
from proxy.runtime.config_watcher import ConfigWatcher


def config_text(url: str) -> str:
    return f"legacy: {{url: '{url}'}}\n"


class AppliedConfigs:
    """What a watcher handed over: URLs of adopted configurations, None for refusals."""

    def __init__(self) -> None:
        self.urls: list[str | None] = []

    def __call__(self, config: Config | None) -> None:
        self.urls.append(config.legacy.url if config else None)


async def settle(watcher: ConfigWatcher) -> None:
    """Two looks: a change counts once two readings agree."""
    await watcher.check()
    await watcher.check()
