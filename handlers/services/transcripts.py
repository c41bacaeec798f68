"""Transcripts of consultations. Documents are passed as they are stored.

Nothing here is transactional: each change is a single write.
"""

from __future__ import annotations

from bson import ObjectId

from handlers.storage.collection import Collection, Filter
from handlers.storage.reads import Document


class Transcripts:
    """The transcripts of a collection; all methods raise `StoreError` if the store fails."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def of_consultation(self, consultation: object, clinician: object) -> Document | None:
        """Return the clinician's first transcript of a consultation."""
        return await self._collection.find_owned("consultation", consultation, clinician)

    async def get_own(self, identity: ObjectId | None, clinician: ObjectId) -> Document | None:
        """Return a transcript of this clinician."""
        return await self._collection.find_owned("_id", identity, clinician)

    async def change_own(self, identity: object, clinician: object, update: Filter) -> Document | None:
        """Update a transcript of this clinician; return the updated document."""
        return await self._collection.update_and_get({"_id": identity, "clinician": clinician}, update)

    async def change(self, identity: object, update: Filter) -> Document | None:
        """Update a transcript of any clinician; return the updated document."""
        return await self._collection.update_and_get({"_id": identity}, update)
