"""Tokens as jsonwebtoken 9 signs and verifies them, and the authentication middleware.

Clients of the legacy see jsonwebtoken's messages, which depend on its order of checks. Both are reproduced exactly.
With one shared string secret, only HS256, HS384 and HS512 are accepted. The validity of a signature never changes, so
verified tokens are cached; their times are checked on every request.
"""

import hmac
import re
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Final

from handlers.legacy.express import Handler, Reply, Request, json
from handlers.legacy.javascript import UNDEFINED, JSONSyntaxError, Value, parse, stringify
from handlers.storage.errors import OperationError

HASHES: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
CACHE_SIZE: Final = 4096
"""Maximum number of cached payloads."""

_COMPACT: Final = re.compile(r"[a-zA-Z0-9\-_]+\.[a-zA-Z0-9\-_]+\.([a-zA-Z0-9\-_]+)?\Z", re.ASCII)

NO_TOKEN: Final = "Please login, no token provided"  # noqa: S105
EXPIRED: Final = "Token expired. Please log in again."
INVALID: Final = "Not authorized, invalid token"
LOGGED_OUT: Final = "Session logged out. Please log in again."


class TokenError(Exception):
    """An invalid token."""


class TokenExpired(TokenError):
    """A correctly signed token whose `exp` has passed."""


class TokenInvalid(TokenError):
    """Any other invalid token; the message is jsonwebtoken's, or V8's for an error that V8 raises."""


def sign(claims: dict[str, Value], secret: str, lifetime: int) -> str:
    """Return an HS256 token of the claims with `iat` and `exp`; `lifetime` in seconds. Undefined claims are dropped."""
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
    """Return the payload of a token, which may be any JSON value or, unparsed, a string.

    Raises `TokenExpired`, or `TokenInvalid` with the message of the first check that fails.
    """
    payload = _authentic_payload(secret, token)
    _check_times(payload, int(time.time()))
    return payload


def _authentic_payload(secret: str, token: str) -> Value:
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
    """Decode as jws.decode and jsonwebtoken's own second parse of the payload."""
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
        reparsed = _parsed(payload, None)
        payload = reparsed if isinstance(reparsed, dict | list) else payload
    return header, payload


def _parsed(text: str, otherwise: Value) -> Value:
    try:
        return parse(text)
    except JSONSyntaxError:
        return otherwise


def _bytes(text: str) -> bytes:
    """Decode as Node's `Buffer.from(text, 'base64')`: padding is optional, a lone last character is dropped."""
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
    """`verify` for one secret, with a bounded cache of payloads whose signature is correct."""

    def __init__(self, secret: str, *, time: Callable[[], float] = time.time) -> None:
        self._time = time
        self._payload_of: Final = lru_cache(CACHE_SIZE)(partial(_authentic_payload, secret))

    def verify(self, token: str) -> Value:
        """Return the payload of a token; see the function `verify`."""
        payload = self._payload_of(token)
        _check_times(payload, int(self._time()))
        return payload


def bearer(request: Request) -> str:
    """Return the second word of `Authorization`, split on single spaces; the scheme is not checked."""
    words = (request.headers.get("authorization") or "").split(" ", 2)
    return words[1] if len(words) > 1 else ""


IsLoggedOut = Callable[[str], Awaitable[bool]]


def authenticate(verifier: Verifier, is_logged_out: IsLoggedOut | None = None) -> Handler:
    """Return the middleware of all resources except `/users`: it answers 401, or sets `user_id` and `token`.

    `user_id` is the claim `userID`, which may be any JSON value. `is_logged_out` is called only for tokens that are
    otherwise valid.
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
        try:
            if is_logged_out is not None and await is_logged_out(token):
                return json(401, {"msg": LOGGED_OUT})
            verifier.verify(token)  # as the legacy, which checks a token after this lookup
        except TokenExpired:
            return json(401, {"msg": EXPIRED})
        except OperationError as error:
            return json(401, {"msg": INVALID, "error": str(error)})
        request.user_id = payload.get("userID", UNDEFINED) if isinstance(payload, dict) else UNDEFINED
        request.token = token
        return None

    return check
