"""Sessions of people on the ops pages, and the check of the token that begins them.

A session is a signed cookie, so that every process with the same token knows it: other workers and later ones too. A
logout ends it in all of them (`revocations`); changing the token ends all sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

import jwt

from proxy.ops.attempts import FailedAttempts
from proxy.ops.revocations import RevokedSessions

logger = logging.getLogger("scribe_proxy")

LASTING: Final = 12 * 3600
"""Seconds a session lasts."""
_CLAIMS: Final = ["exp", "name", "form", "jti"]


@dataclass(frozen=True, slots=True)
class Session:
    """A session that was found valid. `expires` is in seconds since the epoch; `form` is what its forms must repeat."""

    id: str
    name: str
    form: str
    expires: float


class Sessions:
    """Makes sessions, recognises them, and ends them."""

    def __init__(
        self, token: str, revoked: RevokedSessions | None = None, attempts: FailedAttempts | None = None
    ) -> None:
        self._token: Final = token.encode()
        self._key: Final = hashlib.sha256(b"scribe-proxy ops session\0" + self._token).digest()
        self._revoked: Final = revoked or RevokedSessions()
        self._attempts: Final = attempts or FailedAttempts()

    def accepts(self, token: str, address: str | None) -> bool:
        """Return whether it is the token; compared in constant time. A wrong one is logged with the client's address.

        Raises TooManyAttemptsError where the address was wrong too often: then nothing is compared.
        """
        self._attempts.admit(address)
        if hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            self._attempts.succeed(address)
            return True
        self._attempts.fail(address)
        logger.warning("ops: a wrong token from %s", address or "a Unix socket")
        return False

    def begin(self, name: str) -> str:
        """Return a session of that person, as the cookie's value."""
        now = int(time.time())
        claims = {"name": name, "form": secrets.token_urlsafe(16), "jti": secrets.token_urlsafe(16)}
        return jwt.encode({**claims, "exp": now + LASTING}, self._key, "HS256")

    async def find(self, cookie: str) -> Session | None:
        """Return the session that a cookie's value is; None for anything else, expired and ended ones included."""
        try:
            claims: dict[str, Any] = jwt.decode(cookie, self._key, ["HS256"], {"require": _CLAIMS})
        except jwt.InvalidTokenError:
            return None
        session = Session(claims["jti"], claims["name"], claims["form"], claims["exp"])
        return None if await self._revoked.is_revoked(session.id) else session

    async def end(self, session: Session) -> None:
        """End a session, for whoever has a copy of its cookie, in all processes."""
        await self._revoked.revoke(session.id, session.expires)
