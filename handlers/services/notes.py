"""Notes on consultations.

`add_to` is transactional: a note and its link on its consultation are written together or not at all, if MongoDB
has transactions. If the link is refused (an older consultation whose notes are not an array), the dialect stores the
note without a link, as the legacy does. All other methods are single writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bson import ObjectId

from handlers.storage.collection import Filter
from handlers.storage.errors import later_write
from handlers.storage.reads import Document
from handlers.storage.store import Store

NEWEST_FIRST: Final = (("created_at", -1),)


class Notes:
    """The notes of a store; all methods raise `StoreError` if the store fails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, note: Document) -> None:
        """Store a note without a link on its consultation."""
        await self._store.notes.insert(note)

    async def add_to(self, note: Document, consultation: Filter, link: Filter) -> bool:
        """Store a note and link it on the consultation that matches a filter, in one transaction.

        Return whether a consultation matched. If none did, the note is stored nevertheless. Raises
        `LaterWriteRefusedError` if the server refuses the link.
        """

        async def write() -> bool:
            await self._store.notes.insert(note)
            with later_write():
                return bool(await self._store.consultations.update_one(consultation, link))

        return await self._store.run_in_transaction(write)

    async def get(self, identity: object) -> Document | None:
        """Return a note of any clinician."""
        return await self._store.notes.get(identity)

    async def of_consultation(self, consultation: object) -> Sequence[Document]:
        """Return all notes on a consultation, newest first."""
        return await self._store.notes.find_by("consultation", consultation, sort=NEWEST_FIRST)

    async def page_of(
        self, consultation: ObjectId, clinician: ObjectId, *, limit: int, skip: int
    ) -> tuple[Sequence[Document], int]:
        """Return one page of a clinician's notes on a consultation, newest first, and the number of all of them."""
        own = {"consultation": consultation, "clinician": clinician}
        return await self._store.notes.page(own, sort=(*NEWEST_FIRST, ("_id", -1)), limit=limit, skip=skip)

    async def change_own(self, identity: ObjectId, clinician: ObjectId, update: Filter) -> Document | None:
        """Update a note of this clinician; return the updated document."""
        return await self._store.notes.update_and_get({"_id": identity, "clinician": clinician}, update)

    async def remove_own(self, identity: ObjectId, clinician: ObjectId) -> bool:
        """Delete a note of this clinician, whose id stays on its consultation; return whether it existed."""
        return bool(await self._store.notes.delete({"_id": identity, "clinician": clinician}))

    async def change(self, where: Filter, update: Filter) -> bool:
        """Update a note; return whether it exists."""
        return bool(await self._store.notes.update_one(where, update))

    async def remove(self, identity: object) -> None:
        """Delete a note; its id stays on its consultation."""
        await self._store.notes.delete({"_id": identity})
