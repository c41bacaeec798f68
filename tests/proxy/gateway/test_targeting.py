"""Targets: included and excluded callers, and the rules with precedence over targets."""

from __future__ import annotations

import time

import jwt
import pytest

from proxy.config.field_types import ZERO
from proxy.config.loading import parse
from proxy.gateway.bucketing import UNLIMITED, Decision, Limit, decide
from proxy.gateway.fallback import native_may
from proxy.gateway.targeting import match_target
from proxy.gateway.tokens import TokenVerifier
from proxy.types import BasisPoints

SECRET = "a secret that is long enough for every hash in use, of sixty-four bytes"
TOKENS = TokenVerifier(SECRET)
CLIENT = ("192.0.2.1", 1)
CONFIG = parse(
    """
legacy: {url: http://x}
native: a:b
tokens: {secret: anything}
overrides: {header: x-side, secret: 0123456789abcdef}
bucketing: {key: client-ip}
routes:
- name: a
  match: GET /a
  on_legacy_down: native
  native:
    share: 0%
    include:
      jwt:userID: [amara, 7]
      jwt:roles: staff
      header:x-beta: "yes"
      cookie:beta: "1"
      client-ip: [10.0.0.0/8, "2001:db8::7"]
    exclude: {jwt:clinic: north, client-ip: 10.1.0.0/16}
- {name: pinned, match: GET /p, pin: legacy, native: {include: {header:x-beta: "yes"}}}
- {name: half, match: GET /h, native: {share: 100%, exclude: {header:x-never: "1"}}}
""",
    {},
)
ROUTE, PINNED, HALF = CONFIG.routes
Headers = list[tuple[bytes, bytes]]


def token(secret: str = SECRET, **claims: object) -> Headers:
    return [(b"authorization", b"Bearer " + jwt.encode(claims, secret, "HS256").encode())]


def decided(headers: Headers, client: tuple[str, int] | None = CLIENT, limit: Limit = UNLIMITED) -> Decision:
    return decide(ROUTE, CONFIG, headers, client, limit=limit, tokens=TOKENS)


@pytest.mark.parametrize(
    "headers",
    [
        token(userID="amara"),
        token(userID=7),
        token(roles=["nurse", "staff"]),
        [(b"x-beta", b" yes ")],
        [(b"cookie", b"a=b; beta=1")],
    ],
)
def test_included_caller_is_native_at_any_share(headers: Headers) -> None:
    assert decided(headers) == Decision("native", "include")


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.9.9.9", "2001:db8::7"])
def test_included_address_is_native(address: str) -> None:
    assert decided([], (address, 1)).reason == "include"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        token(userID="eve"),
        token(userID=["ama", True, None, {}]),
        token(userID=True),
        token("another secret, which is as long as it may be", userID="amara"),
        token(userID="amara", exp=int(time.time()) - 1),
        [(b"x-beta", b"no")],
        [(b"authorization", b"Bearer a.b.c")],
    ],
)
def test_other_callers_are_decided_by_the_share(headers: Headers) -> None:
    assert decided(headers).backend == "legacy"
    assert decided(headers).reason == "share"


@pytest.mark.parametrize("client", [None, ("a socket", 1), ("11.0.0.1", 1)])
def test_missing_address_matches_no_target(client: tuple[str, int] | None) -> None:
    assert decided([], client).reason == "share"


def test_excluded_caller_is_never_native() -> None:
    assert decided(token(userID="amara", clinic="north")) == Decision("legacy", "exclude")
    assert decided([], ("10.1.0.1", 1)) == Decision("legacy", "exclude")
    assert decide(HALF, CONFIG, [(b"x-never", b"1")], CLIENT, tokens=TOKENS) == Decision("legacy", "exclude")
    assert decide(HALF, CONFIG, [], CLIENT, tokens=TOKENS) == Decision("native", "share")
    assert not native_may(ROUTE, Decision("legacy", "exclude"), UNLIMITED)
    assert native_may(ROUTE, Decision("legacy", "share"), UNLIMITED)


@pytest.mark.parametrize("limit", [Limit(cap=ZERO), Limit(stage=ZERO)])
def test_included_caller_is_legacy_under_a_zero_cap(limit: Limit) -> None:
    assert decided(token(userID="amara"), limit=limit).backend == "legacy"
    assert decided(token(userID="amara"), limit=Limit(stage=BasisPoints(100), cap=BasisPoints(100))).backend == "native"


def test_pins_and_overrides_precede_targets() -> None:
    assert decide(PINNED, CONFIG, [(b"x-beta", b"yes")], CLIENT).reason == "pin"
    override = [(b"x-side", b"native; key=0123456789abcdef")]
    assert decided([*token(clinic="north"), *override]).reason == "override"
    assert decide(ROUTE, CONFIG.model_copy(update={"pin": "legacy"}), [(b"x-beta", b"yes")], CLIENT).reason == "pin-all"


def test_rule_that_decides_is_named() -> None:
    target_match = match_target(ROUTE.native_traffic, token(clinic="north"), CLIENT, TOKENS)
    assert target_match is not None
    assert (target_match.rule, str(target_match.source), target_match.value, target_match.file) == (
        "exclude",
        "jwt:clinic",
        "north",
        "",
    )
    assert match_target(ROUTE.native_traffic, token(clinic="north"), CLIENT, None) is None
