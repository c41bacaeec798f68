"""Accounts: an email address belongs to one user, who authenticates with a password.

Nothing here is transactional: a new account is a single write, and the unique index ensures that its address is
free.
"""

from typing import Final

from bson import ObjectId

from handlers.services.passwords import Passwords
from handlers.storage.collection import Collection
from handlers.storage.errors import DuplicateError
from handlers.storage.reads import Document

SHOWN: Final = ("username", "email", "role", "createdAt")
_READ: Final = (*SHOWN, "__v")
"""The fields of a profile, and the version, which may be one that the legacy cannot read."""


class EmailTakenError(Exception):
    """An email address that already belongs to a user."""


class Users:
    """The users of a collection; all methods raise `StoreError` if the store fails."""

    def __init__(self, collection: Collection, passwords: Passwords) -> None:
        self._collection = collection
        self._passwords = passwords

    async def find_by_email(self, email: object) -> Document | None:
        """Return the user of an address, or the first match of a query on addresses."""
        return await self._collection.find_one({"email": email})

    async def show(self, identity: object) -> Document | None:
        """Return the stored fields of a user's profile (`SHOWN`), and its version."""
        return await self._collection.get(identity, _READ)

    async def role_of(self, identity: ObjectId) -> object:
        """Return a user's role as stored; None if the user does not exist."""
        user = await self._collection.get(identity, ("role",))
        return None if user is None else user.get("role")

    async def hash(self, password: str) -> str:
        """Return the hash to store for a new password."""
        return await self._passwords.hash(password)

    async def add(self, user: Document) -> None:
        """Store a new user; raises `EmailTakenError`, also for concurrent registrations."""
        try:
            await self._collection.insert(user)
        except DuplicateError as error:
            raise EmailTakenError from error

    async def verify_password(self, password: str, hashed: str | None) -> bool:
        """Return whether the password is correct; without a hash (no such user), return False after the same time."""
        if hashed is None:
            await self._passwords.dummy_verify(password)
            return False
        return await self._passwords.matches(password, hashed)
