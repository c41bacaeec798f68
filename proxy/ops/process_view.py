"""What the pages show of this process: what `serving.Process` is, as far as they need to know."""

from __future__ import annotations

from typing import Protocol

from proxy.gateway.gateway import Gateway
from proxy.rollout.controller import RolloutController
from proxy.runtime.config_watcher import ConfigWatcher
from proxy.runtime.database import Database


class ProcessView(Protocol):
    """One process of the gateway."""

    @property
    def gateway(self) -> Gateway: ...

    @property
    def watcher(self) -> ConfigWatcher:
        """Knows routing.yaml, the text in force and the one that is refused."""

    @property
    def native_started(self) -> bool: ...

    @property
    def database(self) -> Database | None:
        """Where comparisons and shares are kept; None where nothing is kept or shared."""

    @property
    def controller(self) -> RolloutController:
        """Knows every route's share, and changes it."""
