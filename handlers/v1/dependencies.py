"""Who asks: what every route may depend on. `Me` is anybody with a token that counts, `Clinician` a clinician's id.

A token counts while it is in time, has not been logged out, and its user is still there.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from bson import ObjectId
from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from handlers.container import Services
from handlers.settings import Settings
from handlers.v1.rate_limits import Throttle
from handlers.v1.tokens import Bearer, BearerTokenError, Tokens

CLINICIAN: Final = "clinician"
_CHALLENGE: Final = {"www-authenticate": "Bearer"}


@dataclass(frozen=True)
class AppState:
    """What the routes are given of the running app."""

    services: Services
    settings: Settings
    tokens: Tokens
    throttle: Throttle


@dataclass(frozen=True)
class Caller:
    """A user who has shown a token, and the role that is stored of them."""

    bearer: Bearer
    role: object

    @property
    def identity(self) -> ObjectId:
        return self.bearer.user

    def require_clinician(self) -> ObjectId:
        """Their id; raises a 403 for anybody else than a clinician."""
        if self.role != CLINICIAN:
            raise HTTPException(403, "Only clinicians may do this")
        return self.identity


async def house(connection: HTTPConnection) -> AppState:
    """Set when the app starts."""
    opened: AppState = connection.app.state.house
    return opened


async def services(here: Annotated[AppState, Depends(house)]) -> Services:
    """The product."""
    return here.services


async def identify(here: AppState, token: str | None) -> Caller:
    """Whose token it is; raises a 401."""
    if not token:
        raise HTTPException(401, "Not authenticated", _CHALLENGE)
    try:
        bearer = here.tokens.read(token)
    except BearerTokenError:
        raise HTTPException(401, "Invalid or expired token", _CHALLENGE) from None
    known = here.services
    is_revoked, role = await asyncio.gather(known.token_blocklist.is_revoked(token), known.users.role_of(bearer.user))
    if is_revoked or role is None:
        raise HTTPException(401, "Invalid or expired token", _CHALLENGE)
    return Caller(bearer, role)


_scheme = HTTPBearer(scheme_name="bearer", bearerFormat="JWT", auto_error=False)


async def authenticate(
    here: Annotated[AppState, Depends(house)],
    shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)],
) -> Caller:
    """Whoever the token in `Authorization: Bearer …` belongs to; raises a 401."""
    return await identify(here, shown.credentials if shown else None)


async def clinician(caller: Annotated[Caller, Depends(authenticate)]) -> ObjectId:
    """The same, a clinician; raises a 401 or a 403."""
    return caller.require_clinician()


Here = Annotated[AppState, Depends(house)]
Product = Annotated[Services, Depends(services)]
Me = Annotated[Caller, Depends(authenticate)]
Clinician = Annotated[ObjectId, Depends(clinician)]
