"""Tokens that v1 accepts."""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import string
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson import ObjectId

from handlers.legacy.auth import TokenError as LegacyTokenError
from handlers.legacy.auth import verify
from handlers.v1.tokens import BearerTokenError, Tokens
from tests.support.backends import SECRET, token_of

TOKENS = Tokens(SECRET, 60)
ME = ObjectId()
NOW = int(time.time())
ALPHABET = string.ascii_letters + string.digits + "-_"


def signed(header: object, claims: object, secret: str = SECRET, hash_: str = "sha256") -> str:
    parts = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{parts}.{encoded(hmac.digest(secret.encode(), parts.encode(), hash_) if hash_ else b'')}"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


GOOD = {"userID": str(ME), "exp": NOW + 3600}
JWT = {"alg": "HS256", "typ": "JWT"}


def test_issued_token_is_read_back() -> None:
    before = int(time.time())
    token = TOKENS.issue(ME, "amara")
    after = time.time()
    bearer = TOKENS.read(token)
    assert (bearer.user, bearer.token) == (ME, token)
    assert before + 60 <= bearer.expires <= after + 60
    claims: Any = verify(token, SECRET)
    assert list(claims) == ["userID", "author", "iat", "exp"]
    assert claims["exp"] - claims["iat"] == 60


def test_foreign_token_of_an_id_is_accepted_until_expiry() -> None:
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
    with pytest.raises(BearerTokenError):
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
    with pytest.raises(BearerTokenError):
        TOKENS.read(token)


def spellings(token: str) -> Iterator[tuple[str, str]]:
    """Return other spellings of a token that lenient decoders accept, by their difference."""
    parts = token.split(".")
    for index, (name, respell) in itertools.product(range(3), RESPELLINGS.items()):
        for number, spelled in enumerate(respell(parts[index])):
            if spelled != parts[index]:
                yield f"{name} {number} in part {index}", ".".join([*parts[:index], spelled, *parts[index + 1 :]])
    yield "space before", f" {token}"
    yield "space after", f"{token} "
    yield "a line end after", f"{token}\n"
    yield "a part more", f"{token}."
    yield "a part before", f".{token}"
    yield "quoted", f'"{token}"'


RESPELLINGS: dict[str, Callable[[str], list[str]]] = {
    "padding": lambda part: [part + "=" * count for count in range(1, 5)],
    "unused bits": lambda part: [part[:-1] + char for char in ALPHABET],
    "the other alphabet": lambda part: [part.replace("-", "+").replace("_", "/")],
    "stray characters": lambda part: [part[:5] + char + part[5:] for char in " \n\r\t\0!~@\x80é=%"],
    "a character more": lambda part: [part + char for char in "A_-"],
    "a character fewer": lambda part: [part[:-1]],
    "percent escapes": lambda part: [f"%{ord(part[0]):02x}{part[1:]}"],
}


@pytest.mark.parametrize("name", [f"user{number}" for number in range(5)])
def test_token_in_another_spelling_is_refused(name: str) -> None:
    token = TOKENS.issue(ME, name)
    tried = dict(spellings(token))
    assert len(tried) > 100
    for spelling, other in tried.items():
        with pytest.raises(BearerTokenError):
            raise AssertionError(f"{spelling}: {TOKENS.read(other)}")
        with pytest.raises(LegacyTokenError):
            raise AssertionError(f"{spelling}: {verify(other, SECRET)!r}")
