"""Refuse requests for host names that are not the ops listener's own. Pure.

Another site can resolve its own host name to this machine's address (DNS rebinding). Its pages could then read the
answers of the listener that need no token. The browser sends that host name in `Host`. Addresses and `localhost`,
which browsers resolve themselves, cannot be rebound.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from proxy.gateway.client_address import read_address

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::\d{1,5})?", re.ASCII)


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Return True if a `Host` header is an address, `localhost`, or one of the names (in lower case)."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    if match[1] is not None:
        return read_address(match[1]) is not None
    name = match[2].lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or name in names or read_address(name) is not None
