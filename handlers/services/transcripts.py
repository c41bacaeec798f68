"""Transcripts: what was said in a consultation. Documents go in and come out as they are stored.

Nothing here is transactional: each change is a single write.
"""

from __future__ import annotations

from bson import ObjectId

from handlers.storage.store import Collection, Document, Filter, equals


class Transcripts:
    """The transcripts of a collection; all raise `StoreError` where the store fails."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def of_consultation(self, consultation: object, clinician: object) -> Document | None:
        """The first transcript of a consultation that is one's own."""
        if not (isinstance(consultation, ObjectId) and isinstance(clinician, ObjectId)):
            return await self._collection.find_one({"consultation": consultation, "clinician": clinician})
        found = await self._collection.find_by("consultation", consultation)
        own = (each for each in found if equals(each.get("clinician"), clinician))
        return next(own, None)

    async def get_own(self, identity: ObjectId, clinician: ObjectId) -> Document | None:
        """A transcript of one's own."""
        found = await self._collection.get(identity)
        return found if found is not None and equals(found.get("clinician"), clinician) else None

    async def change_own(self, identity: object, clinician: object, update: Filter) -> Document | None:
        """Changes a transcript of one's own, and answers it as it is then."""
        return await self._collection.update_and_get({"_id": identity, "clinician": clinician}, update)

    async def change(self, identity: object, update: Filter) -> Document | None:
        """Changes anybody's transcript, and answers it as it is then."""
        return await self._collection.update_and_get({"_id": identity}, update)
