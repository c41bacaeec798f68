"""The origin of a request is the same when headers recur."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.client_address import TrustedProxies
from proxy.gateway.origin import OriginResolver

NAMES = st.sampled_from(
    [b"host", b"x-forwarded-for", b"x-forwarded-proto", b"forwarded", b"x-real-ip", b"x-forwarded-host", b"cookie"]
)
VALUES = st.sampled_from([b"", b"10.0.0.9", b"203.0.113.7, 10.0.0.9", b"https", b"for=203.0.113.7", b"scribe_ops=1; a"])
PEERS = st.sampled_from([None, "10.0.0.1", "203.0.113.1", "::ffff:10.0.0.1", "2001:db8::1", "testclient"])
RESOLVERS = [
    OriginResolver(TrustedProxies(networks), b"x-secret", frozenset([b"scribe_ops"]))
    for networks in ((), ("10.0.0.0/8",), ("unix",))
]


@given(
    st.sampled_from(RESOLVERS),
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    PEERS,
    st.sampled_from(["http", "https"]),
)
def test_recurring_headers_have_the_origin_of_the_first(
    resolver: OriginResolver, headers: list[tuple[bytes, bytes]], peer: str | None, scheme: str
) -> None:
    fresh = resolver.resolve(headers, peer, scheme)
    assert resolver.resolve(tuple(headers), peer, scheme) == resolver.resolve(tuple(headers), peer, scheme) == fresh


@pytest.mark.parametrize(
    ("given_id", "passed", "logged"),
    [
        (None, None, None),
        (b"abc-1_2", b"abc-1_2", None),
        (b"a b", None, None),
        (b"", None, None),
        (b"x" * 129, None, None),
        (b"0f" * 16, b"0f" * 16, "0f" * 16),
        (b"01234567-89ab-cdef-0123-456789abcdef",) * 2 + ("01234567-89ab-cdef-0123-456789abcdef",),
    ],
)
def test_request_id_is_passed_if_plain_and_logged_if_random(
    given_id: bytes | None, passed: bytes | None, logged: str | None
) -> None:
    headers = [(b"x-request-id", given_id)] if given_id is not None else []
    origin = RESOLVERS[0].resolve(headers, "203.0.113.1", "http")
    assert (origin.request_id, origin.logged_id) == (passed, logged)
