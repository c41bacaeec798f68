"""Headers about the origin of a request: replaced for untrusted peers, extended for trusted proxies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.backends.legacy.headers import end_to_end
from proxy.gateway.client_address import ResolvedClient
from proxy.gateway.forwarding import FORWARDING, with_forwarding

PEER = "192.0.2.9"
DIRECT, PROXIED = ResolvedClient(PEER), ResolvedClient("203.0.113.7", behind_proxy=True)

names = st.sampled_from([*sorted(FORWARDING), b"x-forwarded-port", b"x-forwarded-user", b"host", b"cookie", b"x-a"])
headers = st.lists(st.tuples(names, st.sampled_from([b"forged", b"10.0.0.1", b"for=10.0.0.1"])), max_size=12)


def values(pairs: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in pairs if key == name]


@given(headers)
def test_claims_of_an_untrusted_client_are_removed(given_headers: list[tuple[bytes, bytes]]) -> None:
    sent = with_forwarding(given_headers, DIRECT, PEER, "http")
    claims = [(name, value) for name, value in sent if name.startswith(b"x-forwarded-") or name in FORWARDING]
    truths = {
        b"x-forwarded-for": PEER.encode(),
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": next(iter(values(given_headers, b"host")), None),
        b"forwarded": b"for=192.0.2.9;proto=http",
        b"x-real-ip": PEER.encode(),
    }
    assert len(claims) == len(dict(claims))
    assert all(truths[name] == value for name, value in claims)
    for name in (b"forwarded", b"x-real-ip"):
        assert (name in dict(claims)) == (name in dict(given_headers))


@given(headers)
def test_other_headers_keep_order_and_duplicates(given_headers: list[tuple[bytes, bytes]]) -> None:
    others = [(name, value) for name, value in given_headers if not name.startswith((b"x-f", b"x-r", b"forw"))]
    for client in (DIRECT, PROXIED):
        sent = with_forwarding(given_headers, client, PEER, "http")
        assert [header for header in sent if not header[0].startswith((b"x-f", b"x-r", b"forw"))] == others


@given(headers)
def test_chain_of_a_trusted_proxy_is_extended(given_headers: list[tuple[bytes, bytes]]) -> None:
    sent = with_forwarding(given_headers, PROXIED, PEER, "http")
    chain = values(given_headers, b"x-forwarded-for")
    assert values(sent, b"x-forwarded-for") == [b", ".join([*chain, PEER.encode()])]
    for name in (b"x-real-ip", b"x-forwarded-port", b"x-forwarded-user"):
        assert values(sent, name) == values(given_headers, name)
    elements = values(given_headers, b"forwarded")
    assert values(sent, b"forwarded") == ([b", ".join([*elements, b"for=192.0.2.9"])] if elements else [])


def test_trusted_proxys_proto_and_host_are_kept() -> None:
    recorded = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"a"), (b"host", b"b")]
    assert with_forwarding(recorded, PROXIED, None, "http") == [*recorded, (b"x-forwarded-for", b"unknown")]


def test_ipv6_peer_is_quoted_in_forwarded() -> None:
    sent = with_forwarding([(b"forwarded", b"for=a")], ResolvedClient("2001:db8::1"), "2001:db8::1", "https")
    assert values(sent, b"forwarded") == [b'for="[2001:db8::1]";proto=https']
    assert values(sent, b"x-forwarded-for") == [b"2001:db8::1"]


@pytest.mark.parametrize("name", sorted(FORWARDING))
def test_connection_options_remove_no_forwarding_header(name: bytes) -> None:
    sent = with_forwarding([(b"connection", name.upper()), (b"host", b"a"), (name, b"x")], DIRECT, PEER, "http")
    assert dict(end_to_end(sent))[name] == dict(sent)[name]
