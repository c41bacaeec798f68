"""The client behind trusted proxies: the search from the right, and its end."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.client_address import MAX_HOPS, TrustedProxies, canonical_peer, read_network, resolve_client

NEAR, FAR, CLIENT, FORGED = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.66"
TRUSTED = TrustedProxies(["10.0.0.0/8", "2001:db8::/32", "unix"])

addresses = st.ip_addresses().map(str)
untrusted = st.ip_addresses(v=4, network="192.0.2.0/24").map(str)


def x_forwarded_for(*lines: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", line.encode()) for line in lines]


def forwarded(*lines: str) -> list[tuple[bytes, bytes]]:
    return [(b"forwarded", line.encode()) for line in lines]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([CLIENT], CLIENT),
        ([f"{FORGED}, {CLIENT}"], CLIENT),
        ([f"{FORGED}, {CLIENT}, {FAR}"], CLIENT),
        ([FORGED, CLIENT, FAR], CLIENT),
        ([f"{FORGED}, {CLIENT}", FAR], CLIENT),
        ([f"{CLIENT}:4711, [2001:db8::5]:443"], CLIENT),
        (["2001:470::1"], "2001:470::1"),
        (["[2001:470::1]"], "2001:470::1"),
        (['"[2001:470::1]:80"'], "2001:470::1"),
        (["2001:470:0:0::0001"], "2001:470::1"),
        ([f"::ffff:{CLIENT}"], CLIENT),
        ([f"{CLIENT}, ::ffff:10.9.9.9"], CLIENT),
        ([f"{CLIENT},, ,{FAR},"], CLIENT),
        ([f"{FORGED}, unknown"], NEAR),
        ([f"{FORGED}, unknown, {FAR}"], FAR),
        ([f"{FORGED}, 10.0.0.300, {FAR}"], FAR),
        ([f"{FORGED}, 010.0.0.3"], NEAR),
        ([f"{FORGED}, {CLIENT}:port"], NEAR),
        ([f"{FORGED}, <script>"], NEAR),
        ([f"{FORGED} {CLIENT}"], NEAR),
        ([""], NEAR),
        ([FAR], FAR),
        ([], NEAR),
    ],
)
def test_rightmost_untrusted_address_is_the_client(lines: list[str], expected: str) -> None:
    assert resolve_client(x_forwarded_for(*lines), NEAR, TRUSTED).address == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"for={CLIENT}"], CLIENT),
        ([f"For={CLIENT};proto=https;by=10.0.0.9"], CLIENT),
        ([f'for="{CLIENT}:4711"'], CLIENT),
        ([f"for={FORGED}, for={CLIENT}", f"proto=http; for={FAR}"], CLIENT),
        (['for="[2001:470::1]"'], "2001:470::1"),
        (['for="[2001:470::1]:4711";host="a,b;for=1.2.3.4"'], "2001:470::1"),
        ([f'for={CLIENT}, for="[2001:db8:cafe::17]:4711"'], CLIENT),
        ([f'for="{FORGED}, for={CLIENT}'], CLIENT),
        ([f'for="{FORGED}, for={CLIENT}, for="[2001:db8::1]"'], CLIENT),
        ([f'for={FORGED}, for="_hidden"'], NEAR),
        ([f"for={FORGED}, for=_hidden, for={FAR}"], FAR),
        ([f"for={FORGED}, for=unknown"], NEAR),
        ([f"for={FORGED}, for=2001:470::1"], NEAR),
        ([f'for={FORGED}, for="2001:470::1"'], NEAR),
        ([f"for={FORGED}, for={CLIENT};for={CLIENT}"], NEAR),
        ([f"for={FORGED}, proto=https"], NEAR),
        ([f"for={FORGED}, for = {CLIENT}"], NEAR),
        ([f'for={FORGED}, for="{CLIENT}\\""'], NEAR),
        ([f"for={FORGED}, {CLIENT}"], NEAR),
    ],
)
def test_forwarded_is_parsed_by_rfc_7239(lines: list[str], expected: str) -> None:
    assert resolve_client(forwarded(*lines), NEAR, TRUSTED).address == expected


def test_x_forwarded_for_precedes_forwarded() -> None:
    headers = [*forwarded(f"for={FORGED};proto=https"), *x_forwarded_for(CLIENT)]
    resolved = resolve_client(headers, NEAR, TRUSTED)
    assert (resolved.address, resolved.scheme) == (CLIENT, None)


@pytest.mark.parametrize("peer", [CLIENT, "2001:470::1", "testclient", "::ffff:203.0.113.7"])
@given(st.lists(addresses))
def test_untrusted_peer_is_the_client(peer: str, chain: list[str]) -> None:
    headers = [*x_forwarded_for(", ".join(chain)), (b"x-forwarded-proto", b"https"), (b"x-real-ip", b"10.0.0.1")]
    resolved = resolve_client(headers, peer, TRUSTED)
    assert (resolved.address, resolved.behind_proxy, resolved.scheme) == (canonical_peer(peer), False, None)


@given(st.text(alphabet='0123456789.,:"[];=for \\_\x80', max_size=60), untrusted, st.booleans())
def test_addresses_left_of_the_client_are_ignored(left: str, client: str, standard: bool) -> None:
    name = b"forwarded" if standard else b"x-forwarded-for"
    entry = f"for={client}" if standard else client
    headers = [
        (name, left.encode("latin-1")),
        (name, entry.encode()),
        (name, (f"for={FAR}" if standard else FAR).encode()),
    ]
    assert resolve_client(headers, NEAR, TRUSTED).address == client


@given(st.binary(max_size=200), st.sampled_from([b"x-forwarded-for", b"forwarded"]))
def test_random_headers_resolve_to_an_address(value: bytes, name: bytes) -> None:
    resolved = resolve_client([(name, value), (b"x-forwarded-proto", value)], NEAR, TRUSTED)
    assert resolved.address is not None
    ip_address(resolved.address)
    assert resolved.scheme in (None, "http", "https")


def test_unix_peer_is_trusted_where_listed() -> None:
    assert resolve_client(x_forwarded_for(CLIENT), None, TRUSTED).address == CLIENT
    assert resolve_client(x_forwarded_for(CLIENT), None, TrustedProxies(["10.0.0.0/8"])).address is None


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::7", "2001:db8::7%eth0"])
def test_peers_within_a_network_are_trusted(peer: str) -> None:
    assert TRUSTED.trusts_peer(peer)


@pytest.mark.parametrize("peer", ["11.0.0.1", "2001:db9::7", "testclient", "", "10.0.0.1 "])
def test_peers_outside_are_not(peer: str) -> None:
    assert not TRUSTED.trusts_peer(peer)


def test_mapped_networks_are_those_of_ipv4() -> None:
    assert str(read_network("::ffff:10.0.0.0/104")) == "10.0.0.0/8"
    assert TrustedProxies(["::ffff:10.0.0.1"]).trusts_peer("10.0.0.1")


def test_walk_is_bounded() -> None:
    chain = ", ".join([CLIENT, *["10.0.0.3"] * (MAX_HOPS + 1)])
    assert resolve_client(x_forwarded_for(chain), NEAR, TRUSTED).address == "10.0.0.3"


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ([(b"x-forwarded-proto", b"https")], "https"),
        ([(b"x-forwarded-proto", b"http, HTTPS")], "https"),
        ([(b"x-forwarded-proto", b"wss")], None),
        (forwarded(f"for={CLIENT};proto=https"), "https"),
        (forwarded(f"for={CLIENT};proto=https, for={FAR}"), None),
        ([], None),
    ],
)
def test_scheme_is_the_nearest_proxys(headers: list[tuple[bytes, bytes]], scheme: str | None) -> None:
    assert resolve_client(headers, NEAR, TRUSTED).scheme == scheme
