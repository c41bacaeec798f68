"""Refuse requests for host names that are not the ops listener's own. Pure.

A page of another site can give its own name this machine's address (DNS rebinding) and then read what it fetches from
here, as far as a browser may without a token. It cannot choose the `Host` that the browser sends: its own name. An
address is never such a name, and `localhost` is resolved by browsers themselves.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from proxy.gateway.client_address import read_address

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::\d{1,5})?", re.ASCII)


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Return whether a `Host` header is an address, `localhost`, or one of the names (in lower case)."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    if found[1] is not None:
        return read_address(found[1]) is not None
    name = found[2].lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or name in names or read_address(name) is not None
