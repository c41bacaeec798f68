"""Password hashing compatible with node's bcrypt 6, outside the event loop.

Both backends read each other's hashes: `$2b$` of cost 8 is written, `$2a$` and `$2b$` are read. Passwords are
truncated to 72 bytes and may contain NULs. bcrypt releases the interpreter lock while it works, so a few threads use
all cores while the event loop continues. The threads have the loop's priority: a thread of lower priority that is
preempted while it holds the lock blocks the loop for up to 100 ms (measured).
"""

import asyncio
import os
import re
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final

import bcrypt

COST: Final = 8

_MAX_BYTES: Final = 72
_HASH: Final = re.compile(r"\$2[ab]\$[0-9]{2}\$[./A-Za-z0-9]{53}", re.ASCII)
_DUMMY_HASH: Final = b"$2b$08$CCCCCCCCCCCCCCCCCCCCC.NHzVwfj9tTjbQPsbWqJOeDyWk2CUQhy"


class Passwords:
    """Hashes and compares passwords in `pool`, by default a thread for each core."""

    def __init__(self, pool: Executor | None = None, *, cost: int = COST) -> None:
        self._cost = cost
        self._pool = pool or ThreadPoolExecutor(os.cpu_count() or 1, "bcrypt")

    async def hash(self, password: str) -> str:
        """Return a new `$2b$` hash."""
        return (await self._hash(password, bcrypt.gensalt(self._cost))).decode()

    async def matches(self, password: str, hashed: str) -> bool:
        """Return whether a hash belongs to this password; False for a malformed hash. A hash ends at a NUL."""
        hashed = hashed.partition("\0")[0]
        if not _HASH.fullmatch(hashed):
            return False
        try:
            computed = await self._hash(password, hashed.encode())
        except ValueError:
            return False
        return computed == hashed.encode()

    async def dummy_verify(self, password: str) -> None:
        """Take as long as a comparison, for an account that does not exist."""
        await self._hash(password, _DUMMY_HASH)

    async def _hash(self, password: str, salt: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, bcrypt.hashpw, encode(password), salt)

    def close(self) -> None:
        """Release the threads; running work completes."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def encode(password: str) -> bytes:
    """Return the significant bytes: UTF-8, at most 72, lone surrogates replaced as Node does."""
    text = password[: 2 * _MAX_BYTES].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.encode()[:_MAX_BYTES]
