"""Sources of a caller's key in a request: a claim, a header, a cookie or the client's address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

KeyKind = Literal["jwt", "header", "cookie", "client-ip"]
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token of HTTP (RFC 9110 section 5.6.2): names of headers and cookies."""


_ADDRESSES: Final = frozenset({"ip", "client_ip", "clientip", "client:ip", "address", "client-address", "remote-addr"})


@dataclass(frozen=True, slots=True)
class KeySource:
    """One source; `name` is the claim, header (lower case) or cookie."""

    kind: KeyKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def read_key_source(value: object) -> KeySource:
    """Parse `jwt:CLAIM`, `header:NAME`, `cookie:NAME` or `client-ip`. Raises ValueError."""
    if isinstance(value, KeySource):
        return value
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if value == "client-ip":
        return KeySource("client-ip")
    if kind == "jwt" and name and name.isprintable():
        return KeySource("jwt", name)
    if kind == "header" and TOKEN.fullmatch(name):
        return KeySource("header", name.lower())
    if kind == "cookie" and TOKEN.fullmatch(name):
        return KeySource("cookie", name)
    hint = "; did you mean client-ip?" if isinstance(value, str) and value.lower() in _ADDRESSES else ""
    raise ValueError(f"must be jwt:CLAIM, header:NAME, cookie:NAME or client-ip{hint}")


def read_header_name(value: object) -> str:
    """Return a header's name in lower case. Raises ValueError."""
    if isinstance(value, str) and TOKEN.fullmatch(value):
        return value.lower()
    raise ValueError("must be a header's name")
