"""Legacy behind its circuit breaker, as the configuration in force describes them."""

from __future__ import annotations

import logging

from proxy.backends.legacy.configured import upstream_of
from proxy.config.models import Config, Legacy
from proxy.gateway.circuit_breaker import CircuitBreaker
from proxy.observability import metrics

logger = logging.getLogger("scribe_proxy")


class LegacyBackend:
    """The current upstream and its `breaker`, which is the ASGI app of legacy."""

    def __init__(self, config: Config) -> None:
        self._settings = config.legacy
        self._upstream = upstream_of(config.legacy)
        self.breaker = self._create_breaker(config.legacy)

    def apply_config(self, config: Config) -> None:
        """Replace upstream and breaker if `legacy` has changed; requests in flight end on the former ones."""
        if config.legacy == self._settings:
            return
        former, self._upstream = self._upstream, upstream_of(config.legacy)
        former.close()
        self._settings = config.legacy
        if self.breaker.is_open:
            logger.warning("legacy is tried again: its settings have changed")
        self.breaker = self._create_breaker(config.legacy)
        metrics.BREAKER_OPEN.set(0)

    def close(self) -> None:
        """Close the idle connections now, the others when their exchanges end."""
        self._upstream.close()

    def _create_breaker(self, legacy: Legacy) -> CircuitBreaker:
        def changed(opened: bool) -> None:
            if self.breaker is breaker:  # a former breaker may still report its last requests
                _report(opened)

        breaker = CircuitBreaker(self._upstream, legacy.breaker.failures, legacy.breaker.pause, changed)
        return breaker


def _report(opened: bool) -> None:
    logger.warning("legacy %s", "is down: no connections" if opened else "accepts connections again")
    metrics.BREAKER_OPEN.set(opened)
