"""The sticky cookie: a random id that keeps a caller on its backend over a login (`bucketing.cookie`).

The answer to a request without the cookie sets it. Such a request is decided by the caller's other keys, because a
client without cookies would otherwise change backends with each request. The id is chosen so that its bucket for the
route selects the same backend.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable
from typing import Final

from proxy.config.models import StickyCookie

MAX_DRAWS: Final = 4096
"""Maximum number of ids to try. At a share of 0.1%, 98% of native's callers get an id that selects native."""

Header = tuple[bytes, bytes]


def draw_id(suits: Callable[[str], bool]) -> str:
    """Return a random id of at least 128 bits that suits, or any id if none of `MAX_DRAWS` does."""
    prefix = secrets.token_urlsafe(16)
    ids = (f"{prefix}{number:x}" for number in itertools.count())
    return next((drawn for drawn in itertools.islice(ids, MAX_DRAWS) if suits(drawn)), prefix)


def set_cookie(cookie: StickyCookie, value: str, *, secure: bool) -> bytes:
    """Return the value of a `Set-Cookie` header (RFC 6265 §4.1)."""
    text = f"{cookie.name}={value}; Max-Age={int(cookie.max_age)}; Path=/; HttpOnly; SameSite=Lax"
    return (f"{text}; Secure" if secure else text).encode()


def is_private(status: int, headers: Iterable[Header]) -> bool:
    """Return True if an answer may set the cookie: caches must not give it to others (RFC 9111 §3.5, §5.2.2)."""
    directives = b",".join(value for name, value in headers if name == b"cache-control").lower()
    shared = {directive.partition(b"=")[0].strip() for directive in directives.split(b",")}
    return status != 304 and shared.isdisjoint((b"public", b"s-maxage"))
