"""Tokens as jsonwebtoken 9 makes and judges them, and the door they open.

The legacy's clients see jsonwebtoken's own messages, in its own order of checks, so both are kept to the
letter: with one shared string secret, HS256, HS384 and HS512 are accepted and nothing else. That a signature
is right never changes, so tokens seen before are remembered; whether they are in time is asked every time.
"""

import hmac
import re
import time
from base64 import b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from handlers.legacy.express import Handler, Reply, Request, json
from handlers.legacy.javascript import UNDEFINED, JSONSyntaxError, Value, parse, stringify

HASHES: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
REMEMBERED: Final = 4096

_COMPACT: Final = re.compile(r"[a-zA-Z0-9\-_]+\.[a-zA-Z0-9\-_]+\.([a-zA-Z0-9\-_]+)?\Z", re.ASCII)

NO_TOKEN: Final = "Please login, no token provided"  # noqa: S105
EXPIRED: Final = "Token expired. Please log in again."
INVALID: Final = "Not authorized, invalid token"
LOGGED_OUT: Final = "Session logged out. Please log in again."


class TokenError(Exception):
    """A token that opens nothing."""


class TokenExpired(TokenError):
    """Signed rightly, but its `exp` has passed."""


class TokenInvalid(TokenError):
    """Anything else; the message is jsonwebtoken's, or V8's where that is what came out of it."""


def sign(claims: dict[str, Value], secret: str, lifetime: int) -> str:
    """An HS256 token of the claims and `iat`, `exp`; `lifetime` in seconds. Undefined claims are dropped."""
    issued = int(time.time())
    payload = stringify({**claims, "iat": issued, "exp": issued + lifetime})
    signed = f"{_encode(_HEADER)}.{_encode(payload.encode())}"
    return f"{signed}.{_signature(signed, 'sha256', secret)}"


_HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(signed: str, name: str, secret: str) -> str:
    return _encode(hmac.digest(secret.encode(), signed.encode("latin-1"), name))


def verify(token: str, secret: str) -> Value:
    """The payload of a token, which may be any JSON value or, unparsed, a string.

    Raises `TokenExpired`, or `TokenInvalid` with the message of the first check that fails.
    """
    payload = _authentic_payload(token, secret)
    _check_times(payload, int(time.time()))
    return payload


def _authentic_payload(token: str, secret: str) -> Value:
    if token.count(".") != 2:
        raise TokenInvalid("jwt malformed")
    header, payload = _decode(token)
    signed, _, signature = token.rpartition(".")
    if not signature:
        raise TokenInvalid("jwt signature is required")
    algorithm = header.get("alg") if isinstance(header, dict) else None
    name = HASHES.get(algorithm) if isinstance(algorithm, str) else None
    if name is None:
        raise TokenInvalid("invalid algorithm")
    if not hmac.compare_digest(signature, _signature(signed, name, secret)):
        raise TokenInvalid("invalid signature")
    return payload


def _decode(token: str) -> tuple[Value, Value]:
    """jws.decode and jsonwebtoken's own second try at the payload."""
    if not _COMPACT.match(token):
        raise TokenInvalid("invalid token")
    head, body, _ = token.split(".")
    header = _parsed(_bytes(head).decode("latin-1"), UNDEFINED)
    if header is None or header is UNDEFINED or header in (False, 0, ""):
        raise TokenInvalid("invalid token")
    payload: Value = _bytes(body).decode("utf-8", "replace")
    if isinstance(header, dict) and header.get("typ") == "JWT":
        try:
            payload = parse(str(payload))
        except JSONSyntaxError as error:
            raise TokenInvalid(str(error)) from error
    if isinstance(payload, str):
        again = _parsed(payload, None)
        payload = again if isinstance(again, dict | list) else payload
    return header, payload


def _parsed(text: str, otherwise: Value) -> Value:
    try:
        return parse(text)
    except JSONSyntaxError:
        return otherwise


def _bytes(text: str) -> bytes:
    """Node's `Buffer.from(text, 'base64')`, which needs no padding and lets a lone last character fall."""
    whole = text[:-1] if len(text) % 4 == 1 else text
    return b64decode(whole + "=" * (-len(whole) % 4), altchars=b"-_")


def _check_times(payload: Value, now: int) -> None:
    if payload is None:
        raise TokenInvalid("Cannot read properties of null (reading 'nbf')")
    if not isinstance(payload, dict):
        return
    if "nbf" in payload and _seconds(payload["nbf"], "nbf") > now:
        raise TokenInvalid("jwt not active")
    if "exp" in payload and now >= _seconds(payload["exp"], "exp"):
        raise TokenExpired("jwt expired")


def _seconds(value: Value, claim: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenInvalid(f"invalid {claim} value")
    return value


class Verifier:
    """`verify` for one secret, with a bounded memory of payloads whose signature was right."""

    def __init__(self, secret: str, remembered: int = REMEMBERED) -> None:
        self._secret = secret
        self._remembered = remembered
        self._payloads: OrderedDict[str, Value] = OrderedDict()

    def verify(self, token: str) -> Value:
        """As the function `verify`."""
        payload = self._payloads.get(token, UNDEFINED)
        if payload is UNDEFINED:
            payload = self._learn(token)
        else:
            self._payloads.move_to_end(token)
        _check_times(payload, int(time.time()))
        return payload

    def _learn(self, token: str) -> Value:
        payload = _authentic_payload(token, self._secret)
        self._payloads[token] = payload
        if len(self._payloads) > self._remembered:
            self._payloads.popitem(last=False)
        return payload


def bearer(request: Request) -> str:
    """What stands second when `Authorization` is split on single spaces; the scheme does not matter."""
    words = (request.headers.get("authorization") or "").split(" ", 2)
    return words[1] if len(words) > 1 else ""


IsLoggedOut = Callable[[str], Awaitable[bool]]


def authenticate(verifier: Verifier, is_logged_out: IsLoggedOut | None = None) -> Handler:
    """The middleware in front of everything but `/users`: a 401, or `user_id` and `token` on the request.

    `user_id` is whatever JSON the claim `userID` holds. `is_logged_out`, where given, is asked about tokens
    that are otherwise good.
    """

    async def check(request: Request) -> Reply | None:
        token = bearer(request)
        if not token:
            return json(401, {"msg": NO_TOKEN})
        try:
            payload = verifier.verify(token)
        except TokenExpired:
            return json(401, {"msg": EXPIRED})
        except TokenInvalid as error:
            return json(401, {"msg": INVALID, "error": str(error)})
        if is_logged_out is not None and await is_logged_out(token):
            return json(401, {"msg": LOGGED_OUT})
        request.user_id = payload.get("userID", UNDEFINED) if isinstance(payload, dict) else UNDEFINED
        request.token = token
        return None

    return check
