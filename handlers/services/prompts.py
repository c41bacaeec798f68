"""Prompts: what a clinician has the model do with a transcript, kept for oneself or shared with all.

Documents go in and come out as they are stored. A clinician is whom a query takes for one: an id. Nothing here is
transactional: each change is a single write.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from bson import ObjectId

from handlers.storage.dataloader import Loader
from handlers.storage.store import Collection, Document, Filter, equals
from handlers.storage.transactions import is_within_transaction

NEWEST_FIRST: Final = (("created_at", -1),)
"""Of the same moment the one stored first: the store sees to that, whatever index it is found by."""


class Prompts:
    """The prompts of a collection; all raise `StoreError` where the store fails."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._lists: Loader[Hashable, list[Document]] = Loader(self._find_lists, [])

    async def add(self, prompt: Document) -> None:
        """Stores a new prompt."""
        await self._collection.insert(prompt)

    async def get(self, identity: object) -> Document | None:
        """Anybody's prompt, retired or not."""
        return await self._collection.get(identity)

    async def list_for(self, clinician: object) -> Sequence[Document]:
        """One's own and the shared ones that are not retired, newest first."""
        if isinstance(clinician, ObjectId) and not is_within_transaction():
            return await self._lists.load(clinician)
        return await self._find([{"clinician": clinician}, {"is_shareable": True}])

    async def _find_lists(self, clinicians: Sequence[Hashable]) -> Mapping[Hashable, list[Document]]:
        owned = clinicians[0] if len(clinicians) == 1 else {"$in": list(clinicians)}
        found = await self._find([{"clinician": owned}, {"is_shareable": True}])
        if len(clinicians) == 1:
            return {clinicians[0]: found}
        return {clinician: [each for each in found if is_visible(each, clinician)] for clinician in clinicians}

    async def _find(self, alternatives: list[Filter]) -> list[Document]:
        return await self._collection.find({"$or": alternatives, "is_deleted": False}, sort=NEWEST_FIRST)

    async def page_for(self, clinician: ObjectId, *, limit: int, skip: int) -> tuple[Sequence[Document], int]:
        """Some of what `list_for` lists, in its order, and how many there are."""
        seen = {"$or": [{"clinician": clinician}, {"is_shareable": True}], "is_deleted": False}
        return await self._collection.page(seen, sort=(*NEWEST_FIRST, ("_id", 1)), limit=limit, skip=skip)

    async def get_visible(self, identity: ObjectId, clinician: ObjectId) -> Document | None:
        """A prompt that a clinician may use: one's own or a shared one, not retired."""
        found = await self._collection.get(identity)
        usable = found is not None and is_visible(found, clinician) and not found.get("is_deleted")
        return found if usable else None

    async def get_own(self, identity: object, clinician: object) -> Document | None:
        """A prompt of one's own, retired or not."""
        return await self._collection.find_one({"_id": identity, "clinician": clinician})

    async def change(self, identity: object, clinician: object, update: Filter) -> Document | None:
        """Changes a prompt of one's own that is not retired, and answers it as it is then."""
        own = {"_id": identity, "clinician": clinician, "is_deleted": False}
        return await self._collection.update_and_get(own, update)

    async def retire(self, identity: object, clinician: object, update: Filter) -> Document | None:
        """Writes what retires a prompt of one's own, be it already so; answers it as it is then."""
        return await self._collection.update_and_get({"_id": identity, "clinician": clinician}, update)


def is_visible(prompt: Document, clinician: object) -> bool:
    """Whether a clinician gets to see a prompt: it is their own, or shared."""
    return equals(prompt.get("clinician"), clinician) or equals(prompt.get("is_shareable"), wanted=True)
