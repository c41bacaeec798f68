"""Send one HTTP/1.1 or 1.0 request exactly as written, and return the outcome.

HTTP clients normalise and escape paths, add headers and retry. A recording must be played exactly, so this module
writes the request's bytes itself. Only the answer is left to a parser (h11).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import h11

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.body_digests import MAX_CONTENT
from proxy.comparison.content_encoding import OversizeError
from proxy.comparison.headers import joined
from proxy.recordings.model import RecordedRequest

_SLICE = 64 * 1024
_LINE_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """The address of a service; `prefix` precedes every target."""

    host: str
    port: int
    secure: bool = False
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """Parse an http or https URL. Raises ValueError for any other text."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http or https URL")
        secure = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if secure else 80), secure, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """Return host and port as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


async def reach(origin: Origin, timeout: float) -> None:
    """Raise OSError if no connection is accepted within `timeout` seconds."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        transport, _ = await loop.create_connection(asyncio.Protocol, origin.host, origin.port)
    transport.abort()


async def no_overtime() -> float:
    """Return no further time for an answer."""
    return 0.0


async def exchange(
    origin: Origin,
    request: RecordedRequest,
    timeout: float,
    measure_overtime: Callable[[], Awaitable[float]] = no_overtime,
) -> DecodedAnswer:
    """Send one request on a connection of its own.

    `timeout` is the time for the whole answer, in seconds. If it has passed, `measure_overtime` returns how many
    more seconds the answer gets. Raises OSError if nothing accepts the connection; any later failure is an outcome.
    """
    loop = asyncio.get_running_loop()
    tls = ssl.create_default_context() if origin.secure else None
    async with asyncio.timeout(timeout):
        transport, reception = await loop.create_connection(
            lambda: _Reception(request.method), origin.host, origin.port, ssl=tls
        )
    sending = asyncio.create_task(_send(transport, reception, serialise(origin, request)))
    try:
        await asyncio.wait([reception.answer], timeout=timeout)
        if not reception.answer.done():
            await asyncio.wait([reception.answer], timeout=await measure_overtime())
        return reception.answer.result() if reception.answer.done() else DecodedAnswer("hang")
    finally:
        sending.cancel()
        if not reception.disconnected:  # CPython 3.11 raises AttributeError for a transport that flushed and closed
            transport.abort()


def serialise(origin: Origin, request: RecordedRequest) -> bytes:
    """Return the request's bytes: its own headers in order, and the others that HTTP requires."""
    names = {name for name, _ in request.headers}
    lines = [f"{request.method} {origin.prefix}{request.target} HTTP/{request.version}".encode()]
    if "host" not in names:
        lines.append(f"host: {origin.authority}".encode())
    lines += [name.encode() + b": " + _encode(value) for name, value in request.headers]
    chunked = "transfer-encoding" in names
    if request.body is not None and not chunked and "content-length" not in names:
        lines.append(b"content-length: %d" % len(request.body))
    body = request.body or b""
    return b"\r\n".join([*lines, b"", b""]) + (_chunked(body) if chunked else body)


def _chunked(body: bytes) -> bytes:
    return (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


def _encode(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


async def _send(transport: asyncio.Transport, reception: "_Reception", data: bytes) -> None:
    """Send in slices, so that an answer before the end of the body is read before a write can fail."""
    for start in range(0, len(data), _SLICE):
        await reception.writable.wait()
        transport.write(data[start : start + _SLICE])
        await asyncio.sleep(0)


class _Reception(asyncio.Protocol):
    """The receiver of one answer to `method`."""

    def __init__(self, method: str) -> None:
        self.answer: asyncio.Future[DecodedAnswer] = asyncio.get_running_loop().create_future()
        self.writable = asyncio.Event()
        self.writable.set()
        self.disconnected = False
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LINE_LIMIT)
        parsed_as = "HEAD" if method == "HEAD" else "GET"
        self._parser.send(h11.Request(method=parsed_as, target="/", headers=[("host", "-")]))
        self._parser.send(h11.EndOfMessage())
        self._head: h11.Response | None = None
        self._body = bytearray()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.disconnected = True
        self._take(b"")
        self._finish(DecodedAnswer("reset"))

    def _take(self, data: bytes) -> None:
        if self.answer.done():
            return
        try:
            self._parser.receive_data(data)
            while not self.answer.done() and self._process(self._parser.next_event()):
                pass
        except h11.RemoteProtocolError:
            self._finish(DecodedAnswer("reset"))

    def _process(self, event: object) -> bool:
        """Process a parser's event; return False if more data must come first."""
        if isinstance(event, h11.Response):
            self._head = event
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage) and self._head is not None:
            headers = joined(tuple(self._head.headers))
            sent = DecodedAnswer("response", self._head.status_code, headers, bytes(self._body))
            self._finish(_decoded(sent))
        return isinstance(event, h11.Event)

    def _finish(self, answer: DecodedAnswer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


def _decoded(sent: DecodedAnswer) -> DecodedAnswer:
    """Return an answer with its content coding undone, or as sent if that is too large."""
    try:
        return sent.decoded(MAX_CONTENT)
    except OversizeError:
        return replace(sent, is_broken=True)
