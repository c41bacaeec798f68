"""Consultations: begun with a transcript, ended with its summary.

Transactional are `start` (consultation and transcript), `end` and `finish` (transcript and consultation): both
documents are written or neither, where MongoDB has transactions. `keep` is a single write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bson import ObjectId

from handlers.services.documents import now
from handlers.storage.store import Document, Filter, Store, equals

NEWEST_FIRST: Final = (("started_at", -1),)


class Consultations:
    """The consultations of a store; all raise `StoreError` where the store fails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def start(self, consultation: Document, transcript: Document) -> None:
        """Stores a consultation and its transcript, which refer to each other, in one transaction."""

        async def write() -> None:
            await self._store.consultations.insert(consultation)
            await self._store.transcripts.insert(transcript)

        await self._store.run_in_transaction(write)

    async def get(self, identity: object) -> Document | None:
        """A consultation, whosoever's."""
        return await self._store.consultations.get(identity)

    async def get_own(self, identity: object, clinician: object) -> Document | None:
        """A consultation of one's own."""
        if not (isinstance(identity, ObjectId) and isinstance(clinician, ObjectId)):
            return await self._store.consultations.find_one({"_id": identity, "clinician": clinician})
        found = await self._store.consultations.get(identity)
        return found if found is not None and equals(found.get("clinician"), clinician) else None

    async def list_of(self, clinician: object) -> Sequence[Document]:
        """One's own consultations, newest first."""
        return await self._store.consultations.find_by("clinician", clinician, sort=NEWEST_FIRST)

    async def page_of(self, clinician: ObjectId, *, limit: int, skip: int) -> tuple[Sequence[Document], int]:
        """Some of one's own consultations, newest first, and how many there are."""
        order = (*NEWEST_FIRST, ("_id", -1))
        return await self._store.consultations.page({"clinician": clinician}, sort=order, limit=limit, skip=skip)

    async def transcript(self, identity: object) -> Document | None:
        """The transcript that a consultation refers to."""
        return await self._store.transcripts.get(identity)

    async def keep(self, where: Filter, update: Filter) -> None:
        """Changes a transcript alone."""
        await self._store.transcripts.update_one(where, update)

    async def end(self, transcript: tuple[Filter, Filter], consultation: tuple[Filter, Filter]) -> tuple[bool, bool]:
        """Writes what ends a consultation, on its transcript and on itself, in one transaction.

        Each is a filter and an update; tells whether each was still there. Without the transcript nothing is
        changed; without the consultation the transcript is.
        """

        async def write() -> tuple[bool, bool]:
            kept = await self._store.transcripts.update_one(*transcript)
            ended = await self._store.consultations.update_one(*consultation) if kept else 0
            return bool(kept), bool(ended)

        return await self._store.run_in_transaction(write)

    async def finish(self, identity: ObjectId, clinician: ObjectId, summary: str | None) -> Document | None:
        """Ends one's own consultation and keeps its summary, in one transaction; answers it as it is then.

        None where it has been ended already, or is not there; nothing is changed then.
        """
        moment = now()
        active = {"_id": identity, "clinician": clinician, "status": {"$ne": "ended"}}
        said = {} if summary is None else {"summary": summary}

        async def write() -> Document | None:
            ended = await self._store.consultations.update_and_get(
                active, {"$set": {"status": "ended", "ended_at": moment}}
            )
            if ended is not None:
                where = {"_id": ended.get("transcript"), "clinician": clinician}
                await self._store.transcripts.update_one(where, {"$set": {**said, "updated_at": moment}})
            return ended

        return await self._store.run_in_transaction(write)
