"""What a token has to be, to open v1."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import pytest
from bson import ObjectId

from handlers.legacy.auth import verify
from handlers.v1.tokens import TokenError, Tokens
from tests.handlers.backends import SECRET, token_of

TOKENS = Tokens(SECRET, 60)
ME = ObjectId()
NOW = int(time.time())


def signed(header: object, claims: object, secret: str = SECRET, hash_: str = "sha256") -> str:
    parts = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{parts}.{encoded(hmac.digest(secret.encode(), parts.encode(), hash_) if hash_ else b'')}"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


GOOD = {"userID": str(ME), "exp": NOW + 3600}
JWT = {"alg": "HS256", "typ": "JWT"}


def test_reads_what_it_issues() -> None:
    token = TOKENS.issue(ME, "amara")
    bearer = TOKENS.read(token)
    assert (bearer.user, bearer.token) == (ME, token)
    assert 58 < bearer.expires - time.time() <= 60
    claims: Any = verify(token, SECRET)
    assert list(claims) == ["userID", "author", "iat", "exp"]
    assert claims["exp"] - claims["iat"] == 60


def test_takes_any_rightly_signed_token_of_an_id_in_time() -> None:
    assert TOKENS.read(signed(JWT, GOOD)).user == ME
    assert TOKENS.read(signed({"alg": "HS256"}, {**GOOD, "exp": NOW + 3600.5, "nbf": NOW - 1, "more": [1]})).user == ME


@pytest.mark.parametrize(
    "claims",
    [
        {"userID": str(ME)},
        {**GOOD, "exp": NOW - 1},
        {**GOOD, "exp": NOW},
        {**GOOD, "exp": str(NOW + 300)},
        {**GOOD, "exp": True},
        {**GOOD, "exp": None},
        {**GOOD, "exp": float("inf")},
        {**GOOD, "exp": float("nan")},
        {**GOOD, "nbf": NOW + 3000},
        {"exp": NOW + 3600},
        {**GOOD, "userID": "amara"},
        {**GOOD, "userID": {"$ne": None}},
        {**GOOD, "userID": 7},
        [GOOD],
        "text",
        None,
    ],
)
def test_refuses_other_claims(claims: object) -> None:
    with pytest.raises(TokenError):
        TOKENS.read(token_of(claims))


@pytest.mark.parametrize(
    "token",
    [
        signed({"alg": "none", "typ": "JWT"}, GOOD, hash_=""),
        signed({"alg": "HS384", "typ": "JWT"}, GOOD, hash_="sha384"),
        signed({"alg": "HS512", "typ": "JWT"}, GOOD, hash_="sha512"),
        signed({"alg": "hs256"}, GOOD),
        signed({}, GOOD),
        signed([], GOOD),
        signed({**JWT, "crit": ["b64"], "b64": False}, GOOD),
        signed(JWT, GOOD, secret="another"),
        signed(JWT, GOOD)[:-1],
        signed(JWT, GOOD).rpartition(".")[0] + ".",
        signed(JWT, GOOD) + ".",
        "é.é.é",
        "..",
        "x",
        "",
    ],
)
def test_refuses_other_signatures(token: str) -> None:
    with pytest.raises(TokenError):
        TOKENS.read(token)
