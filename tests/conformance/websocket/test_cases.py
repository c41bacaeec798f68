"""Every case, direct and through the gateway, and if it needs no special server, before a native app."""

from __future__ import annotations

from collections import Counter
from zlib import crc32

import pytest

from tests.conformance.websocket.case import Case, ServerCase
from tests.conformance.websocket.client_cases import client_cases
from tests.conformance.websocket.play import Delivery
from tests.conformance.websocket.server_cases import server_cases
from tests.conformance.websocket.summary import Comparison, plays_natively, run_all
from tests.support.profile import IS_QUICK

DELIVERIES: tuple[Delivery, ...] = ("whole", "bytes")


def deliveries_of(case: Case | ServerCase) -> tuple[Delivery, ...]:
    """Return how a case is delivered: in each way, or in a quick run in one, which is another for each case."""
    return (DELIVERIES[crc32(case.id.encode()) % len(DELIVERIES)],) if IS_QUICK else DELIVERIES


@pytest.fixture(scope="module")
def comparisons() -> list[Comparison]:
    return run_all(deliveries_of)


def assert_equal(comparisons: list[Comparison], cases: list[Case] | list[ServerCase], *, native: bool = False) -> None:
    """Raise unless each of the cases was compared, with equal observations."""
    ids = {case.id for case in cases}
    own = [each for each in comparisons if each.case.id in ids and each.native is native]
    assert {each.case.id for each in own} == ids
    unequal = [each for each in own if not each.is_equal]
    assert not unequal, "\n".join(map(str, unequal))


@pytest.mark.slow
def test_client_messages_are_equal_with_and_without_gateway(comparisons: list[Comparison]) -> None:
    assert_equal(comparisons, client_cases())


@pytest.mark.slow
def test_client_observes_node_of_a_native_app(comparisons: list[Comparison]) -> None:
    assert_equal(comparisons, [case for case in client_cases() if plays_natively(case)], native=True)


@pytest.mark.slow
def test_server_messages_are_equal_with_and_without_gateway(comparisons: list[Comparison]) -> None:
    assert_equal(comparisons, server_cases())


def test_ids_are_unique() -> None:
    counted = Counter([case.id for case in client_cases()] + [case.id for case in server_cases()])
    assert [name for name, number in counted.items() if number > 1] == []
