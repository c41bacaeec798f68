"""Request headers as a Node server presents them.

ASGI passes a list of pairs. Node has one value per name: the first for some names, all of them joined for others.
Values are Latin-1 without surrounding blanks (uvicorn leaves trailing ones).
"""

from collections.abc import Iterable
from typing import Final

RawHeaders = Iterable[tuple[bytes, bytes]]

_FIRST_ONLY: Final = frozenset(
    b"age authorization content-length content-type etag expires from host if-modified-since "
    b"if-unmodified-since last-modified location max-forwards proxy-authorization referer retry-after server "
    b"user-agent".split()
)


class Headers:
    """Headers by lower-case name; `None` if the client sent none."""

    __slots__ = ("raw",)

    def __init__(self, pairs: RawHeaders) -> None:
        listed = list(pairs)
        self.raw = dict(listed)
        if len(self.raw) != len(listed):
            self.raw = _join(listed)

    def get(self, name: str) -> str | None:
        """Return a header's value as in `IncomingMessage.headers`."""
        value = self.raw.get(name.encode("latin-1"))
        return None if value is None else value.strip(b" \t").decode("latin-1")


def _join(pairs: RawHeaders) -> dict[bytes, bytes]:
    joined: dict[bytes, bytes] = {}
    for name, value in pairs:
        value = value.strip(b" \t")
        if name not in joined:
            joined[name] = value
        elif name not in _FIRST_ONLY:
            joined[name] += (b"; " if name == b"cookie" else b", ") + value
    return joined
