"""A watched configuration and what its watcher applied."""

from __future__ import annotations

from proxy.config.models import Config
from proxy.runtime.config_watcher import ConfigWatcher


def config_text(url: str) -> str:
    return f"legacy: {{url: '{url}'}}\n"


class AppliedConfigs:
    """The calls of a watcher's `apply`: legacy's URL for an applied configuration, None for a refused one."""

    def __init__(self) -> None:
        self.urls: list[str | None] = []

    def __call__(self, config: Config | None) -> None:
        self.urls.append(config.legacy.url if config else None)


async def settle(watcher: ConfigWatcher) -> None:
    """Read the file twice: a change is settled once two readings are equal."""
    await watcher.check()
    await watcher.check()
