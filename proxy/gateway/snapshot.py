"""The state that requests use and a reload replaces, with caches of results that many requests share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp

from proxy.config.models import Config, Route
from proxy.contract.declared_refusals import DeclaredRefusals
from proxy.gateway import bucketing
from proxy.gateway.callers import CallerIdentity
from proxy.gateway.client_address import TrustedProxies
from proxy.gateway.cookies import OPS_COOKIE
from proxy.gateway.origin import OriginResolver
from proxy.gateway.preflight import match_request
from proxy.gateway.routing import Match, RouteTable
from proxy.gateway.starting import PrepareRequest, prepare_of
from proxy.gateway.timeouts import Timeouts
from proxy.gateway.tokens import TokenVerifier
from proxy.types import HeaderFields

MATCHES: Final = 4096
"""Maximum number of paths whose match is cached."""
MATCHED_LENGTH: Final = 256
"""Maximum bytes of a path whose match is cached."""


@dataclass(frozen=True, slots=True)
class RoutingSnapshot:
    """The state that requests use and a reload replaces.

    `timeouts`: those of routes with their own. `origins`: origins that may read the gateway's own answers.
    `trusted`: peers whose forwarding headers are trusted. `resolver` determines the clients of requests. `callers`
    identifies callers for guards; `declared` are native's refusals that guards do not count. `prepare`: legacy's method
    for serving a request without a task, or None.
    """

    config: Config
    table: RouteTable
    legacy: ASGIApp
    native: ASGIApp | None
    timeouts: Mapping[str, Timeouts]
    origins: frozenset[bytes]
    trusted: TrustedProxies
    resolver: OriginResolver
    callers: CallerIdentity
    declared: DeclaredRefusals
    tokens: TokenVerifier | None
    prepare: PrepareRequest | None = field(init=False)
    _match: Callable[[str, bytes], Match | None] = field(init=False)
    _settled: dict[tuple[str | None, bucketing.Limit], bucketing.Decision | None] = field(init=False)

    def __post_init__(self) -> None:
        derived: dict[str, object] = {
            "prepare": prepare_of(self.legacy),
            "_match": functools.lru_cache(maxsize=MATCHES)(self.table.match),
            "_settled": {},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def match(self, method: str, headers: HeaderFields, raw_path: bytes) -> Match | None:
        """Return the match of a request: see `match_request`."""
        if method == "OPTIONS" or len(raw_path) > MATCHED_LENGTH:
            return match_request(self.table, method, headers, raw_path)
        return self._match(method, raw_path)

    def settled_decision(self, route: Route | None, limit: bucketing.Limit) -> bucketing.Decision | None:
        """Return the decision that all callers of a route share; None if it depends on the request."""
        key = route.name if route is not None else None, limit
        try:
            return self._settled[key]
        except KeyError:
            return self._settled.setdefault(key, bucketing.settled_decision(route, self.config, limit))

    @classmethod
    def of(
        cls, config: Config, legacy: ASGIApp, native: ASGIApp | None, declared: DeclaredRefusals | None = None
    ) -> RoutingSnapshot:
        """Return the snapshot of a configuration, with the backends that serve it."""
        own = {
            route.name: Timeouts(**config.timeouts(route).model_dump())
            for route in config.routes
            if route.timeouts is not None
        }
        origins = frozenset(origin.encode() for origin in config.allowed_origins)
        overrides = config.overrides
        secret = overrides.header.encode() if overrides is not None and overrides.secret.get_secret_value() else None
        trusted = TrustedProxies(config.trusted_proxies)
        cookie = config.bucketing.cookie
        cookies = frozenset(name.encode() for name in (OPS_COOKIE, cookie and cookie.name) if name)
        token_secret = config.tokens.secret.get_secret_value()
        tokens = TokenVerifier(token_secret) if token_secret else None
        callers = CallerIdentity(tokens, config.bucketing.key)
        resolver = OriginResolver(trusted, secret, cookies)
        table, declared = RouteTable(config.routes), declared or DeclaredRefusals()
        return cls(config, table, legacy, native, own, origins, trusted, resolver, callers, declared, tokens)
