"""All cases in every delivery, direct and through the gateway, and the counts of what is equal."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import uvloop

from tests.conformance.websocket.case import Case, ServerCase
from tests.conformance.websocket.client_cases import client_cases
from tests.conformance.websocket.echo import echo_server, gateway_before, native_echo
from tests.conformance.websocket.play import DELIVERIES, Delivery, Observation, play, play_server
from tests.conformance.websocket.server_cases import server_cases
from tests.support.sockets import serving


def plays_natively(case: Case) -> bool:
    """Return whether a case asks for nothing that is the app's to decide: no limits, extensions or subprotocols."""
    return case.server == "/plain" and not case.headers and not case.id.startswith("14.")


CONCURRENCY = 8
"""Cases that are played at once."""
DeliveriesOf = Callable[[Case | ServerCase], Iterable[Delivery]]
"""The ways in which a case is delivered."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case in one delivery, as both ends observed it with and without the gateway."""

    case: Case | ServerCase
    delivery: Delivery
    direct: Observation
    gateway: Observation
    native: bool = False
    """The gateway's own server answers, with a native app, in place of the legacy."""

    @property
    def is_equal(self) -> bool:
        """Return True if neither end can detect the gateway."""
        return self.direct == self.gateway and self.direct.ending != "timeout"


def all_deliveries(_: Case | ServerCase) -> Iterable[Delivery]:
    """Return every way in which a case is delivered."""
    return DELIVERIES


async def compare_all(deliveries_of: DeliveriesOf) -> list[Comparison]:
    """Return a comparison for each case and delivery, and one with the native app for each case that it can play."""
    slots = asyncio.Semaphore(CONCURRENCY)
    async with echo_server() as echo, gateway_before(echo.port) as gateway, serving(native_echo) as native:

        async def compare_client(case: Case, delivery: Delivery) -> list[Comparison]:
            async with slots:
                direct = await play(case, echo.port, echo, delivery)
                compared = [Comparison(case, delivery, direct, await play(case, gateway, echo, delivery))]
                if plays_natively(case):
                    through = (await play(case, native, None, delivery)).without_order()
                    compared.append(Comparison(case, delivery, direct.without_order(), through, native=True))
                return compared

        async def compare_server(case: ServerCase, delivery: Delivery) -> list[Comparison]:
            async with slots:
                direct = await play_server(case, None, delivery)
                return [Comparison(case, delivery, direct, await play_server(case, gateway_before, delivery))]

        plays = [compare_client(case, delivery) for case in client_cases() for delivery in deliveries_of(case)]
        plays += [compare_server(case, delivery) for case in server_cases() for delivery in deliveries_of(case)]
        return list(itertools.chain.from_iterable(await asyncio.gather(*plays)))


def run_all(deliveries_of: DeliveriesOf = all_deliveries) -> list[Comparison]:
    """Return all comparisons, made on the gateway's own kind of event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(compare_all(deliveries_of))


def count(comparisons: Iterable[Comparison]) -> dict[str, int]:
    """Return the counts for docs/conformance.md."""
    comparisons = list(comparisons)
    forwarded = [each for each in comparisons if not each.native]
    native = [each for each in comparisons if each.native]
    return {
        "cases a client plays to Node's ws": _number(each for each in forwarded if isinstance(each.case, Case)),
        "cases a server plays to a client": _number(each for each in forwarded if isinstance(each.case, ServerCase)),
        "plays, whole, by the part and by the byte, each direct and through the gateway": len(forwarded),
        "cases in which an end observes a difference": _number(each for each in forwarded if not each.is_equal),
        "cases a client plays to a native app and to Node's ws": _number(native),
        "cases in which the client observes a difference": _number(each for each in native if not each.is_equal),
    }


def _number(comparisons: Iterable[Comparison]) -> int:
    return len({each.case.id for each in comparisons})


def summary() -> dict[str, int]:
    """Play all cases and return the counts."""
    return count(run_all())
