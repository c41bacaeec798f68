"""Entity tags and freshness: when the legacy answers 304.

Every body from express carries a weak tag of its bytes (etag 1), and a GET or HEAD with the same tag is answered 304
(fresh 2). No answer carries `Last-Modified`, so `If-Modified-Since` alone never matches.
"""

import re
from base64 import b64encode
from hashlib import sha1
from typing import Final

_NO_CACHE: Final = re.compile(r"(?:^|,)[\t\n\v\f\r \xa0]*no-cache[\t\n\v\f\r \xa0]*(?:,|\Z)")
_EMPTY: Final = 'W/"0-2jmj7l5rSw0yVb/vlWAYkK/YBwk"'


def weak_tag(body: bytes) -> str:
    """Return `W/"<hex length>-<27 characters of base64 SHA-1>"`."""
    return tag_of(len(body), sha1(body, usedforsecurity=False).digest()) if body else _EMPTY


def tag_of(length: int, digest: bytes) -> str:
    """Return the weak tag for a body's length and SHA-1 digest."""
    return f'W/"{length:x}-{b64encode(digest)[:27].decode()}"'


def is_fresh(tag: str, none_match: str | None, cache_control: str | None) -> bool:
    """Return whether `If-None-Match` (weak comparison, lists, `*`) names the tag, without `no-cache`."""
    if not none_match or (cache_control and _NO_CACHE.search(cache_control)):
        return False
    if none_match == "*":
        return True
    return any(_names(known.strip(" "), tag) for known in none_match.split(","))


def _names(known: str, tag: str) -> bool:
    return known == tag or known == "W/" + tag or "W/" + known == tag
