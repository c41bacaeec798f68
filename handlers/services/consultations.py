"""Consultations: started with a transcript, ended with its summary.

`start` (consultation and transcript), `end` and `finish` (transcript and consultation) are transactional: both
documents are written or neither, if MongoDB has transactions. `update_transcript` is a single write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bson import ObjectId

from handlers.services.documents import now
from handlers.storage.collection import Filter
from handlers.storage.errors import later_write
from handlers.storage.reads import Document
from handlers.storage.store import Store

NEWEST_FIRST: Final = (("started_at", -1),)


class Consultations:
    """The consultations of a store; all methods raise `StoreError` if the store fails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def start(self, consultation: Document, transcript: Document) -> None:
        """Store a consultation and its transcript, which refer to each other, in one transaction."""

        async def write() -> None:
            await self._store.consultations.insert(consultation)
            await self._store.transcripts.insert(transcript)

        await self._store.run_in_transaction(write)

    async def get(self, identity: object) -> Document | None:
        """Return a consultation of any clinician."""
        return await self._store.consultations.get(identity)

    async def get_own(self, identity: object, clinician: object) -> Document | None:
        """Return a consultation of this clinician."""
        return await self._store.consultations.find_owned("_id", identity, clinician)

    async def list_of(self, clinician: object) -> Sequence[Document]:
        """Return a clinician's consultations, newest first."""
        return await self._store.consultations.find_by("clinician", clinician, sort=NEWEST_FIRST)

    async def page_of(self, clinician: ObjectId, *, limit: int, skip: int) -> tuple[Sequence[Document], int]:
        """Return one page of a clinician's consultations, newest first, and the number of all of them."""
        order = (*NEWEST_FIRST, ("_id", -1))
        return await self._store.consultations.page({"clinician": clinician}, sort=order, limit=limit, skip=skip)

    async def transcript(self, identity: object) -> Document | None:
        """Return the transcript that a consultation refers to."""
        return await self._store.transcripts.get(identity)

    async def update_transcript(self, where: Filter, update: Filter) -> None:
        """Update a transcript alone."""
        await self._store.transcripts.update_one(where, update)

    async def end(
        self, transcript: tuple[Filter, Filter], consultation: tuple[Filter, Filter]
    ) -> tuple[Document | None, bool]:
        """Update a consultation and its transcript at its end, in one transaction.

        Each argument is a filter and an update; return the updated transcript (None if none matched) and whether the
        consultation matched. Neither depends on the other. Raises `LaterWriteRefusedError` if the server refuses the
        consultation's update.
        """

        async def write() -> tuple[Document | None, bool]:
            updated = await self._store.transcripts.update_and_get(*transcript)
            with later_write():
                return updated, bool(await self._store.consultations.update_one(*consultation))

        return await self._store.run_in_transaction(write)

    async def finish(self, identity: ObjectId, clinician: ObjectId, summary: str | None) -> Document | None:
        """End a clinician's own consultation and store its summary, in one transaction; return the updated document.

        Return None, and change nothing, if it has already ended or does not exist.
        """
        moment = now()
        active = {"_id": identity, "clinician": clinician, "status": {"$ne": "ended"}}
        fields = {} if summary is None else {"summary": summary}

        async def write() -> Document | None:
            ended = await self._store.consultations.update_and_get(
                active, {"$set": {"status": "ended", "ended_at": moment}}
            )
            if ended is not None:
                where = {"_id": ended.get("transcript"), "clinician": clinician}
                await self._store.transcripts.update_one(where, {"$set": {**fields, "updated_at": moment}})
            return ended

        return await self._store.run_in_transaction(write)
