"""Each hostile request with a neighbour's request glued to it, as a load balancer sends them on one connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.hostile.request import HostileRequest
from tests.support.sockets import exchange

NEIGHBOUR: Final = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def wrong_neighbours(port: int, requests: Iterable[HostileRequest]) -> list[str]:
    """Return the requests after which a neighbour got another answer than alone, or none on an open connection."""
    alone = _without_head(await exchange(port, NEIGHBOUR))
    wrong = []
    for request in requests:
        try:
            head, rest = _split(await exchange(port, _wire(request) + NEIGHBOUR))
        except (OSError, ValueError) as error:
            wrong.append(f"{request}: {error!r}")
            continue
        if _without_head(rest) != alone and (rest or b"connection: close" not in head.lower()):
            wrong.append(f"{request}: {head[:40]!r} {rest[:80]!r}")
    return wrong


def _wire(request: HostileRequest) -> bytes:
    headers = {"host": "a", **request.headers}
    if request.content:
        headers["content-length"] = str(len(request.content))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{request.method} {request.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + request.content


def _split(answers: bytes) -> tuple[bytes, bytes]:
    """Return the head of the first answer, and the answers after it; raises ValueError for an incomplete one."""
    head, separator, rest = answers.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    if not separator or len(rest) < length:
        raise ValueError("incomplete answer")
    return head, rest[length:]


def _without_head(answer: bytes) -> bytes:
    """Return the status line and the body of one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0] + body
