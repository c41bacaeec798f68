"""Read cookies of a request, and remove the gateway's own cookies before forwarding. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from proxy.types import HeaderFields

Header = tuple[bytes, bytes]

OPS_COOKIE: Final = "scribe_ops"
"""The session cookie of the ops pages. Cookies ignore ports: browsers also send it to the host's public port."""


def cookie_value(headers: Iterable[Header], name: str) -> str | None:
    """Return the first value of a cookie, without quotes; None if the request has none."""
    wanted = name.encode()
    for header, value in headers:
        if header == b"cookie":
            for pair in value.split(b";"):
                given, _, text = pair.strip().partition(b"=")
                if given == wanted:
                    return text.strip(b' "').decode("latin-1")
    return None


def without_cookies(headers: HeaderFields, names: Collection[bytes]) -> HeaderFields:
    """Return the headers without the named cookies; a `Cookie` header without any other cookie is removed."""
    cookies = [value for header, value in headers if header == b"cookie"]
    if not cookies or not any(name in value for value in cookies for name in names):
        return headers
    passed = []
    for header in headers:
        if header[0] == b"cookie":
            value = _without(header[1], names)
            if value:
                passed.append((b"cookie", value))
        else:
            passed.append(header)
    return passed


def _without(value: bytes, names: Collection[bytes]) -> bytes:
    """Return the value of a `Cookie` header without the named cookies, unchanged if it has none of them."""
    pairs = value.split(b";")
    passed = [pair for pair in pairs if pair.partition(b"=")[0].strip() not in names]
    return value if len(passed) == len(pairs) else b";".join(passed).strip()
