"""The backends and contracts of the shadow process, by the current configuration."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from proxy.backends.legacy import Timeouts, Upstream
from proxy.backends.legacy.configured import upstream_of
from proxy.backends.native import Native
from proxy.comparison.body_digests import MAX_CONTENT
from proxy.comparison.conversation import Conversation
from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason
from proxy.config.models import Config
from proxy.config.service_models import ShadowWorkerSettings
from proxy.contract.bundle import ContractBundle, load_bundle
from proxy.contract.faults import ContractError
from proxy.contract.model import Operation
from proxy.gateway.patterns import WEBSOCKET
from proxy.observability.tracing import Tracing
from proxy.shadow.conversation_replay import ConversationReplay
from proxy.shadow.dry_run import DryRunExchange
from proxy.shadow.messages import Configure, RequestSnapshot
from proxy.shadow.replay import CANCEL_TIMEOUT, Bounds, replay_request
from proxy.types import Backend

logger = logging.getLogger("scribe_proxy.shadow")


class ShadowBackends:
    """Both backends as the shadow process calls them. `native` has been started; call `apply_config` first.

    An app may take `cancel_timeout` seconds to end after its cancellation.
    """

    def __init__(self, native: Native, tracing: Tracing | None = None, cancel_timeout: float = CANCEL_TIMEOUT) -> None:
        self.contracts = ContractBundle()
        self._tracing: Final = tracing
        self._cancel_timeout: Final = cancel_timeout
        self._native: Final = native
        self._config: Config | None = None
        self._legacy: Upstream | None = None
        self._timeouts: Mapping[str, Timeouts] = {}

    @property
    def settings(self) -> ShadowWorkerSettings:
        """The current `shadow` section."""
        return self._config.shadow if self._config is not None else ShadowWorkerSettings()

    async def apply_config(self, message: Configure) -> None:
        """Apply a configuration and reload the contracts; invalid contracts leave the previous ones in force."""
        config, before = message.config, self._config
        directory = message.directory / config.contracts
        try:
            self.contracts = await asyncio.to_thread(load_bundle, directory)
        except ContractError as error:
            logger.error("%s: invalid contracts, the previous ones stay in force: %s", directory, error)
        if before is None or config.legacy != before.legacy:
            self.close()
            self._legacy = upstream_of(config.legacy)
        self._timeouts = {route.name: _timeouts(config, route.name) for route in config.routes if route.timeouts}
        self._config = config

    def close(self) -> None:
        """Close idle connections."""
        if self._legacy is not None:
            self._legacy.close()

    def operation(self, exchange: Exchange) -> Operation | None:
        """Return the contract's operation for the request of an exchange."""
        return self._operation(exchange.method, exchange.target)

    def conversation(self, handshake: Exchange) -> Operation | None:
        """Return the contract's operation for a WebSocket."""
        return self._operation(WEBSOCKET, handshake.target)

    def _operation(self, method: str, target: bytes) -> Operation | None:
        contract = self.contracts.contract
        return contract.operation(method, target) if contract is not None else None

    def bounds(self, deadline: float | None = None, other: Exchange | None = None) -> Bounds:
        """Return the bounds of a replay: an answer is read only as far as it can still equal that of `other`.

        A compressed answer may equal one of any length.
        """
        limit = self.settings.max_body
        longest = max(limit, other.body.length) if other is not None else limit
        if other is not None and any(name == b"content-encoding" for name, _ in other.headers):
            longest = max(longest, MAX_CONTENT)
        ends = deadline or time.monotonic() + self.settings.deadline
        return Bounds(limit, longest, ends, cancel_timeout=self._cancel_timeout)

    async def fetch(self, backend: Backend, route: str, request: RequestSnapshot, bounds: Bounds) -> Exchange | Reason:
        """Return a backend's answer to a read, or the reason why there is nothing to compare.

        Raises:
            UncancellableAppError: the native app ignores its cancellation.
        """
        with self._traced(backend, route, request):
            if backend == "native":
                return await replay_request(self._native, request, bounds)
            assert self._legacy is not None, "apply_config() comes first"
            return await replay_request(self._legacy, request, bounds, timeouts=self._timeouts.get(route))

    async def dry_run(
        self, dry_run: DryRunExchange, route: str, request: RequestSnapshot, bounds: Bounds
    ) -> Exchange | Reason:
        """Return native's answer to the dry run of a write, or the reason why there is nothing to compare.

        Raises:
            UncancellableAppError: the native app ignores its cancellation.
        """
        with self._traced("native", route, request):
            return await dry_run.run(self._native, request, bounds)

    async def converse(self, replay: ConversationReplay, route: str, request: RequestSnapshot) -> Conversation | Reason:
        """Return a conversation's replay on native, or the reason why there is nothing to compare.

        Raises:
            UncancellableAppError: the native app ignores its cancellation.
        """
        with self._traced("native", route, request):
            return await replay.run(self._native)

    def _traced(self, backend: Backend, route: str, request: RequestSnapshot) -> AbstractContextManager[object]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing.shadow(request.headers, request.method, route, backend)


def _timeouts(config: Config, name: str | None) -> Timeouts:
    route = next((route for route in config.routes if route.name == name), None)
    return Timeouts(**config.timeouts(route).model_dump())
