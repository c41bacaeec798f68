"""Passwords as node's bcrypt 6 hashes and compares them, off the event loop.

Hashes go both ways between the backends: `$2b$` of cost 8 are written, `$2a$` and `$2b$` are understood.
Passwords are cut after 72 bytes and may hold NULs. bcrypt lets go of the interpreter while it works, so a few
threads keep all cores busy while the event loop goes on answering. They are of its priority: one of a lower that is
made to wait while it holds the interpreter makes the loop wait too, up to 100 ms (measured).
"""

import asyncio
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import bcrypt

COST: Final = 8

_LONGEST: Final = 72
_HASH: Final = re.compile(r"\$2[ab]\$[0-9]{2}\$[./A-Za-z0-9]{53}", re.ASCII)
_NOBODYS: Final = b"$2b$08$CCCCCCCCCCCCCCCCCCCCC.NHzVwfj9tTjbQPsbWqJOeDyWk2CUQhy"


class Passwords:
    """A bounded pool of threads that hash and compare; `threads` defaults to the number of cores."""

    def __init__(self, threads: int | None = None, *, cost: int = COST) -> None:
        self._cost = cost
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, "bcrypt")

    async def hash(self, password: str) -> str:
        """A new `$2b$` hash."""
        return (await self._hash(password, bcrypt.gensalt(self._cost))).decode()

    async def matches(self, password: str, hashed: str) -> bool:
        """Whether a hash is of this password; what is no hash is of none."""
        if not _HASH.fullmatch(hashed):
            return False
        try:
            made = await self._hash(password, hashed.encode())
        except ValueError:
            return False
        return made == hashed.encode()

    async def dummy_verify(self, password: str) -> None:
        """Spend the time of a comparison, for an account that does not exist."""
        await self._hash(password, _NOBODYS)

    async def _hash(self, password: str, salt: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, bcrypt.hashpw, encode(password), salt)

    def close(self) -> None:
        """Let go of the threads; what is under way is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def encode(password: str) -> bytes:
    """The bytes that count: UTF-8, with lone surrogates replaced as Node does it, and 72 at most."""
    text = password[: 2 * _LONGEST].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.encode()[:_LONGEST]
