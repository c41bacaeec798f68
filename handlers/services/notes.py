"""Notes on consultations.

Transactional is `add_to`: a note and its place on its consultation are written together or not at all, where MongoDB
has transactions. A place that is refused (an older consultation whose notes are no list) is no failure between the
two: the dialect then keeps the note without one, as the legacy does. The others are single writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bson import ObjectId

from handlers.storage.store import Document, Filter, Store

NEWEST_FIRST: Final = (("created_at", -1),)


class Notes:
    """The notes of a store; all raise `StoreError` where the store fails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, note: Document) -> None:
        """Stores a note without a place on its consultation."""
        await self._store.notes.insert(note)

    async def add_to(self, note: Document, consultation: Filter, link: Filter) -> bool:
        """Stores a note and links it on the consultation that a filter finds, in one transaction.

        Tells whether there was one; if not, the note is stored all the same.
        """

        async def write() -> bool:
            await self._store.notes.insert(note)
            return bool(await self._store.consultations.update_one(consultation, link))

        return await self._store.run_in_transaction(write)

    async def get(self, identity: object) -> Document | None:
        """A note, whosoever's."""
        return await self._store.notes.get(identity)

    async def of_consultation(self, consultation: object) -> Sequence[Document]:
        """All notes on a consultation, newest first."""
        return await self._store.notes.find_by("consultation", consultation, sort=NEWEST_FIRST)

    async def page_of(
        self, consultation: ObjectId, clinician: ObjectId, *, limit: int, skip: int
    ) -> tuple[Sequence[Document], int]:
        """Some of one's own notes on a consultation, newest first, and how many there are."""
        own = {"consultation": consultation, "clinician": clinician}
        return await self._store.notes.page(own, sort=(*NEWEST_FIRST, ("_id", -1)), limit=limit, skip=skip)

    async def change_own(self, identity: ObjectId, clinician: ObjectId, update: Filter) -> Document | None:
        """Changes a note of one's own, and answers it as it is then."""
        return await self._store.notes.update_and_get({"_id": identity, "clinician": clinician}, update)

    async def remove_own(self, identity: ObjectId, clinician: ObjectId) -> bool:
        """Removes a note of one's own, whose id stays on its consultation; tells whether there was one."""
        return bool(await self._store.notes.delete({"_id": identity, "clinician": clinician}))

    async def change(self, where: Filter, update: Filter) -> bool:
        """Changes a note; tells whether it is still there."""
        return bool(await self._store.notes.update_one(where, update))

    async def remove(self, identity: object) -> None:
        """Removes a note; its id stays on its consultation."""
        await self._store.notes.delete({"_id": identity})
