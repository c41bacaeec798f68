"""`Sec-WebSocket-Protocol` as the ws library parses it (lib/subprotocol.js). Pure."""

import re
from typing import Final

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LIST: Final = re.compile(rf"{_NAME}(?:[ \t]*,[ \t]*{_NAME})*")


class SubprotocolError(ValueError):
    """A header that is not a list of distinct names."""


def parse(header: str) -> list[str]:
    """Return the names that a client offers, in order; raises `SubprotocolError`."""
    if not _LIST.fullmatch(header):
        raise SubprotocolError(header)
    names = [name.strip(" \t") for name in header.split(",")]
    if len(set(names)) != len(names):
        raise SubprotocolError(header)
    return names
