"""JSON Web Tokens as values. They are not verified: a comparison reads their claims and never trusts them. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from proxy.types import JSON

_TIMES: Final = ("iat", "exp", "nbf")


class Token(NamedTuple):
    """The decoded header and claims of a token, without its signature."""

    header: JSON
    claims: JSON

    @property
    def issued(self) -> int | None:
        """The time of issue in seconds since the epoch, None if the claims have none."""
        issued = self.claims.get("iat") if isinstance(self.claims, dict) else None
        return issued if isinstance(issued, int) and not isinstance(issued, bool) else None

    @property
    def is_reproducible(self) -> bool:
        """True if the same header and claims have one signature only: HMAC and RSA with PKCS #1 (RFC 7518 §3)."""
        algorithm = self.header.get("alg") if isinstance(self.header, dict) else None
        return isinstance(algorithm, str) and algorithm.startswith(("HS", "RS"))

    def relative_claims(self) -> JSON:
        """Return the claims with their times in seconds after `iat`."""
        issued = self.issued
        if issued is None or not isinstance(self.claims, dict):
            return self.claims
        return {name: _relative(name, value, issued) for name, value in self.claims.items()}


def decode_token(token: str) -> Token | None:
    """Return a token's header and claims, None if the text is not a JSON Web Token."""
    try:
        header, claims = (json.loads(_unpadded(part)) for part in token.split(".")[:2])
    except (ValueError, RecursionError):
        return None
    return Token(header, claims)


def flatten(value: JSON, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], JSON]]:
    """Yield every scalar and every empty container of a value with its path."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from flatten(item, (*path, name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from flatten(item, (*path, str(index)))
    else:
        yield path, value


def _unpadded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _relative(name: str, value: JSON, issued: int) -> JSON:
    return value - issued if name in _TIMES and isinstance(value, int | float) else value
