"""The legacy's tokens with stricter rules: only HS256, a required `exp`, and a `userID` that is an id.

Both APIs accept each other's tokens. PyJWT verifies the signature; its warning that the shared secret is shorter
than RFC 7518 (3.2) requires is suppressed, since the secret is the legacy's choice.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Final

from bson import ObjectId
from jwt import InvalidTokenError, PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_decode, base64url_encode
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.v1.schemas import Identity

ALGORITHM: Final = "HS256"
_COMPACT = re.compile(r"[A-Za-z0-9_-]{2,}+(?:\.[A-Za-z0-9_-]{2,}+){2}")


class BearerTokenError(Exception):
    """An invalid token."""


def _is_canonical(token: str) -> bool:
    """Return whether each part is canonical base64url: no padding, and zeros in unused bits."""
    if not _COMPACT.fullmatch(token):
        return False
    try:
        return all(base64url_encode(base64url_decode(part)).decode() == part for part in token.split("."))
    except ValueError:  # a part of impossible length
        return False


class _SharedSecret(HMACAlgorithm):
    def check_key_length(self, key: bytes) -> str | None:
        return None


class _Claims(BaseModel):
    model_config = ConfigDict(strict=True)

    user: Identity = Field(alias="userID")
    expires: float = Field(alias="exp", allow_inf_nan=False)
    not_before: float = Field(0, alias="nbf", allow_inf_nan=False)


@dataclass(frozen=True)
class Bearer:
    """A token's user, and its expiry (seconds since 1970)."""

    user: ObjectId
    expires: float
    token: str


class Tokens:
    """Signs and reads tokens with one secret; `lifetime` in seconds."""

    def __init__(self, secret: str, lifetime: int) -> None:
        self._secret = secret
        self._lifetime = lifetime
        self._jws = PyJWS(algorithms=[])
        self._jws.register_algorithm(ALGORITHM, _SharedSecret(HMACAlgorithm.SHA256))

    def issue(self, user: ObjectId, username: str) -> str:
        """Return a token for an authenticated user."""
        now = int(time.time())
        claims = {"userID": str(user), "author": username, "iat": now, "exp": now + self._lifetime}
        return self._jws.encode(json.dumps(claims).encode(), self._secret, ALGORITHM)

    def read(self, token: str) -> Bearer:
        """Return the bearer of a token, if it is valid now; raises `BearerTokenError`.

        A signature has many spellings that decode alike (padding, stray characters, unused bits). Only the one of
        RFC 7515 (2) is accepted: a logged-out token must not be valid in another spelling.
        """
        if not _is_canonical(token):
            raise BearerTokenError
        try:
            read = self._jws.decode_complete(token, self._secret, [ALGORITHM])
            claims = _Claims.model_validate_json(read["payload"])
        except (InvalidTokenError, ValidationError) as error:
            raise BearerTokenError from error
        if not claims.not_before <= time.time() < claims.expires:
            raise BearerTokenError
        return Bearer(claims.user, claims.expires, token)
