"""Settings of the listeners that a reload changes: timeouts, the PROXY protocol, the memory budget.

The listeners find them in the lifespan state of the app, see `state`.
"""

from __future__ import annotations

from proxy.config.models import Config
from proxy.gateway.client_address import TrustedProxies
from proxy.observability import metrics
from proxy.server.memory_budget import BUDGET_KEY, MemoryBudget
from proxy.server.proxy_protocol import STATE_KEY as POLICY_KEY
from proxy.server.proxy_protocol import ProxyProtocolPolicy
from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts

ListenerState = dict[str, ListenerTimeouts | ProxyProtocolPolicy | MemoryBudget]
"""The part of the lifespan state that the listeners read, by their keys."""


class ListenerSettings:
    """The settings in force. Connections read them when they open, so a change applies to new ones."""

    def __init__(self, config: Config) -> None:
        self.timeouts = ListenerTimeouts(_client_timeouts(config))
        self.proxy_protocol = ProxyProtocolPolicy(_header_senders(config))
        self.memory = MemoryBudget(config.limits.memory, metrics.MEMORY_EVICTIONS.inc)

    def apply_config(self, config: Config) -> None:
        """Apply a changed configuration."""
        self.timeouts.current = _client_timeouts(config)
        self.proxy_protocol.trusted = _header_senders(config)
        self.memory.limit = config.limits.memory

    @property
    def state(self) -> ListenerState:
        """Return the entries for the lifespan state of the app."""
        return {STATE_KEY: self.timeouts, POLICY_KEY: self.proxy_protocol, BUDGET_KEY: self.memory}


def _client_timeouts(config: Config) -> ClientTimeouts:
    server = config.server
    return ClientTimeouts(
        keep_alive=server.keep_alive,
        header=min(server.header_timeout, server.request_timeout),
        request=server.request_timeout,
        idle=config.legacy.timeouts.idle,
        min_rate=server.min_rate,
        drain=server.drain_timeout,
        websocket_ping_interval=server.websocket_ping_interval,
        websocket_ping_timeout=server.websocket_ping_timeout,
    )


def _header_senders(config: Config) -> TrustedProxies | None:
    """Return the peers whose connections begin with a PROXY header, or None."""
    return TrustedProxies(config.trusted_proxies) if config.server.proxy_protocol else None
