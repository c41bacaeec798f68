"""CORS as in cors 2.8.5 with a list of origins, fixed methods and headers, and credentials.

These headers precede all others of every answer, and are built once per origin.
"""

from collections.abc import Sequence
from typing import Final

Headers = tuple[tuple[bytes, bytes], ...]

_POWERED: Final = (b"x-powered-by", b"Express")
_VARY: Final = (b"vary", b"Origin")
_CREDENTIALS: Final = (b"access-control-allow-credentials", b"true")

UNROUTED: Final[Headers] = (_POWERED,)
"""The first headers of the answer to a target without a path, which never reaches a middleware."""


class Cors:
    """The allowed origins, and the answer to a preflight request."""

    def __init__(self, origins: Sequence[str], methods: str, headers: str) -> None:
        self._others: Headers = (_POWERED, _VARY, _CREDENTIALS)
        self._allowed: dict[bytes, Headers] = {
            origin.encode("latin-1"): (
                _POWERED,
                (b"access-control-allow-origin", origin.encode("latin-1")),
                _VARY,
                _CREDENTIALS,
            )
            for origin in origins
            if origin
        }
        self._preflight: Headers = (
            (b"access-control-allow-methods", methods.encode("latin-1")),
            (b"access-control-allow-headers", headers.encode("latin-1")),
            (b"content-length", b"0"),
        )

    def preface(self, origin: bytes) -> Headers:
        """Return the first headers of every answer; `origin` is empty if the request has none."""
        return self._allowed.get(origin, self._others)

    def preflight(self, origin: bytes) -> Headers:
        """Return all headers of the 204 that answers every OPTIONS request."""
        return self.preface(origin) + self._preflight
