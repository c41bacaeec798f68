"""Connect to legacy: name resolution, Happy Eyeballs, TLS, Unix sockets, and the cause of each fault.

uvloop tries the addresses of a name one after the other, each until it times out, and ignores `happy_eyeballs_delay`.
This module therefore implements the race between addresses (RFC 8305).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeVar

from common.late_timeout import LateTimeout
from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.endpoint import Endpoint, TlsSettings
from proxy.gateway.errors import ConnectTimeout, Unreachable

logger = logging.getLogger("scribe_proxy.upstream")

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried in addition to one that does not answer (RFC 8305 §5)."""
LOG_INTERVAL = 10.0
"""Seconds between two log lines about the same cause."""

Address = tuple[Any, ...]
Resolve = Callable[[Endpoint], Awaitable[Sequence[tuple[int, Address]]]]
"""Returns (family, address) pairs of an endpoint's host, in the order in which they are tried."""
ConnectionT = TypeVar("ConnectionT", bound=Connection)


async def resolve(endpoint: Endpoint) -> Sequence[tuple[int, Address]]:
    """Return (family, address) pairs of a host's name, the families interleaved (RFC 8305 §4). Raises OSError."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return interleaved([(family, address) for family, _, _, _, address in addresses])


class Dialer:
    """Opens connections to one endpoint. Raises OSError or ssl.SSLError if a file of `endpoint.tls` is unusable."""

    def __init__(self, endpoint: Endpoint, resolve: Resolve = resolve) -> None:
        self.endpoint = endpoint
        self._resolve = resolve
        self._tls = tls_context(endpoint.tls) if endpoint.secure else None
        self._server_name = (endpoint.tls.server_name or endpoint.host) if endpoint.secure else None
        self._logged: dict[str, float] = {}

    async def dial(self, factory: Callable[[], ConnectionT], timeout: float) -> ConnectionT:
        """Connect within `timeout` seconds, TLS included. Raises `ConnectTimeout` or `Unreachable`, with the cause.

        A connection that ends before it is returned counts as none, because nothing was sent on it. The timeout starts
        again if this process was stopped or starved when it ended.
        """
        try:
            async with LateTimeout(timeout):
                connection = await self._connect(factory)
            if connection.closed:
                connection.close()
                raise ConnectionResetError("the connection was closed as soon as it was open")
        except TimeoutError as error:
            self._log("timeout", error)
            raise ConnectTimeout from None
        except OSError as error:
            cause = cause_of(error)
            self._log(cause, error)
            raise Unreachable(cause) from error
        return connection

    async def _connect(self, factory: Callable[[], ConnectionT]) -> ConnectionT:
        loop = asyncio.get_running_loop()
        if self.endpoint.unix:
            _, protocol = await loop.create_unix_connection(factory, self.endpoint.unix)
            return protocol
        sock = await open_socket(await self._resolve(self.endpoint))
        try:
            _, protocol = await loop.create_connection(
                factory, sock=sock, ssl=self._tls, server_hostname=self._server_name
            )
        except BaseException:
            sock.close()
            raise
        return protocol

    def _log(self, cause: str, error: BaseException) -> None:
        """Log a cause, at most once in `LOG_INTERVAL`, because every request to an unreachable legacy fails."""
        now = time.monotonic()
        if now - self._logged.get(cause, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._logged[cause] = now
            logger.warning("cannot connect to legacy: %s (%s)", cause, error or type(error).__name__)


def interleaved(addresses: Sequence[tuple[int, Address]]) -> list[tuple[int, Address]]:
    """Return the addresses with alternating families, the first one's first; within a family, the order stays."""
    preferred = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    return [each for each in chain.from_iterable(zip_longest(preferred, others)) if each is not None]


async def open_socket(addresses: Sequence[tuple[int, Address]], delay: float = ATTEMPT_DELAY) -> socket.socket:
    """Return a socket connected to the first of `addresses` that accepts.

    The next one is tried as soon as the previous one has failed, or `delay` seconds after it. Raises the first one's
    OSError.
    """
    if len(addresses) == 1:
        return await _attempt(*addresses[0])
    attempts: list[asyncio.Task[socket.socket]] = []
    try:
        winner = await _race(addresses, attempts, delay)
    except BaseException:
        await _close(attempts)
        raise
    await _close([attempt for attempt in attempts if attempt is not winner])
    return winner.result()


async def _race(
    addresses: Sequence[tuple[int, Address]], attempts: list[asyncio.Task[socket.socket]], delay: float
) -> asyncio.Task[socket.socket]:
    """Return the first attempt that succeeds; `attempts` are those already started."""
    waiting = list(addresses)
    while waiting or any(not attempt.done() for attempt in attempts):
        if waiting:
            attempts.append(_start(_attempt(*waiting.pop(0))))
        running = [attempt for attempt in attempts if not attempt.done()]
        done, _ = await asyncio.wait(running, timeout=delay if waiting else None, return_when=asyncio.FIRST_COMPLETED)
        for attempt in done:
            if attempt.exception() is None:
                return attempt
    attempts[0].result()
    raise AssertionError("every attempt has failed")


def _start(attempt: Coroutine[Any, Any, socket.socket]) -> asyncio.Task[socket.socket]:
    return asyncio.get_running_loop().create_task(attempt)


async def _close(attempts: Sequence[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


async def _attempt(family: int, address: Address) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def cause_of(error: OSError) -> str:
    """Return the stable name of a connection fault, for logs and metrics."""
    if isinstance(error, socket.gaierror):
        return "name_not_found"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionError):
        return "reset"
    if isinstance(error, FileNotFoundError):
        return "no_socket"
    return "unreachable"


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return a client's context. Raises OSError or ssl.SSLError if a file cannot be read or is no certificate."""
    context = ssl.create_default_context(cafile=settings.ca)
    if settings.client_cert is not None:
        context.load_cert_chain(settings.client_cert, settings.client_key, password="")
    return context
