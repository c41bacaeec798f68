"""Clients take turns, and a client's items keep their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.rotation import Rotation


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_clients_alternate_and_items_keep_their_order(clients: list[str]) -> None:
    rotation = Rotation[tuple[str, int]]()
    for number, client in enumerate(clients):
        rotation.add(client, (client, number))
    assert len(rotation) == len(set(clients))
    taken = []
    while rotation:
        waiting = len(rotation)
        round_of = [rotation.take() for _ in range(waiting)]
        assert len({client for client, _ in round_of}) == waiting
        taken += round_of
    assert sorted(taken, key=lambda item: item[1]) == list(zip(clients, range(len(clients)), strict=True))
    for client in set(clients):
        numbers = [number for name, number in taken if name == client]
        assert numbers == sorted(numbers)
        assert client not in rotation


def test_served_client_moves_to_the_end() -> None:
    rotation = Rotation[int]()
    for client, item in (("a", 1), ("a", 2), ("b", 3)):
        rotation.add(client, item)
    assert rotation.take() == 1
    rotation.add("c", 4)
    assert "a" in rotation
    assert [rotation.take() for _ in range(3)] == [3, 2, 4]
