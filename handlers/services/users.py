"""Accounts: an address belongs to one user, who proves it with a password.

Nothing here is transactional: a new account is a single write, and that its address is free the unique index decides.
"""

from typing import Final

from bson import ObjectId

from handlers.passwords import Passwords
from handlers.storage.errors import DuplicateError
from handlers.storage.store import Collection, Document

SHOWN: Final = ("username", "email", "role", "createdAt")


class EmailTakenError(Exception):
    """The address belongs to somebody already."""


class Users:
    """The users of a collection; all raise `StoreError` where the store fails."""

    def __init__(self, collection: Collection, passwords: Passwords) -> None:
        self._collection = collection
        self._passwords = passwords

    async def find_by_email(self, email: object) -> Document | None:
        """The user of an address, or of a query on addresses."""
        return await self._collection.find_one({"email": email})

    async def show(self, identity: object) -> Document | None:
        """What a user's profile shows, as stored: the fields `SHOWN`."""
        return await self._collection.get(identity, SHOWN)

    async def role_of(self, identity: ObjectId) -> object:
        """A user's role as stored; None where there is no such user."""
        found = await self._collection.get(identity, ("role",))
        return None if found is None else found.get("role")

    async def hash(self, password: str) -> str:
        """What is stored of a new password."""
        return await self._passwords.hash(password)

    async def add(self, user: Document) -> None:
        """Store a new user; raises `EmailTakenError`, also where two come at the same time."""
        try:
            await self._collection.insert(user)
        except DuplicateError as error:
            raise EmailTakenError from error

    async def verify_password(self, password: str, hashed: str | None) -> bool:
        """Whether the password is right. Without a hash, because there is no user, it takes as long to say no."""
        if hashed is None:
            await self._passwords.dummy_verify(password)
            return False
        return await self._passwords.matches(password, hashed)
