"""`/users` in the legacy dialect, the only resource with routes that require no token.

If the legacy hangs or dies, native answers (contracts/divergences.yaml): a wrong password, a logout without a
token, an account that mongoose refuses, concurrent registrations of one address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from handlers.legacy.auth import NO_TOKEN, bearer, sign
from handlers.legacy.express import Handler, Reply, Request, Router, json
from handlers.legacy.javascript import UNDEFINED, Value
from handlers.legacy.legacy_errors import CAUGHT, legacy_errors
from handlers.legacy.models import USERS
from handlers.legacy.mongoose import (
    CastError,
    Document,
    MongooseError,
    ValidationError,
    by_id,
    cast_filter,
    to_bson,
)
from handlers.services.login_limits import LoginLimits
from handlers.services.token_blocklist import TokenBlocklist
from handlers.services.users import SHOWN, EmailTakenError, Users
from handlers.storage.errors import RefusedError
from handlers.yielding import yield_fairly

_TAKEN: Final = {"msg": "User already exists"}
_WRONG: Final = "wrong credentials"


def refuse_profile(_: str) -> Reply:
    """Return the answer of a failed profile read."""
    return json(500, {"error": "Failed to fetch profile"})


def refuse_check(_: str) -> Reply:
    """Return the answer of a failed address check."""
    return json(500, {"error": "Internal Server Error"})


async def sent(error: Exception) -> Reply:
    """Answer as `res.send(error)` does, for one of `CAUGHT`. The event loop runs first: the error may be long."""
    await yield_fairly()
    if isinstance(error, RefusedError):
        return json(200, server_error(error.response))
    return json(200, error.to_json() if isinstance(error, MongooseError) else {})


def server_error(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the Node driver's `MongoServerError` for a server's reply, in its order."""
    hidden = ("errorLabels", "errmsg", "message", "errorResponse")
    return {
        "errorLabelSet": {},
        "errorResponse": dict(response),
        **{name: value for name, value in response.items() if name not in hidden},
    }


@dataclass(frozen=True)
class UserRoutes:
    """The routes and their services.

    `lifetime` is a login's, in seconds. `runs_operators` lets an email be a query operator, as in the legacy. A
    login beyond `limits` raises `TooManyAttemptsError`.
    """

    users: Users
    token_blocklist: TokenBlocklist
    authenticate: Handler
    secret: str
    lifetime: int
    runs_operators: bool
    limits: LoginLimits | None

    def router(self) -> Router:
        """Return the routes below `/users`, in the legacy's order."""
        router = Router()
        router.post("/register", self.register)
        router.post("/login", self.log_in)
        router.post("/logout", self.log_out)
        router.get("/users/checkEmail", self.check_email)
        router.get("/profile", self.authenticate, self.show_profile)
        return router

    async def register(self, request: Request) -> Reply:
        """Answer `POST /register {username, email, password, role}`."""
        username, email, password, role = request.fields("username", "email", "password", "role")
        try:
            taken = await self._find(email)
        except CAUGHT as error:
            return await sent(error)
        if taken is not None:
            return json(401, _TAKEN)
        if not isinstance(password, str):
            return json(200, {"err": "error hashing password"})
        hashed = await self.users.hash(password)
        fields: dict[str, Value] = {"username": username, "email": email, "password": hashed, "role": role}
        return await self._add(Document.create(USERS, fields))

    async def _add(self, user: Document) -> Reply:
        try:
            user.validate()
            await self.users.add(user.to_insert())
        except ValidationError as error:
            return json(400, {"msg": str(error)})
        except EmailTakenError:
            return json(401, _TAKEN)
        except RefusedError as error:
            return json(500, {"msg": str(error)})
        return json(200, {"msg": "User has been registered"})

    async def log_in(self, request: Request) -> Reply:
        """Answer `POST /login {email, password}`: a token or the reason for a refusal, with 200 either way."""
        email, password = request.fields("email", "password")
        try:
            user = await self._find(email)
        except CAUGHT as error:
            return await sent(error)
        hashed = None if user is None else user.get("password")
        if user is not None and not (isinstance(password, str) and isinstance(hashed, str)):
            return json(200, {"msg": _WRONG, "err": {}})
        right = isinstance(password, str) and await self._verify(request, user, password, cast("str | None", hashed))
        if user is None:
            return json(200, {"msg": "user doesnt exist"})
        if not right:
            return json(200, {"msg": _WRONG})
        return json(200, {"msg": "login successful", "token": self._token(user)})

    async def _verify(self, request: Request, user: Document | None, password: str, hashed: str | None) -> bool:
        """Return whether the password is right. Attempts on accounts that do not exist are not counted."""
        if user is None or self.limits is None:
            return await self.users.verify_password(password, hashed)
        return await self.limits.verify(
            request.client_host, str(user.get("email")), lambda: self.users.verify_password(password, hashed)
        )

    def _token(self, user: Document) -> str:
        claims = {"userID": user.get("_id"), "author": user.get("username")}
        return sign(claims, self.secret, self.lifetime)

    async def log_out(self, request: Request) -> Reply:
        """Answer `POST /logout`: list the token, valid or not."""
        token = bearer(request)
        if not token:
            return json(401, {"msg": NO_TOKEN})
        try:
            await self.token_blocklist.revoke(token)
        except CAUGHT as error:
            return await sent(error)
        return json(200, {"msg": "user logged out successfully"})

    @legacy_errors(refuse_check)
    async def check_email(self, request: Request) -> Reply:
        """Answer `GET /users/checkEmail?email=`: whether an address is free; of several, whether all are."""
        user = await self._find(cast(Value, request.query.get("email", UNDEFINED)))
        return json(200, {"available": user is None})

    @legacy_errors(refuse_profile)
    async def show_profile(self, request: Request) -> Reply:
        """Answer `GET /profile`: the caller's own."""
        identity = cast_filter(USERS, by_id(request.user_id))["_id"]
        stored = await self.users.show(identity)
        if stored is None:
            return json(404, {"message": "User not found"})
        user = Document.read(USERS, stored, SHOWN)
        shown = {name: user.get(name) for name in SHOWN}
        return json(200, {"success": True, "data": {"name": shown.pop("username"), **shown}})

    async def _find(self, email: Value) -> Document | None:
        """Return the user of an address; raises one of `CAUGHT`."""
        stored = await self.users.find_by_email(self._filter(email))
        return None if stored is None else Document.read(USERS, stored)

    def _filter(self, email: Value) -> object:
        """Return the email as a query filter; raises `MongooseError`."""
        if isinstance(email, dict) and not self.runs_operators:
            return _literal(email)
        return cast_filter(USERS, {"email": email})["email"]


def _literal(email: Value) -> object:
    """Cast an object in place of an email as mongoose does with `sanitizeFilter` on: never as a query."""
    try:
        return to_bson(USERS.paths["email"].for_query(None, email))
    except CastError as error:
        error.name_model(USERS.model)
        raise
