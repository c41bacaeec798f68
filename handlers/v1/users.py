"""`/api/v1/users`: accounts and their tokens."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import HTTPException, Request
from pydantic import EmailStr, Field, SecretStr, StringConstraints

from handlers.services.documents import new_user
from handlers.services.users import EmailTakenError
from handlers.v1 import document_readers
from handlers.v1.dependencies import CurrentUser, ServicesDep, StateDep
from handlers.v1.document_readers import Document
from handlers.v1.errors import error_responses, not_found
from handlers.v1.rate_limits import client_of, host_of
from handlers.v1.routing import create_router
from handlers.v1.schemas import Identity, RequestModel, ResponseModel

router = create_router("users", "/users")

_TAKEN: Final = "User already exists"
_WRONG: Final = "Incorrect email or password"
_VISIBLE: Final = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$"


class NewUser(RequestModel):
    """A user to register."""

    username: Annotated[str, StringConstraints(min_length=3, max_length=50, pattern=_VISIBLE)]
    email: EmailStr
    password: Annotated[SecretStr, Field(min_length=8, max_length=128)]
    role: Literal["patient", "clinician"]


class Login(RequestModel):
    """A user's credentials."""

    email: Annotated[str, StringConstraints(max_length=320)]
    password: Annotated[SecretStr, Field(max_length=1024)]


class User(ResponseModel):
    """An account."""

    id: Identity
    username: str
    email: str
    role: str
    created_at: datetime

    @classmethod
    def of(cls, document: Document) -> "User":
        """Return the response for a stored user."""
        return cls(
            id=document["_id"],
            username=document_readers.text(document, "username"),
            email=document_readers.text(document, "email"),
            role=document_readers.text(document, "role"),
            created_at=document_readers.birth(document, "createdAt"),
        )


class LoginSession(ResponseModel):
    """A login: the token for `Authorization: Bearer …`, and its user."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    user: User


class Message(ResponseModel):
    """A confirmation."""

    message: str


@router.post("/register", status_code=201, responses=error_responses(429, body=True))
async def register(new: NewUser, request: Request, state: StateDep) -> User:
    """Register. The email address must be free."""
    await state.rate_limiter.count_attempt(state.settings.register_limit, "register", client_of(request))
    users = state.services.users
    email = new.email.lower()
    if await users.find_by_email(email) is not None:
        raise HTTPException(400, _TAKEN)
    hashed = await users.hash(new.password.get_secret_value())
    user = new_user(new.username, email, hashed, new.role)
    try:
        await users.add(user)
    except EmailTakenError:
        raise HTTPException(400, _TAKEN) from None
    return User.of(user)


@router.post("/login", responses=error_responses(401, 429, body=True))
async def log_in(login: Login, request: Request, state: StateDep) -> LoginSession:
    """Log in. After too many wrong passwords, further attempts are refused for a while."""
    email = login.email.lower()
    users = state.services.users
    document = await users.find_by_email(email)
    hashed = None if document is None else document_readers.optional_text(document, "password")
    password = login.password.get_secret_value()
    right = await state.login_limits.verify(host_of(request), email, lambda: users.verify_password(password, hashed))
    if not right or document is None:
        raise HTTPException(401, _WRONG, {"www-authenticate": "Bearer"})
    user = User.of(document)
    return LoginSession(access_token=state.tokens.issue(user.id, user.username), user=user)


@router.post("/logout", responses=error_responses(401))
async def log_out(current: CurrentUser, services: ServicesDep) -> Message:
    """Log out. The token is refused from then on."""
    await services.token_blocklist.revoke(current.bearer.token)
    return Message(message="Logged out")


@router.get("/profile", responses=error_responses(401, 404))
async def profile(current: CurrentUser, services: ServicesDep) -> User:
    """Read one's own account."""
    document = await services.users.show(current.identity)
    if document is None:
        raise not_found("User")
    return User.of(document)
