"""One conformance case: the bytes of both sides, and the outcome that the standard requires. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PLACEHOLDER: Final = b"~"
"""Placeholder for the delivery's token in the bytes of a case, so that no two deliveries send the same bytes."""
GET: Final = b"GET /~ HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED: Final = b"GET /smuggled-~ HTTP/1.1\r\nHost: a\r\n\r\n"
"""A request that a faulty reader sees inside a body. Its target may reach the upstream only if `reaches` names it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A client's bytes, an upstream's answer, and the right outcome.

    `sent`: the client's bytes.
    `reaches`: the requests that the upstream reads, as `METHOD target[ body]`.
    `returns`: the statuses of the answers that the client reads, in order.
    `answer`: the bytes that the upstream plays to the first request; None for an echo of each request.
    `closes`: the upstream closes after `answer`.
    `early`: the upstream answers at the end of the head, before the body.
    `body`: the body that the client reads from `answer`; None to leave it open.
    `broken`: the answer is incomplete: for the client, the connection ends within it.
    `endless`: the answer ends only with the connection, so that nothing can follow it.
    `or_refused`: the standard also lets a gateway refuse the request (400, 501), or the answer (502).
    `or_reaches`: other requests that may reach the upstream in the place of `reaches`.
    `is_open`: any outcome is right in which all parties stay in step.
    `half_closes`: the client ends its direction after `sent`; `leaves`: it closes the connection.
    `unfinished`: `sent` ends within a request, so that nothing can follow on the connection.
    `carries`, `drops`: lower-case header lines (or beginnings) that the forwarded head has, and has not.
    `shows`, `hides`: the same for the answer's head.
    `known`: a known fault of the gateway that is not fixed yet. The outcome must be wrong until it is removed.
    """

    name: str
    section: str
    sent: bytes = GET
    reaches: tuple[bytes, ...] = (b"GET /~",)
    returns: tuple[int, ...] = (200,)
    answer: bytes | None = None
    closes: bool = False
    early: bool = False
    body: bytes | None = None
    broken: bool = False
    endless: bool = False
    or_refused: bool = False
    or_reaches: tuple[bytes, ...] = ()
    is_open: bool = False
    half_closes: bool = False
    leaves: bool = False
    unfinished: bool = False
    carries: tuple[bytes, ...] = ()
    drops: tuple[bytes, ...] = ()
    shows: tuple[bytes, ...] = ()
    hides: tuple[bytes, ...] = ()
    known: bool = False
    family: str = ""

    def __post_init__(self) -> None:
        assert PLACEHOLDER in self.sent, self.name

    @property
    def waits(self) -> bool:
        """True if the outcome comes only at a timeout of the proxy."""
        stops = self.unfinished and not (self.half_closes or self.leaves or self.early)
        return stops or (self.broken and not self.closes)

    @property
    def methods(self) -> tuple[bytes, ...]:
        """The method of each request, as far as the answers' framing depends on it."""
        return tuple(request.split(b" ")[0] for request in self.reaches)


def personal(data: bytes, token: bytes) -> bytes:
    """Return the bytes of a case as one delivery sends them."""
    return data.replace(PLACEHOLDER, token)


def request(*lines: str, start: str = "GET /~ HTTP/1.1", host: str | None = "a", body: bytes = b"") -> bytes:
    """Return a request of `start`, `Host` and further header `lines`."""
    named = [f"Host: {host}"] if host is not None else []
    return "\r\n".join([start, *named, *lines, "", ""]).encode("latin-1") + body


def post(*lines: str, body: bytes = b"", target: str = "/~") -> bytes:
    """Return a POST with header `lines` and a `body` that only they frame."""
    return request(*lines, start=f"POST {target} HTTP/1.1", body=body)


def answered(*lines: str, start: str = "HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    """Return an answer of header `lines` and a `body` that only they frame."""
    return "\r\n".join([start, *lines, "", ""]).encode("latin-1") + body


def refused(name: str, section: str, sent: bytes, status: int = 400, **more: object) -> Case:
    """Return the case of a request that is answered with `status`, and of which nothing reaches the upstream."""
    return Case(name, section, sent, reaches=(), returns=(status,), **more)  # type: ignore[arg-type]
