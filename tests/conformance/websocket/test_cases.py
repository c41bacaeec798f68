"""Every case, direct and through the gateway, and if it needs no special server, before a native app."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from zlib import crc32

import pytest
import pytest_asyncio

from tests.conformance.websocket.case import Case, ServerCase
from tests.conformance.websocket.client_cases import client_cases
from tests.conformance.websocket.echo import EchoServer, echo_server, gateway_before, native_echo
from tests.conformance.websocket.play import Delivery, play, play_server
from tests.conformance.websocket.server_cases import server_cases
from tests.conformance.websocket.summary import plays_natively
from tests.support.profile import IS_QUICK
from tests.support.sockets import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELIVERIES: tuple[Delivery, ...] = ("whole", "bytes")
CLIENT_CASES, SERVER_CASES = client_cases(), server_cases()


def deliveries_of(case: Case | ServerCase) -> tuple[Delivery, ...]:
    """Return how a case is delivered: in each way, or in a quick run in one, which is another for each case."""
    return (DELIVERIES[crc32(case.id.encode()) % len(DELIVERIES)],) if IS_QUICK else DELIVERIES


def identify(case: Case | ServerCase) -> str:
    return case.id


@dataclass(frozen=True)
class Servers:
    """The echo servers, and the ports of a gateway before them and of a native app."""

    echo: EchoServer
    gateway: int
    native: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[Servers]:
    async with echo_server() as echo, gateway_before(echo.port) as gateway, serving(native_echo) as native:
        yield Servers(echo, gateway, native)


@pytest.mark.parametrize("case", CLIENT_CASES, ids=identify)
async def test_client_messages_are_equal_with_and_without_gateway(servers: Servers, case: Case) -> None:
    for delivery in deliveries_of(case):
        direct = await play(case, servers.echo.port, servers.echo, delivery)
        assert direct.ending != "timeout"
        assert await play(case, servers.gateway, servers.echo, delivery) == direct, case.title
        if plays_natively(case):  # then the client observes Node of a native app, too
            native = await play(case, servers.native, None, delivery)
            assert native.without_order() == direct.without_order(), case.title


@pytest.mark.parametrize("case", SERVER_CASES, ids=identify)
async def test_server_messages_are_equal_with_and_without_gateway(case: ServerCase) -> None:
    for delivery in deliveries_of(case):
        direct = await play_server(case, None, delivery)
        assert direct.ending != "timeout"
        assert await play_server(case, gateway_before, delivery) == direct, case.title


async def test_ids_are_unique() -> None:
    counted = Counter([case.id for case in CLIENT_CASES] + [case.id for case in SERVER_CASES])
    assert [name for name, number in counted.items() if number > 1] == []
