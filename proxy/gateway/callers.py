"""Identify the caller of a request by trustworthy data: a claim of a verified token, or else the address. Pure.

Statistics by caller use it, so that forged tokens, headers or cookies do not count as further callers. An identity is
a number that differs between processes and cannot be reversed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from proxy.config.key_sources import KeySource
from proxy.gateway.tokens import TokenVerifier
from proxy.types import HeaderFields


class CallerIdentity:
    """Identifies callers by the first claim among `sources` that a verified token has, or else by their address."""

    def __init__(self, tokens: TokenVerifier | None, sources: Iterable[KeySource]) -> None:
        self._tokens: Final = tokens
        self._claims: Final = tuple(source.name for source in sources if source.kind == "jwt")

    def identify(self, headers: HeaderFields, address: str | None) -> int | None:
        """Return a number for the caller of a request; None if it has neither a verified claim nor an address.

        `address` is the client's IPv4 address, or the /64 of its IPv6 address.
        """
        claims = self._tokens.claims(headers) if self._tokens is not None and self._claims else None
        if claims is not None:
            for claim in self._claims:
                value = claims.get(claim)
                if isinstance(value, str | int):
                    return _digest(f"{claim}={value}")
        return _digest(address) if address else None


_KEY: Final = secrets.token_bytes(16)


def _digest(text: str) -> int:
    """Return a number of 63 bits, with a random part so that callers cannot choose colliding texts."""
    return hash((_KEY, text)) & (1 << 63) - 1
