"""The list of logged-out tokens, shared by both backends: a token on it opens nothing any more.

A token stays listed for as long as it could still open something. Both backends write the same documents,
which say nothing of when that is, so expired ones are looked for from time to time. Nothing here is transactional:
logging out is a single write.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import jwt
from bson import ObjectId

from handlers.failure_log import summary_of
from handlers.storage.dataloader import Loader
from handlers.storage.errors import StoreError
from handlers.storage.store import Collection, Document
from handlers.storage.transactions import is_within_transaction

logger = logging.getLogger(__name__)

SWEEP_INTERVAL: Final = 60.0
"""Seconds between two searches for expired tokens."""

_BATCH: Final = 100


Clock = Callable[[], Awaitable[float]]
"""Seconds since 1970; raises `StoreError`."""


class TokenBlocklist:
    """Logging out, and finding out who has. `lifetime` is a token's, in seconds; `clock` is the database's."""

    def __init__(self, collection: Collection, lifetime: float, clock: Clock) -> None:
        self._collection = collection
        self._lifetime = lifetime
        self._clock = clock
        self._loader: Loader[str, bool] = Loader(self._look_up, False)
        self._sweeping: asyncio.Task[None] | None = None

    async def revoke(self, token: str) -> None:
        """List a token, be it one or not."""
        await self._collection.insert({"_id": ObjectId(), "blackToken": token})

    async def is_revoked(self, token: str) -> bool:
        """Whether a token is listed; questions that come at the same time travel in one query."""
        if is_within_transaction():
            return bool(await self._look_up([token]))
        return await self._loader.load(token)

    async def _look_up(self, tokens: Sequence[str]) -> Mapping[str, bool]:
        found = await self._collection.find({"blackToken": {"$in": list(tokens)}}, fields=["blackToken"])
        return {document["blackToken"]: True for document in found if isinstance(document["blackToken"], str)}

    async def forget_expired(self) -> int:
        """Remove tokens that could open nothing even if they were not listed; return how many.

        A token has expired when it has by both clocks, this process's and the database's: one that is ahead would
        else empty the list, and logged-out tokens would be good again once it is set right.
        """
        now = min(time.time(), await self._clock())
        oldest = datetime.fromtimestamp(now - self._lifetime, UTC)
        after, forgotten = ObjectId("0" * 24), 0
        while True:
            span = {"$gt": after, "$lt": ObjectId.from_datetime(oldest)}
            listed = await self._collection.find({"_id": span}, sort=[("_id", 1)], limit=_BATCH)
            for document in (each for each in listed if _is_expired(each, now)):
                forgotten += await self._collection.delete({"_id": document["_id"]})
            if len(listed) < _BATCH:
                return forgotten
            after = listed[-1]["_id"]

    def start(self) -> None:
        """Begin to look for expired tokens, in the background; needs a running event loop."""
        self._sweeping = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        """Stop what runs in the background."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
            self._sweeping = None

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            try:
                await self.forget_expired()
            except StoreError as error:
                logger.info("expired tokens stay listed for now: %s", summary_of(error))


def _is_expired(document: Document, now: float) -> bool:
    """Whether a listed token is past its `exp`, or none at all."""
    try:
        claims = jwt.decode(document["blackToken"], options={"verify_signature": False})
    except (jwt.InvalidTokenError, KeyError):
        return True
    expires = claims.get("exp")
    return isinstance(expires, int | float) and expires <= now
