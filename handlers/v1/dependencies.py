"""FastAPI dependencies: the app state, the services and the authenticated caller.

A token is valid until it expires or is revoked, and while its user exists.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from bson import ObjectId
from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from handlers.container import Services
from handlers.services.login_limits import LoginLimits
from handlers.settings import Settings
from handlers.v1.rate_limits import RateLimiter
from handlers.v1.tokens import Bearer, BearerTokenError, Tokens

CLINICIAN: Final = "clinician"
_CHALLENGE: Final = {"www-authenticate": "Bearer"}


@dataclass(frozen=True)
class AppState:
    """The running app's services and settings, for the routes."""

    services: Services
    settings: Settings
    tokens: Tokens
    rate_limiter: RateLimiter
    login_limits: LoginLimits


@dataclass(frozen=True)
class Caller:
    """An authenticated user with the stored role."""

    bearer: Bearer
    role: object

    @property
    def identity(self) -> ObjectId:
        return self.bearer.user

    def require_clinician(self) -> ObjectId:
        """Return the user's id; raises a 403 for any other role."""
        if self.role != CLINICIAN:
            raise HTTPException(403, "Only clinicians may do this")
        return self.identity


async def app_state(connection: HTTPConnection) -> AppState:
    """Return the app state that is set at start-up."""
    state: AppState = connection.app.state.app_state
    return state


async def services(state: Annotated[AppState, Depends(app_state)]) -> Services:
    """Return the services."""
    return state.services


async def identify(state: AppState, token: str | None) -> Caller:
    """Return the caller of a token; raises a 401."""
    if not token:
        raise HTTPException(401, "Not authenticated", _CHALLENGE)
    try:
        bearer = state.tokens.read(token)
    except BearerTokenError:
        raise HTTPException(401, "Invalid or expired token", _CHALLENGE) from None
    services = state.services
    is_revoked, role = await asyncio.gather(
        services.token_blocklist.is_revoked(token), services.users.role_of(bearer.user)
    )
    if is_revoked or role is None:
        raise HTTPException(401, "Invalid or expired token", _CHALLENGE)
    return Caller(bearer, role)


_scheme = HTTPBearer(scheme_name="bearer", bearerFormat="JWT", auto_error=False)


async def authenticate(
    state: Annotated[AppState, Depends(app_state)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)],
) -> Caller:
    """Return the caller of the token in `Authorization: Bearer …`; raises a 401."""
    return await identify(state, credentials.credentials if credentials else None)


async def clinician(caller: Annotated[Caller, Depends(authenticate)]) -> ObjectId:
    """Return the caller's id if they are a clinician; raises a 401 or a 403."""
    return caller.require_clinician()


StateDep = Annotated[AppState, Depends(app_state)]
ServicesDep = Annotated[Services, Depends(services)]
CurrentUser = Annotated[Caller, Depends(authenticate)]
CurrentClinician = Annotated[ObjectId, Depends(clinician)]
