"""The blocklist of logged-out tokens, shared by both backends: a listed token is refused.

A token stays listed until it has expired. Both backends write the same documents. These do not state the expiry, so a
periodic sweep removes expired tokens. Nothing here is transactional: a logout is a single write.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import jwt
from bson import ObjectId

from common.background_tasks import BackgroundTasks
from handlers.failure_log import summary_of
from handlers.storage.collection import Collection
from handlers.storage.dataloader import Loader
from handlers.storage.errors import StoreError
from handlers.storage.reads import Document
from handlers.storage.transactions import is_within_transaction

logger = logging.getLogger(__name__)

SWEEP_INTERVAL: Final = 60.0
"""Seconds between two sweeps for expired tokens."""

_BATCH: Final = 100


Clock = Callable[[], Awaitable[float]]
"""Seconds since 1970; raises `StoreError`."""


class TokenBlocklist:
    """The logged-out tokens. `lifetime`: of a token, in seconds. `clock`: the database's. `time`: this process's."""

    def __init__(
        self,
        collection: Collection,
        lifetime: float,
        clock: Clock,
        *,
        time: Callable[[], float] = time.time,
        sweep_interval: float = SWEEP_INTERVAL,
    ) -> None:
        self._collection = collection
        self._lifetime = lifetime
        self._clock = clock
        self._time = time
        self._sweep_interval = sweep_interval
        self._loader: Loader[str, bool] = Loader(self._fetch, False)
        self._tasks = BackgroundTasks()

    async def revoke(self, token: str) -> None:
        """List a token, valid or not."""
        await self._collection.insert({"_id": ObjectId(), "blackToken": token})

    async def is_revoked(self, token: str) -> bool:
        """Return whether a token is listed; concurrent lookups share one query."""
        if is_within_transaction():
            return bool(await self._fetch([token]))
        return await self._loader.load(token)

    async def _fetch(self, tokens: Sequence[str]) -> Mapping[str, bool]:
        listed = await self._collection.find({"blackToken": {"$in": list(tokens)}}, fields=["blackToken"])
        return {document["blackToken"]: True for document in listed if isinstance(document["blackToken"], str)}

    async def remove_expired(self) -> int:
        """Remove tokens that would be refused even if they were not listed; return how many.

        A token counts as expired when both clocks say so, this process's and the database's. Otherwise a clock that is
        ahead would empty the list, and logged-out tokens would be valid again once the clock is corrected.
        """
        now = min(self._time(), await self._clock())
        oldest = datetime.fromtimestamp(now - self._lifetime, UTC)
        after, removed = ObjectId("0" * 24), 0
        while True:
            span = {"$gt": after, "$lt": ObjectId.from_datetime(oldest)}
            listed = await self._collection.find({"_id": span}, sort=[("_id", 1)], limit=_BATCH)
            for document in (each for each in listed if _is_expired(each, now)):
                removed += await self._collection.delete({"_id": document["_id"]})
            if len(listed) < _BATCH:
                return removed
            after = listed[-1]["_id"]

    def start(self) -> None:
        """Start the sweep in the background; needs a running event loop."""
        self._tasks.start(self._sweep())

    async def close(self) -> None:
        """Stop the sweep."""
        await self._tasks.stop()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_interval)
            try:
                await self.remove_expired()
            except StoreError as error:
                logger.info("expired tokens stay listed for now: %s", summary_of(error))


def _is_expired(document: Document, now: float) -> bool:
    """Return whether a listed token is past its `exp`, or not a token."""
    try:
        claims = jwt.decode(document["blackToken"], options={"verify_signature": False})
    except (jwt.InvalidTokenError, KeyError):
        return True
    expires = claims.get("exp")
    return isinstance(expires, int | float) and expires <= now
