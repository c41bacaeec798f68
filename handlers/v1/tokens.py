"""The legacy's tokens, held to more: HS256 alone, an `exp` that is required, a `userID` that is an id.

Either surface takes the other's tokens. PyJWT judges the signature; what it warns of, that the shared secret is shorter
than RFC 7518 (3.2) wants, is not for this side to choose.
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
    """A token that opens nothing."""


def _is_canonical(token: str) -> bool:
    """Whether each part is base64url as it would be encoded: without padding, with unused bits of zero."""
    if not _COMPACT.fullmatch(token):
        return False
    try:
        return all(base64url_encode(base64url_decode(part)).decode() == part for part in token.split("."))
    except ValueError:  # a part of a length that no bytes have
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
    """Whose token it is, and until when it lasts (seconds since 1970)."""

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
        """A token for somebody who has just proved who they are."""
        now = int(time.time())
        claims = {"userID": str(user), "author": username, "iat": now, "exp": now + self._lifetime}
        return self._jws.encode(json.dumps(claims).encode(), self._secret, ALGORITHM)

    def read(self, token: str) -> Bearer:
        """Whose a token is, if it is in time; raises `TokenError`.

        A signature has many spellings that decode alike (padding, stray characters, unused bits). Only the one of
        RFC 7515 (2) is taken: a token that is listed as logged out must not be good in another spelling.
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
