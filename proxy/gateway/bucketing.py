"""Decide which backend answers a request: salted buckets, and the rules that precede them. Pure.

A caller's key is hashed with the salt and the route's domain (its group, or its own name) into one of 10,000 buckets;
native answers the buckets below the share. Raising a share therefore only moves callers from legacy to native, and the
same salt and key give the same result on every replica, restart and release. The share applies only if none of these
decides, in this order: no native app, SCRIBE_PROXY_PIN, the route's pin, an override header, no route, the route's
targets.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from proxy.config.field_types import FULL
from proxy.config.key_sources import KeySource
from proxy.config.models import Bucketing, Config, Overrides, Route
from proxy.gateway.cookies import cookie_value
from proxy.gateway.targeting import match_target
from proxy.gateway.tokens import ClaimsReader
from proxy.types import Backend, BasisPoints, HeaderFields

Reason = Literal[
    "share",
    "cap",
    "include",
    "exclude",
    "no-key",
    "no-route",
    "override",
    "pin",
    "pin-all",
    "no-native",
    "legacy-down",
    "native-error",
]
"""Reasons of a decision. `legacy-down` and `native-error` are for a backend that took over, see `fallback`."""
Client = tuple[str, int] | None

MAX_TOKEN: Final = 16_384  # bytes; longer tokens are not keys, which bounds the cost of reading one


@dataclass(frozen=True, slots=True)
class Decision:
    """A backend, the reason, and the caller's bucket (0 to 9999) if the decision or the sampling needed one."""

    backend: Backend
    reason: Reason
    bucket: int | None = None


@lru_cache(maxsize=64)
def _certain_decision(backend: Backend, reason: Reason) -> Decision:
    return Decision(backend, reason)


class Limit(NamedTuple):
    """Limits of a route's share in addition to the file: by the stage of its rollout, and by a cap."""

    stage: BasisPoints = FULL
    cap: BasisPoints = FULL


UNLIMITED: Final = Limit()


def bucket(salt: str, domain: str, key: str) -> int:
    """Return the caller's bucket, 0 to 9,999, by salt and domain. A change here moves every caller."""
    text = f"{len(salt)}:{salt}{len(domain)}:{domain}{key}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % FULL


def decide(
    route: Route | None,
    config: Config,
    headers: HeaderFields,
    client: Client,
    *,
    limit: Limit = UNLIMITED,
    key: str | None = None,
    tokens: ClaimsReader | None = None,
) -> Decision:
    """Decide for one request. `headers` and `client` are as in an ASGI scope (names in lower case).

    `key` replaces the caller's own key; `tokens` verifies the tokens whose claims are targets.
    """
    settled = settled_decision(route, config, limit) if key is None else None
    if settled is not None:
        return settled
    chosen = _chosen(route, config, headers)
    if chosen is None and route is not None and route.targeted:
        chosen = _targeted(route, headers, client, limit, tokens)
    if chosen is not None:
        bucket_number = None
        if route is not None and route.shadow.share not in _CERTAIN:
            key = key or caller_key(config.bucketing, headers, client)
            bucket_number = bucket(config.bucketing.salt, route.domain, key) if key is not None else None
        return _certain_decision(*chosen) if bucket_number is None else Decision(*chosen, bucket_number)
    if route is None:
        return _certain_decision("legacy", "no-route")
    return _by_share(route, config.bucketing, headers, client, limit, key)


def settled_decision(route: Route | None, config: Config, limit: Limit) -> Decision | None:
    """Return the decision that all callers of a route share; None if it depends on the request."""
    pinned = _pinned(route, config)
    if pinned is not None:
        sampled = route is not None and route.shadow.share not in _CERTAIN
        return None if sampled else _certain_decision(*pinned)
    if config.overrides is not None:
        return None
    if route is None:
        return _certain_decision("legacy", "no-route")
    return None if route.targeted else _certain_share(route, limit)


def share_in_force(route: Route, limit: Limit) -> BasisPoints:
    """Return a route's share, limited by the stage of its rollout and its cap."""
    return min(route.native, limit.stage, limit.cap)


def is_shadowed(route: Route, bucket_number: int | None) -> bool:
    """Return True if a caller's requests also run in the shadow, which samples the highest buckets.

    Native serves the lowest buckets, so callers that have not moved are compared first, and writes are still on legacy.
    """
    share = route.shadow.share
    return share == FULL or (bucket_number is not None and bucket_number >= FULL - share)


def caller_key(bucketing: Bucketing, headers: HeaderFields, client: Client) -> str | None:
    """Return the first configured key that the request has. Raises nothing, for any request."""
    for source in bucketing.sources:
        key = source_key(source, headers, client)
        if key:
            return key
    return None


def source_key(source: KeySource, headers: HeaderFields, client: Client) -> str | None:
    """Return the key that one source provides; None or empty without one."""
    if source.kind == "client-ip":
        return client[0] if client else None
    return _READERS[source.kind](source.name, headers)


def overridden(overrides: Overrides, headers: HeaderFields) -> Backend | None:
    """Return the backend named by `NAME: native; key=SECRET` if the secret is right; compares in constant time."""
    secret = overrides.secret.get_secret_value().encode()
    value = _header(headers, overrides.header.encode())
    if not secret or value is None:
        return None
    wanted, _, given = value.partition(b";")
    name, _, given = given.strip().partition(b"=")
    if name.strip().lower() != b"key" or not hmac.compare_digest(given.strip(), secret):
        return None
    return _BACKENDS.get(wanted.strip().lower())


def _pinned(route: Route | None, config: Config) -> tuple[Backend, Reason] | None:
    """Return the backend that the configuration alone selects, and the reason; None if the request matters."""
    if config.native is None:
        return "legacy", "no-native"
    if config.pin is not None:
        return config.pin, "pin-all"
    return (route.pin, "pin") if route is not None and route.pin is not None else None


def _chosen(route: Route | None, config: Config, headers: HeaderFields) -> tuple[Backend, Reason] | None:
    """Return the backend selected by a rule that precedes the share, and the reason; None if the share decides."""
    pinned = _pinned(route, config)
    if pinned is not None:
        return pinned
    backend = overridden(config.overrides, headers) if config.overrides is not None else None
    return (backend, "override") if backend is not None else None


def _targeted(
    route: Route, headers: HeaderFields, client: Client, limit: Limit, tokens: ClaimsReader | None
) -> tuple[Backend, Reason] | None:
    """Return the backend of a caller in the route's targets; None if the share decides.

    Includes have no effect if a cap, or a rollout that has not started, leaves native no share.
    """
    target = match_target(route.native_traffic, headers, client, tokens)
    if target is None:
        return None
    if target.rule == "exclude":
        return "legacy", "exclude"
    return ("native", "include") if limit.cap and limit.stage else None


def _certain_share(route: Route, limit: Limit) -> Decision | None:
    """Return the decision for a share of nothing or everything, which needs no bucket; None for any other."""
    meant = min(route.native, limit.stage)
    share = min(meant, limit.cap)
    if not _CERTAIN.issuperset((share, meant, route.shadow.share)):
        return None
    return _certain_decision("native" if share else "legacy", "share" if share == meant else "cap")


def _by_share(
    route: Route, bucketing: Bucketing, headers: HeaderFields, client: Client, limit: Limit, key: str | None
) -> Decision:
    shared = _certain_share(route, limit) if key is None else None
    if shared is not None:
        return shared
    meant = min(route.native, limit.stage)
    share = min(meant, limit.cap)
    certain: Reason = "share" if share == meant else "cap"
    key = key or caller_key(bucketing, headers, client)
    if key is None:
        return Decision("native" if share == FULL else "legacy", certain if share in _CERTAIN else "no-key")
    bucket_number = bucket(bucketing.salt, route.domain, key)
    if bucket_number < share:
        return Decision("native", "share", bucket_number)
    return Decision("legacy", "cap" if bucket_number < meant else "share", bucket_number)


def _header(headers: HeaderFields, name: bytes) -> bytes | None:
    for given, value in headers:
        if given == name:
            return value
    return None


def _header_key(name: str, headers: HeaderFields) -> str | None:
    value = _header(headers, name.encode())
    return value.strip().decode("latin-1") if value is not None else None


def _claim_key(claim: str, headers: HeaderFields) -> str | None:
    """Return a claim of the bearer token. It is not verified: a forged token only changes its sender's own bucket.

    The token is the second part of the header, split at single spaces, as in the legacy.
    """
    header = _header(headers, b"authorization")
    if header is None or len(header) > MAX_TOKEN:
        return None
    words = header.split(b" ", 2)
    parts = words[1].split(b".") if len(words) > 1 else ()
    return _claim(parts[1], claim) if len(parts) == 3 else None


def _claim(payload: bytes, claim: str) -> str | None:
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=="))
    except (ValueError, binascii.Error, RecursionError):
        return None
    value = claims.get(claim) if isinstance(claims, dict) else None
    return str(value) if isinstance(value, str) or type(value) is int else None


_CERTAIN: Final = frozenset({0, FULL})
_BACKENDS: Final[dict[bytes, Backend]] = {b"legacy": "legacy", b"native": "native"}
_READERS: Final[dict[str, Callable[[str, HeaderFields], str | None]]] = {
    "header": _header_key,
    "cookie": lambda name, headers: cookie_value(headers, name),
    "jwt": _claim_key,
}
