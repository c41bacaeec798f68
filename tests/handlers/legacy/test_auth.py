"""Tokens, compared with the real jsonwebtoken: each accepts and refuses what the other does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import jwt as pyjwt
import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.auth import TokenExpired, TokenInvalid, Verifier, authenticate, bearer, sign, verify
from handlers.legacy.express import Reply, Request
from handlers.legacy.javascript import UNDEFINED, stringify
from tests.support.library_oracle import Libraries
from tests.support.profile import examples

SECRET = "dev-secret"
HEADER = b'{"alg":"HS256","typ":"JWT"}'
NOW = int(time.time())


@pytest.fixture(scope="module")
def node() -> Iterator[Libraries]:
    with Libraries() as libraries:
        yield libraries


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(header: bytes, payload: bytes, *, secret: str = SECRET, name: str = "sha256") -> str:
    signed = f"{encode(header)}.{encode(payload)}"
    return f"{signed}.{encode(hmac.digest(secret.encode(), signed.encode(), name))}"


def judged(token: str, now: float | None = None) -> object:
    """Return the verdict of `verify` in the oracle's terms; of a `Verifier` whose clock stands if `now` is given."""
    try:
        payload = verify(token, SECRET) if now is None else Verifier(SECRET, time=lambda: now).verify(token)
        return {"payload": json.loads(stringify(payload))}
    except TokenExpired as error:
        return {"expired": True, "message": str(error)}
    except TokenInvalid as error:
        return {"expired": False, "message": str(error)}


GOOD = forge(HEADER, b'{"userID":"64b7f0f0f0f0f0f0f0f0f0f0","exp":4000000000}')
HEAD, BODY, SIGNATURE = GOOD.split(".")

HEADERS = [
    b'{"alg":"HS256"}',
    b'{"typ":"JWT","alg":"HS256","kid":"x","crit":["exp"],"cty":"JWT"}',
    b'{"alg":"HS256","typ":"jwt"}',
    b'{"alg":"HS256","typ":1}',
    b'{"alg":"HS256","typ":null}',
    b'{"alg":"HS256","typ":"JOSE"}',
    b'{"alg":"hs256","typ":"JWT"}',
    b'{"alg":"HS1","typ":"JWT"}',
    b'{"alg":"RS256","typ":"JWT"}',
    b'{"alg":"ES256","typ":"JWT"}',
    b'{"alg":"none","typ":"JWT"}',
    b'{"alg":"None","typ":"JWT"}',
    b'{"alg":null,"typ":"JWT"}',
    b'{"alg":["HS256"],"typ":"JWT"}',
    b'{"typ":"JWT"}',
    b'{"alg":"none","alg":"HS256","typ":"JWT"}',
    b' {"alg":"HS256","typ":"JWT"}\n',
    b'{"alg":"HS256","typ":"JWT","x":"\xff"}',
    b'{"alg":"HS256","typ":"JWT"}x',
    b"\xef\xbb\xbf{}",
    b"[]",
    b'["HS256"]',
    b"{}",
    b"null",
    b"false",
    b"true",
    b"0",
    b"-0",
    b"5",
    b'""',
    b'"x"',
    b'"\\u0000"',
    b"x",
]

PAYLOADS = [
    b"{}",
    b'{"userID":5}',
    b'{"userID":null}',
    b'{"userID":{"$gt":""}}',
    b'{"userID":["a"]}',
    b'{"exp":4000000000}',
    b'{"exp":1}',
    b'{"exp":0}',
    b'{"exp":-1}',
    b'{"exp":1e400}',
    b'{"exp":-1e400}',
    b'{"exp":4000000000.5}',
    b'{"exp":"4000000000"}',
    b'{"exp":null}',
    b'{"exp":true}',
    b'{"exp":[]}',
    b'{"exp":{}}',
    b'{"nbf":1}',
    b'{"nbf":4000000000}',
    b'{"nbf":1e400}',
    b'{"nbf":"1"}',
    b'{"nbf":null}',
    b'{"nbf":false}',
    b'{"nbf":4000000000,"exp":1}',
    b'{"nbf":"x","exp":"x"}',
    b'{"exp":"x","nbf":"x"}',
    b'{"nbf":1,"exp":"x"}',
    b'{"iat":"x"}',
    b'{"iat":4000000000}',
    b'{"a":"\xff\xc3\xa9"}',
    b'{"exp":1,"exp":4000000000}',
    b"\xef\xbb\xbf{}",
    b" {} ",
    b"[]",
    b'[{"exp":1}]',
    b"null",
    b"true",
    b"false",
    b"0",
    b"5",
    b'""',
    b'"text"',
    b'"{\\"userID\\":\\"x\\",\\"exp\\":1}"',
    b'"[1]"',
    b'"null"',
    b"text",
    b'{"a":',
    b"{'a':1}",
    b"undefined",
    b"{}x",
]

TOKENS = [
    GOOD,
    "x",
    ".",
    "..",
    "...",
    "a.b",
    "a.b.c",
    "a.b.c.d",
    f"{HEAD}.{BODY}",
    f"{HEAD}.{BODY}.",
    f"{HEAD}.{BODY}.x",
    f"{HEAD}..{SIGNATURE}",
    f".{BODY}.{SIGNATURE}",
    f"{HEAD}.{BODY}.{SIGNATURE}=",
    f"{HEAD}=.{BODY}.{SIGNATURE}",
    f"{HEAD}.{BODY}.{SIGNATURE[:-1]}",
    f"{HEAD}.{BODY}.{SIGNATURE}A",
    f"{HEAD}.{BODY}A.{SIGNATURE}",
    f"{HEAD}A.{BODY}.{SIGNATURE}",
    f"{HEAD}.{BODY}.{SIGNATURE}\n",
    f"{HEAD}.{BODY}.\n",
    f"{HEAD}.{BODY}. ",
    f"{HEAD}.{BODY}.{SIGNATURE.swapcase()}",
    f" {GOOD}",
    f"{HEAD} .{BODY}.{SIGNATURE}",
    f"{HEAD}.{BODY[:-1]}+.{SIGNATURE}",
    f"{HEAD}.{BODY[:-1]}/.{SIGNATURE}",
    f"{HEAD}.{BODY}.caf\xe9",
    forge(HEADER, b"{}", secret="other"),
    forge(HEADER, b"{}", name="sha512"),
    forge(b'{"alg":"HS384","typ":"JWT"}', b'{"a":1}', name="sha384"),
    forge(b'{"alg":"HS512","typ":"JWT"}', b'{"a":1}', name="sha512"),
    forge(b'{"alg":"HS512","typ":"JWT"}', b'{"a":1}', name="sha256"),
]


@pytest.mark.parametrize("token", TOKENS)
def test_judges_a_token_as_jsonwebtoken(node: Libraries, token: str) -> None:
    assert judged(token) == node.call("verify", token, SECRET)


@pytest.mark.parametrize("header", HEADERS)
def test_judges_headers_as_jsonwebtoken(node: Libraries, header: bytes) -> None:
    for payload in (b"{}", b"null", b"text", b'"text"', b'{"exp":1}'):
        token = forge(header, payload)
        assert judged(token) == node.call("verify", token, SECRET)
        unsigned = token.rpartition(".")[0] + "."
        assert judged(unsigned) == node.call("verify", unsigned, SECRET)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_judges_payloads_as_jsonwebtoken(node: Libraries, payload: bytes) -> None:
    for header in (HEADER, b'{"alg":"HS256"}', b'{"alg":"HS256","typ":"JWS"}'):
        token = forge(header, payload)
        assert judged(token) == node.call("verify", token, SECRET)


CLAIM = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([NOW - 99, NOW + 99, 1.5, "x"])
BOUNDARIES = st.sampled_from([NOW - 1, NOW - 0.5, NOW, NOW + 0.5, NOW + 1])
CLAIMS = st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "userID", "a"]), CLAIM | BOUNDARIES, max_size=4)


@pytest.mark.parametrize("offset", [-1, -0.5, 0, 0.5, 1])
def test_time_near_now_is_judged_as_by_jsonwebtoken(node: Libraries, offset: float) -> None:
    moment = NOW + offset
    for claims in ({"exp": moment}, {"nbf": moment}, {"nbf": moment, "exp": moment}):
        token = forge(HEADER, json.dumps(claims).encode())
        assert judged(token, NOW) == judged(token, NOW + 0.9) == node.call("verify", token, SECRET, NOW)


@settings(max_examples=examples(150), deadline=None)
@given(claims=CLAIMS, drop=st.integers(0, 3))
def test_judges_any_claims_as_jsonwebtoken(node: Libraries, claims: dict[str, object], drop: int) -> None:
    token = forge(HEADER, json.dumps(claims).encode())
    token = token[: len(token) - drop]
    assert judged(token, NOW) == node.call("verify", token, SECRET, NOW)


@settings(max_examples=examples(200), deadline=None)
@given(st.text(st.sampled_from("eyJ0.-_=+/A \n\xe9"), max_size=30))
def test_judges_any_text_as_jsonwebtoken(node: Libraries, token: str) -> None:
    if token:
        assert judged(token) == node.call("verify", token, SECRET)


@settings(max_examples=examples(200), deadline=None)
@given(header=st.sampled_from(HEADERS), payload=st.binary(max_size=12))
def test_judges_any_bytes_as_jsonwebtoken(node: Libraries, header: bytes, payload: bytes) -> None:
    token = forge(header, payload)
    assert judged(token) == node.call("verify", token, SECRET)


def test_tokens_equal_jsonwebtokens(node: Libraries) -> None:
    identity, before = ObjectId(), int(time.time())
    token = sign({"userID": identity, "author": "am\xe9lie"}, SECRET, 3600)
    between = time.time()
    from_node = node.call("sign", {"userID": str(identity), "author": "am\xe9lie"}, SECRET)
    assert token.split(".")[0] == from_node.split(".")[0]
    claims = pyjwt.decode(token, SECRET.ljust(32, "\0"), ["HS256"], options={"verify_signature": False})
    expected = pyjwt.decode(from_node, options={"verify_signature": False})
    assert list(claims) == list(expected) == ["userID", "author", "iat", "exp"]
    assert claims["exp"] - claims["iat"] == expected["exp"] - expected["iat"]
    assert before <= claims["iat"] <= between
    assert int(between) <= expected["iat"] <= time.time()
    assert node.call("verify", token, SECRET) == {"payload": claims}


def test_undefined_claim_is_not_signed(node: Libraries) -> None:
    token = sign({"userID": "x", "author": UNDEFINED}, SECRET, 60)
    assert list(node.call("verify", token, SECRET)["payload"]) == ["userID", "iat", "exp"]


def test_cached_token_still_expires() -> None:
    now = [float(NOW)]
    verifier = Verifier(SECRET, time=lambda: now[0])
    token = sign({"userID": "x"}, SECRET, 60)
    assert verifier.verify(token) == verify(token, SECRET)
    now[0] += 3600
    with pytest.raises(TokenExpired):
        verifier.verify(token)


def test_refused_token_is_refused_again() -> None:
    verifier = Verifier(SECRET)
    forged = forge(HEADER, b"{}", secret="other")
    for _ in range(2):
        with pytest.raises(TokenInvalid, match="invalid signature"):
            verifier.verify(forged)


def test_truncated_signature_is_refused() -> None:
    signed = f"{encode(HEADER)}.{encode(b'{}')}"
    digest = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    assert judged(f"{signed}.{encode(digest)}") == {"payload": {}}
    assert judged(f"{signed}.{encode(digest[:-1])}") == {"expired": False, "message": "invalid signature"}


def request_with(*headers: tuple[bytes, bytes]) -> Request:
    async def receive() -> dict[str, object]:
        raise AssertionError("nothing is read")

    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "headers": list(headers)}
    return Request(scope, receive)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer a.b.c", "a.b.c"),
        (b"Token x y", "x"),
        (b"bearer  x", ""),
        (b"Bearer", ""),
        (b"Bearer ", ""),
        (b" x", ""),
        (b"", ""),
        (b"a\tb", ""),
        (b"a b\xe9\t", "b\xe9"),
    ],
)
def test_bearer_token_is_the_second_word(header: bytes, token: str) -> None:
    assert bearer(request_with((b"authorization", header))) == token


def test_first_of_two_authorizations_is_used() -> None:
    assert bearer(request_with((b"authorization", b"a b"), (b"authorization", b"c d"))) == "b"


async def answer(*headers: tuple[bytes, bytes], logged_out: bool | None = None) -> tuple[Reply | None, Request]:
    async def is_logged_out(token: str) -> bool:
        assert token == GOOD
        return bool(logged_out)

    request = request_with(*headers)
    door = authenticate(Verifier(SECRET), None if logged_out is None else is_logged_out)
    return await door(request), request


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (b"", b'{"msg":"Please login, no token provided"}'),
        (b"x", b'{"msg":"Not authorized, invalid token","error":"jwt malformed"}'),
        (forge(HEADER, b'{"exp":1}').encode(), b'{"msg":"Token expired. Please log in again."}'),
    ],
)
async def test_refused_token_gets_its_message(token: bytes, message: bytes) -> None:
    reply, _ = await answer((b"authorization", b"Bearer " + token))
    assert reply is not None
    assert (reply.status, reply.body) == (401, message)


@pytest.mark.parametrize("logged_out", [None, False])
async def test_valid_token_sets_the_user(logged_out: bool | None) -> None:
    reply, request = await answer((b"authorization", f"Bearer {GOOD}".encode()), logged_out=logged_out)
    assert reply is None
    assert (request.user_id, request.token) == ("64b7f0f0f0f0f0f0f0f0f0f0", GOOD)


async def test_token_without_a_user_claim_is_accepted() -> None:
    for payload in (b"{}", b"[]", b'"text"', b"5"):
        reply, request = await answer((b"authorization", f"Bearer {forge(HEADER, payload)}".encode()))
        assert reply is None
        assert request.user_id is UNDEFINED


async def test_logged_out_token_is_refused() -> None:
    reply, _ = await answer((b"authorization", f"Bearer {GOOD}".encode()), logged_out=True)
    assert reply is not None
    assert (reply.status, reply.body) == (401, b'{"msg":"Session logged out. Please log in again."}')


async def test_token_that_expires_during_the_lookup_is_refused() -> None:
    moment = time.time()

    async def outlast(_: str) -> bool:
        nonlocal moment
        moment += 120
        return False

    token = sign({"userID": "u"}, SECRET, lifetime=60)
    check = authenticate(Verifier(SECRET, time=lambda: moment), outlast)
    reply = await check(request_with((b"authorization", f"Bearer {token}".encode())))
    assert isinstance(reply, Reply)
    assert (reply.status, b"Token expired" in reply.body) == (401, True)
