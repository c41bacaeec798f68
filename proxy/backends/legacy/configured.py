"""The legacy backend as `routing.yaml` describes it."""

from __future__ import annotations

from proxy.backends.legacy import Endpoint, PoolLimits, Timeouts, Upstream
from proxy.backends.legacy.endpoint import TlsSettings
from proxy.config.models import Legacy


def endpoint_of(legacy: Legacy) -> Endpoint:
    """Return the address of legacy, and the addressing of requests to it."""
    tls = TlsSettings(**legacy.tls.model_dump()) if legacy.tls is not None else None
    return Endpoint.parse(legacy.url, host_header=legacy.host_header, tls=tls)


def upstream_of(legacy: Legacy) -> Upstream:
    """Return the legacy backend. Raises OSError if a certificate has become unreadable since its validation."""
    limits = PoolLimits(legacy.max_connections, legacy.keep_alive, legacy.connection_max_age)
    return Upstream(endpoint_of(legacy), Timeouts(**legacy.timeouts.model_dump()), limits)
