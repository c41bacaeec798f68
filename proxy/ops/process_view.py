"""The parts of a gateway process that the ops pages read."""

from __future__ import annotations

from typing import Protocol

from proxy.database.database import Database
from proxy.gateway.gateway import Gateway
from proxy.observability.recent_failures import RecentFailures
from proxy.ops.fleet import Fleet
from proxy.ops.revocations import RevokedSessions
from proxy.rollout.controller import RolloutController
from proxy.runtime.config_watcher import ConfigWatcher
from proxy.server.memory_budget import MemoryBudget


class ProcessView(Protocol):
    """One process of the gateway."""

    @property
    def gateway(self) -> Gateway: ...

    @property
    def watcher(self) -> ConfigWatcher:
        """The watcher of routing.yaml: the text in force, and the refused one."""

    @property
    def native_started(self) -> bool: ...

    @property
    def shadow_ready(self) -> bool:
        """True while a shadow process can run requests."""

    @property
    def shadow_failures(self) -> int:
        """How often in a row the shadow process has ended soon after its start."""

    @property
    def failures(self) -> RecentFailures:
        """The failures of the last minute."""

    @property
    def memory(self) -> MemoryBudget:
        """The budget for bytes that are buffered for clients."""

    @property
    def fleet(self) -> Fleet:
        """The numbers of all processes."""

    @property
    def database(self) -> Database | None:
        """The database of comparisons and shares; None if they are neither stored nor shared."""

    @property
    def revoked_sessions(self) -> RevokedSessions:
        """The sessions of the ops pages that people have ended."""

    @property
    def controller(self) -> RolloutController:
        """The controller of the routes' shares."""
