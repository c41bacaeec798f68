"""Sessions of people on the ops pages, and the check of the tokens with which they begin.

There are two roles, each with a token: an operator may do everything, a viewer may read and triage. A session is a
signed cookie, which every process with the same tokens accepts. A logout ends it in all of them (`revocations`).
Changing the token of a role ends the sessions of that role.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import jwt

from proxy.ops.attempts import FailedAttempts
from proxy.ops.revocations import RevokedSessions

logger = logging.getLogger("scribe_proxy")

Role = Literal["operator", "viewer"]

SESSION_LIFETIME: Final = 12 * 3600
"""Duration of a session in seconds."""
_CLAIMS: Final = ["exp", "name", "form", "jti"]


@dataclass(frozen=True, slots=True)
class Session:
    """A valid session. `expires` is in seconds since the epoch; `form` is the token that its forms must repeat."""

    id: str
    name: str
    role: Role
    form: str
    expires: float


class Sessions:
    """Begins, recognizes and ends sessions. `tokens` has a secret for each role that exists.

    `clock` returns the seconds since the epoch at which a session begins.
    """

    def __init__(
        self,
        tokens: Mapping[Role, str],
        revoked: RevokedSessions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens: Final = {role: token.encode() for role, token in tokens.items()}
        self._keys: Final = {role: _key(role, token) for role, token in self._tokens.items()}
        self._revoked: Final = revoked or RevokedSessions()
        self._attempts: Final = FailedAttempts()
        self._clock: Final = clock

    def role_of(self, token: str, address: str | None) -> Role | None:
        """Return the role of a token, compared in constant time; None for a wrong one, logged with the address.

        Raises TooManyAttemptsError, without comparing, if the address has sent too many wrong tokens.
        """
        self._attempts.admit(address)
        given = token.encode("utf-8", "surrogatepass")
        roles = [role for role, expected in self._tokens.items() if hmac.compare_digest(given, expected)]
        if roles:
            self._attempts.succeed(address)
            return roles[0]
        self._attempts.fail(address)
        logger.warning("ops: a wrong token from %s", address or "a Unix socket")
        return None

    def begin(self, name: str, role: Role) -> str:
        """Return a session of that person, as the cookie's value."""
        now = int(self._clock())
        claims = {"name": name, "form": secrets.token_urlsafe(16), "jti": secrets.token_urlsafe(16)}
        return jwt.encode({**claims, "exp": now + SESSION_LIFETIME}, self._keys[role], "HS256")

    async def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie's value; None for any other value, and for an expired or ended session."""
        for role, key in self._keys.items():
            try:
                claims: dict[str, Any] = jwt.decode(cookie, key, ["HS256"], {"require": _CLAIMS})
            except jwt.InvalidTokenError:
                continue
            session = Session(claims["jti"], claims["name"], role, claims["form"], claims["exp"])
            return None if await self._revoked.is_revoked(session.id) else session
        return None

    async def end(self, session: Session) -> None:
        """End a session in all processes, for every copy of its cookie."""
        await self._revoked.revoke(session.id, session.expires)


def _key(role: Role, token: bytes) -> bytes:
    return hashlib.sha256(f"scribe-proxy ops session {role}\0".encode() + token).digest()
