"""Verify tokens that both backends sign: JSON Web Tokens with a shared secret (RFC 7519, RFC 7515). Pure.

The token is the second part of `Authorization`, split at single spaces, as in the legacy. HS256, HS384 and HS512 are
accepted. The validity of a signature never changes, so verified tokens are cached; their times are checked on every
request.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final, Protocol

from proxy.types import HeaderFields

Claims = Mapping[str, Any]

MAX_TOKEN: Final = 16_384
"""Maximum size of `Authorization` in bytes; longer ones are ignored."""
CACHE_SIZE: Final = 4096
"""Maximum number of cached tokens."""
_NUMBERS: Final = (int, float)
_HASHES: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


class ClaimsReader(Protocol):
    """Reads the claims that a request may be trusted to have."""

    def claims(self, headers: HeaderFields) -> Claims | None:
        """Return the claims of a request; None if it has none that are trusted."""


class TokenVerifier:
    """Verifier of tokens with one secret."""

    def __init__(self, secret: str, now: Callable[[], float] = time.time) -> None:
        self._now: Final = now
        self._verify: Final = lru_cache(CACHE_SIZE)(partial(_signed_claims, secret.encode()))

    def claims(self, headers: HeaderFields) -> Claims | None:
        """Return the claims of a request's token; None without a token that is signed and valid now."""
        token = bearer(headers)
        if token is None:
            return None
        try:
            claims = self._verify(token)
        except _InvalidToken:
            return None
        return claims if _is_current(claims, self._now()) else None


class _InvalidToken(Exception):
    """A token that is not signed with the secret. An exception, because the cache must hold no results for these."""


def _signed_claims(secret: bytes, token: bytes) -> Claims:
    """Return the claims of a token in three parts, whatever its times are; raises `_InvalidToken`."""
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    head, claims = _object(header), _object(payload)
    algorithm = _HASHES.get(str(head.get("alg"))) if head is not None else None
    if algorithm is None or claims is None:
        raise _InvalidToken
    expected = base64.urlsafe_b64encode(hmac.digest(secret, signed, algorithm)).rstrip(b"=")
    if not hmac.compare_digest(signature, expected):
        raise _InvalidToken
    return claims


def bearer(headers: HeaderFields) -> bytes | None:
    """Return a request's token as sent; None if there is none in three parts."""
    for name, value in headers:
        if name == b"authorization":
            words = value.split(b" ", 2) if len(value) <= MAX_TOKEN else ()
            return words[1] if len(words) > 1 and words[1].count(b".") == 2 else None
    return None


def _object(part: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + b"=="))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_current(claims: Claims, now: float) -> bool:
    """Return True within the token's times (RFC 7519 §4.1.4, §4.1.5); a time that is not a number counts as past."""
    expires, begins = claims.get("exp", now + 1), claims.get("nbf", now)
    return type(expires) in _NUMBERS and type(begins) in _NUMBERS and begins <= now < expires
