"""Both sides as the shadow process has them, and what they are held to, by the configuration in force."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from proxy.backends.legacy import Timeouts, Upstream
from proxy.backends.legacy.configured import upstream_of
from proxy.backends.native import Native
from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason
from proxy.config.models import Config
from proxy.config.service_models import ShadowWorkerSettings
from proxy.contract.bundle import ContractBundle, load_agreement
from proxy.contract.faults import ContractError
from proxy.contract.model import Operation
from proxy.observability.tracing import Tracing
from proxy.shadow.dry_run import DryRunExchange
from proxy.shadow.messages import Configure, RequestSnapshot
from proxy.shadow.replay import Bounds, ask
from proxy.types import Backend

logger = logging.getLogger("scribe_proxy.shadow")


class ShadowBackends:
    """`native` has been started; `adopt` comes before anything is asked."""

    def __init__(self, native: Native, tracing: Tracing | None = None) -> None:
        self.agreement = ContractBundle()
        self._tracing: Final = tracing
        self._native: Final = native
        self._config: Config | None = None
        self._legacy: Upstream | None = None
        self._timeouts: Mapping[str, Timeouts] = {}

    @property
    def shadowing(self) -> ShadowWorkerSettings:
        """How requests run here."""
        return self._config.shadow if self._config is not None else ShadowWorkerSettings()

    async def adopt(self, adopt: Configure) -> None:
        """Go on by another configuration, contracts read anew; those that are faulty change nothing."""
        config, before = adopt.config, self._config
        directory = adopt.directory / config.contracts
        try:
            self.agreement = await asyncio.to_thread(load_agreement, directory)
        except ContractError as error:
            logger.error("%s: faulty, those read before stay in force: %s", directory, error)
        if before is None or config.legacy != before.legacy:
            self.close()
            self._legacy = upstream_of(config.legacy)
        self._timeouts = {route.name: _timeouts(config, route.name) for route in config.routes if route.timeouts}
        self._config = config

    def close(self) -> None:
        """Let go of connections at rest."""
        if self._legacy is not None:
            self._legacy.close()

    def operation(self, asked: Exchange) -> Operation | None:
        """The contract's operation of a request."""
        contract = self.agreement.contract
        return contract.operation(asked.method, asked.target) if contract is not None else None

    def bounds(self, deadline: float | None = None, other: Exchange | None = None) -> Bounds:
        """How far to follow an answer: not beyond where it could still be the same as the other side's."""
        limit = self.shadowing.max_body
        longest = max(limit, other.body.length) if other is not None else limit
        return Bounds(limit, longest, deadline or time.monotonic() + self.shadowing.deadline)

    async def ask(self, backend: Backend, route: str, asked: RequestSnapshot, bounds: Bounds) -> Exchange | Reason:
        """What a side answers to a read, or why there is nothing to compare. Raises StubbornError."""
        with self._traced(backend, route, asked):
            if backend == "native":
                return await ask(self._native, asked, bounds)
            assert self._legacy is not None, "adopt() comes first"
            more: dict[str, Any] = {"proxy.timeouts": self._timeouts[route]} if route in self._timeouts else {}
            return await ask(self._legacy, asked, bounds, more)

    async def dry_run(
        self, dry_run: DryRunExchange, route: str, asked: RequestSnapshot, bounds: Bounds
    ) -> Exchange | Reason:
        """What native answers to a write of which nothing is to be left. Raises StubbornError."""
        with self._traced("native", route, asked):
            return await dry_run.run(self._native, asked, bounds)

    def _traced(self, backend: Backend, route: str, asked: RequestSnapshot) -> AbstractContextManager[object]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing.shadow(asked.headers, asked.method, route, backend)


def _timeouts(config: Config, name: str | None) -> Timeouts:
    route = next((route for route in config.routes if route.name == name), None)
    return Timeouts(**config.timeouts(route).model_dump())
