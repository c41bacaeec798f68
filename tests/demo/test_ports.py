import os
import socket

import pytest

from demo.ports import PortAllocator, free_port, is_free, owner
from tests.support.sockets import has_ipv6


def test_free_port_is_free_until_it_is_bound() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
    assert is_free(port)


def test_processes_side_by_side_are_given_different_ports() -> None:
    allocators = [PortAllocator() for _ in range(4)]
    for index, allocator in enumerate(allocators):
        allocator.take_share(index, of=4)
    ports = [allocator() for _ in range(50) for allocator in allocators]
    assert len(set(ports)) == len(ports)


def test_port_owner_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = owner(server.getsockname()[1])
    assert said is not None
    assert f"pid {os.getpid()}" in said


def test_free_port_has_no_owner() -> None:
    assert owner(free_port()) is None


@pytest.mark.parametrize("host", ["203.0.113.9", "2001:db8::9"])
def test_port_bound_to_another_address_is_free(host: str) -> None:
    assert is_free(free_port(), host)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6_address_is_probed_by_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert not is_free(port, "::1")
        assert is_free(port, "127.0.0.1")
