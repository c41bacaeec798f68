"""Verified tokens, and the identity of a caller that follows from them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

import jwt
import pytest

from proxy.config.key_sources import KeySource
from proxy.gateway.callers import CallerIdentity
from proxy.gateway.tokens import MAX_TOKEN, TokenVerifier, bearer

SECRET = "a secret that is long enough for every hash in use, of sixty-four bytes"
VERIFIER = TokenVerifier(SECRET)
NOW = int(time.time())


def headers(token: str, scheme: str = "Bearer") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", f"{scheme} {token}".encode())]


def signed(claims: dict[str, object] | None = None, secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode({"userID": "amara", **(claims or {})}, secret, algorithm)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_signed_token_is_verified_and_cached(algorithm: str) -> None:
    given = headers(signed({"exp": NOW + 3600, "nbf": NOW - 3600}, algorithm=algorithm))
    for _ in range(2):
        claims = VERIFIER.claims(given)
        assert claims is not None
        assert claims["userID"] == "amara"


def _unsigned() -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
             for part in ({"alg": "none"}, {"userID": "amara"})]  # fmt: skip
    return ".".join([*parts, ""])


REFUSED = {
    "another secret": signed(secret=SECRET + "x"),
    "unsigned": _unsigned(),
    "expired": signed({"exp": NOW - 1}),
    "not yet": signed({"nbf": NOW + 3600}),
    "padded signature": signed() + "=",
    "cut": signed()[:-1],
    "another payload": signed().replace(f".{signed().split('.')[1]}.", f".{signed({'userID': 'eve'}).split('.')[1]}."),
    "payload is a list": ".".join([signed().split(".")[0], base64.urlsafe_b64encode(b"[1]").decode(), "x"]),
    "deep": ".".join([base64.urlsafe_b64encode(b"[" * 9000).decode(), "e30", "x"]),
    "no token": "",
    "two parts": "a.b",
    "too long": signed({"more": "x" * MAX_TOKEN}),
}  # fmt: skip


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED)
def test_invalid_token_has_no_claims(token: str) -> None:
    assert VERIFIER.claims(headers(token)) is None


@pytest.mark.parametrize("name", ["exp", "nbf"])
@pytest.mark.parametrize("value", ["soon", None, True, [1]])
def test_time_that_is_not_a_number_is_refused(name: str, value: object) -> None:
    header, payload = ({"alg": "HS256"}, {"userID": "amara", name: value})
    token = jwt.api_jws.encode(json.dumps(payload).encode(), SECRET, "HS256", header)
    assert VERIFIER.claims(headers(token)) is None


def test_cached_token_expires() -> None:
    clock = [100.0]
    verifier = TokenVerifier(SECRET, now=lambda: clock[0])
    given = headers(signed({"exp": 200}))
    assert verifier.claims(given) is not None
    clock[0] = 200.0
    assert verifier.claims(given) is None


def test_bearer_token_is_the_second_word() -> None:
    assert bearer([(b"authorization", b"Bearer a.b.c and more")]) == b"a.b.c"
    assert bearer([(b"authorization", b"a.b.c")]) is None
    assert bearer([]) is None


SOURCES = (KeySource("jwt", "userID"), KeySource("header", "x-client-id"), KeySource("client-ip"))
IDENTITY = CallerIdentity(VERIFIER, SOURCES)


def test_caller_is_the_verified_claim_or_the_address() -> None:
    amara = headers(signed({"exp": NOW + 3600}))
    assert IDENTITY.identify(amara, "10.0.0.1") == IDENTITY.identify(amara, "10.0.0.2")
    assert IDENTITY.identify(headers(signed({"userID": "eve"})), "10.0.0.1") != IDENTITY.identify(amara, "10.0.0.1")
    assert IDENTITY.identify([], "10.0.0.1") != IDENTITY.identify([], "10.0.0.2")
    assert IDENTITY.identify([], None) is None


@pytest.mark.parametrize("kind", ["token", "expired", "header", "cookie"])
def test_unverified_keys_do_not_change_the_caller(kind: str) -> None:
    made: dict[str, Callable[[str], list[tuple[bytes, bytes]]]] = {
        "token": lambda name: headers(signed({"userID": name}, secret="another secret, which is as long as it may be")),
        "expired": lambda name: headers(signed({"userID": name, "exp": NOW - 1})),
        "header": lambda name: [(b"x-client-id", name.encode())],
        "cookie": lambda name: [(b"cookie", f"sid={name}".encode())],
    }
    forged = made[kind]
    assert {IDENTITY.identify(forged(str(number)), "10.0.0.1") for number in range(50)} == {
        IDENTITY.identify([], "10.0.0.1")
    }


def test_callers_without_a_secret_are_addresses() -> None:
    identity = CallerIdentity(None, SOURCES)
    assert identity.identify(headers(signed()), "10.0.0.1") == identity.identify([], "10.0.0.1")
