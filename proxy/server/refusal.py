"""Refusals: answers of the listener itself, before any app receives the request.

They have Node's format: a bare status line and `Connection: close`, without a body.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

HEAD_LIMIT: Final = 16 * 1024
"""Bytes at which Node refuses a request: of target, header names and values together, or of trailers."""
MAX_HEADERS: Final = 990
"""Maximum number of headers. Node ignores those after the 1,000th, where legacy receives the gateway's own."""


class RefusedRequest(Exception):
    """Raised for a request that is not served. The connection is closed after `status`."""

    def __init__(self, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        self.status = status
        super().__init__(status)


def refusal(status: HTTPStatus) -> bytes:
    """Return the bytes of a refusal."""
    return f"HTTP/1.1 {status.value} {_PHRASES.get(status, status.phrase)}\r\nConnection: close\r\n\r\n".encode()


_PHRASES: Final = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Payload Too Large"}
