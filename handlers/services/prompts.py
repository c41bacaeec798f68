"""Prompts: a clinician's instructions to the model, private or shared with all clinicians.

Documents are passed as they are stored. A clinician is identified by an id. Nothing here is transactional: each
change is a single write.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from bson import ObjectId

from handlers.storage.collection import Collection, Filter
from handlers.storage.dataloader import Loader
from handlers.storage.documents import equals
from handlers.storage.reads import Document
from handlers.storage.transactions import is_within_transaction

NEWEST_FIRST: Final = (("created_at", -1),)
"""Newest first. The store returns documents of the same time in insertion order, whichever index is used."""


class Prompts:
    """The prompts of a collection; all methods raise `StoreError` if the store fails."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._lists: Loader[Hashable, list[Document]] = Loader(self._find_lists, [])

    async def add(self, prompt: Document) -> None:
        """Store a new prompt."""
        await self._collection.insert(prompt)

    async def get(self, identity: object) -> Document | None:
        """Return a prompt of any clinician, deleted or not."""
        return await self._collection.get(identity)

    async def list_for(self, clinician: object) -> Sequence[Document]:
        """Return a clinician's own and the shared prompts that are not deleted, newest first."""
        if isinstance(clinician, ObjectId) and not is_within_transaction():
            return await self._lists.load(clinician)
        return await self._find([{"clinician": clinician}, {"is_shareable": True}])

    async def _find_lists(self, clinicians: Sequence[Hashable]) -> Mapping[Hashable, list[Document]]:
        owned = clinicians[0] if len(clinicians) == 1 else {"$in": list(clinicians)}
        prompts = await self._find([{"clinician": owned}, {"is_shareable": True}])
        if len(clinicians) == 1:
            return {clinicians[0]: prompts}
        return {clinician: [each for each in prompts if is_visible(each, clinician)] for clinician in clinicians}

    async def _find(self, alternatives: list[Filter]) -> list[Document]:
        return await self._collection.find({"$or": alternatives, "is_deleted": False}, sort=NEWEST_FIRST)

    async def page_for(self, clinician: ObjectId, *, limit: int, skip: int) -> tuple[Sequence[Document], int]:
        """Return one page of `list_for`, in the same order, and the number of all of them."""
        visible = {"$or": [{"clinician": clinician}, {"is_shareable": True}], "is_deleted": False}
        return await self._collection.page(visible, sort=(*NEWEST_FIRST, ("_id", 1)), limit=limit, skip=skip)

    async def get_visible(self, identity: ObjectId, clinician: ObjectId) -> Document | None:
        """Return a prompt that a clinician may use: an own or a shared one, not deleted."""
        prompt = await self._collection.get(identity)
        usable = prompt is not None and is_visible(prompt, clinician) and not prompt.get("is_deleted")
        return prompt if usable else None

    async def get_own(self, identity: object, clinician: object) -> Document | None:
        """Return a prompt of this clinician, deleted or not."""
        return await self._collection.find_one({"_id": identity, "clinician": clinician})

    async def change(self, identity: object, clinician: object, update: Filter) -> Document | None:
        """Update a prompt of this clinician that is not deleted; return the updated document.

        An empty update changes nothing.
        """
        own = {"_id": identity, "clinician": clinician, "is_deleted": False}
        if not update:
            return await self._collection.find_one(own)
        return await self._collection.update_and_get(own, update)

    async def retire(self, identity: object, clinician: object, update: Filter) -> Document | None:
        """Apply a soft deletion to a prompt of this clinician, deleted already or not; return the updated document."""
        return await self._collection.update_and_get({"_id": identity, "clinician": clinician}, update)


def is_visible(prompt: Document, clinician: object) -> bool:
    """Return whether a clinician may see a prompt: it is their own, or shared."""
    return equals(prompt.get("clinician"), clinician) or equals(prompt.get("is_shareable"), wanted=True)
