"""Connecting to legacy: which of a name's addresses, over TLS, over a Unix socket, and the cause of each fault."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.ports import free_port
from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.dial import Address, Dialer, cause_of, interleaved, open_socket
from proxy.backends.legacy.endpoint import Endpoint
from proxy.gateway.errors import ConnectTimeout, NotConnected, Unreachable
from tests.support.event_loop import advance
from tests.support.sockets import scripted, unaccepting
from tests.support.waiting import PROMPT_TIMEOUT, until

V4, V6 = socket.AF_INET, socket.AF_INET6


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@contextlib.contextmanager
def blackhole() -> Iterator[tuple[int, Address]]:
    """Yield an address that never answers."""
    with unaccepting() as port:
        yield V4, ("127.0.0.1", port)


def refusing(family: socket.AddressFamily = V4) -> tuple[int, Address]:
    """Return an address at which nothing listens, which a machine without IPv6 has for that family too."""
    return family, ("::1" if family == V6 else "127.0.0.1", free_port())


async def connected(addresses: list[tuple[int, Address]], delay: float = 0.25) -> Address:
    async with asyncio.timeout(PROMPT_TIMEOUT):
        sock = await open_socket(addresses, delay)
    with sock:
        return sock.getpeername()  # type: ignore[no-any-return]


async def test_refused_addresses_are_skipped_at_once() -> None:
    async with scripted(silent) as port:
        alive = (V4, ("127.0.0.1", port))
        assert await connected([refusing(V6), refusing(), alive], delay=60) == alive[1]


async def test_blackholed_address_is_skipped_after_the_delay() -> None:
    async with scripted(silent) as port:
        alive = (V4, ("127.0.0.1", port))
        with blackhole() as first, blackhole() as second:
            assert await connected([first, second, alive]) == alive[1]


async def test_slow_address_may_still_win() -> None:
    async with scripted(silent) as port:
        with blackhole() as hole:
            assert await connected([(V4, ("127.0.0.1", port)), hole]) == ("127.0.0.1", port)


async def test_first_fault_is_raised() -> None:
    with pytest.raises(ConnectionRefusedError):
        await open_socket([refusing(), refusing(V6)])


@pytest.mark.parametrize("losers", [1, 3])
async def test_losing_attempts_close_their_descriptors(losers: int) -> None:
    async with scripted(silent) as port:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            with contextlib.ExitStack() as stack:
                holes = [stack.enter_context(blackhole()) for _ in range(losers)]
                await connected([*holes, (V4, ("127.0.0.1", port))], delay=0.01)
        await until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before + 1)


async def test_cancelled_race_closes_its_descriptors() -> None:
    with blackhole() as first, blackhole() as second:
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await open_socket([first, second], 0.01)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_address_families_alternate() -> None:
    four, six = [(V4, (str(n),)) for n in range(3)], [(V6, (str(n),)) for n in range(2)]
    assert interleaved([*six, *four]) == [six[0], four[0], six[1], four[1], four[2]]
    assert interleaved([*four, *six]) == [four[0], six[0], four[1], six[1], four[2]]
    assert interleaved([]) == []


async def test_name_whose_first_address_is_dead_is_reached() -> None:
    async with scripted(silent) as port:

        async def resolve(_: Endpoint) -> list[tuple[int, Address]]:
            return [(V6, ("::1", port)), (V4, ("127.0.0.1", port))]

        dialer = Dialer(Endpoint.parse(f"http://legacy.test:{port}"), resolve)
        connection = await dialer.dial(lambda: Connection(asyncio.get_running_loop()), PROMPT_TIMEOUT)
        connection.close()


class ClosedAtOnce(Connection):
    """A connection that legacy closes while it opens."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.eof_received()


async def test_connection_that_ends_before_a_request_is_none() -> None:
    async with scripted(silent) as port:
        dialer = Dialer(Endpoint.parse(f"http://127.0.0.1:{port}"))
        with pytest.raises(Unreachable) as raised:
            await dialer.dial(lambda: ClosedAtOnce(asyncio.get_running_loop()), PROMPT_TIMEOUT)
    assert raised.value.cause == "reset"


async def fault_of(url: str, timeout: float = PROMPT_TIMEOUT, **endpoint: object) -> NotConnected:
    dialer = Dialer(Endpoint.parse(url, **endpoint))  # type: ignore[arg-type]
    with pytest.raises(NotConnected) as raised:
        await dialer.dial(lambda: Connection(asyncio.get_running_loop()), timeout)
    return raised.value


async def test_causes_are_named() -> None:
    assert (await fault_of(f"http://127.0.0.1:{refusing()[1][1]}")).cause == "refused"
    assert (await fault_of("http://legacy.invalid")).cause == "name_not_found"
    assert (await fault_of("unix:/nowhere/legacy.sock")).cause == "no_socket"
    with blackhole() as (_, address):
        fault = await fault_of(f"http://127.0.0.1:{address[1]}", 0.1)
    assert (type(fault), fault.cause) == (ConnectTimeout, "timeout")


async def test_timeout_starts_again_after_a_stop_of_the_process_once() -> None:
    with blackhole() as (_, address):
        dialer = Dialer(Endpoint.parse(f"http://127.0.0.1:{address[1]}"))
        dialing = asyncio.create_task(dialer.dial(lambda: Connection(asyncio.get_running_loop()), PROMPT_TIMEOUT))
        await advance(100 * PROMPT_TIMEOUT)
        assert not dialing.done()
        await advance(100 * PROMPT_TIMEOUT)
        with pytest.raises(ConnectTimeout):
            await dialing


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (socket.gaierror(-2, "x"), "name_not_found"),
        (ssl.SSLCertVerificationError("x"), "certificate"),
        (ssl.SSLError("x"), "tls"),
        (ConnectionRefusedError(), "refused"),
        (ConnectionResetError(), "reset"),
        (OSError(101, "x"), "unreachable"),
    ],
)
def test_cause_is_a_stable_name(error: OSError, cause: str) -> None:
    assert cause_of(error) == cause


async def test_repeated_cause_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    dialer = Dialer(Endpoint.parse(f"http://127.0.0.1:{refusing()[1][1]}"))
    for _ in range(5):
        with pytest.raises(Unreachable):
            await dialer.dial(lambda: Connection(asyncio.get_running_loop()), PROMPT_TIMEOUT)
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == ["cannot connect to legacy: refused"]
