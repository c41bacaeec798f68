"""Consultations and notes in the store: only own documents change, and two documents change together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from handlers.services.consultations import Consultations
from handlers.services.documents import new_consultation, new_note
from handlers.services.notes import Notes
from handlers.storage.errors import LaterWriteRefusedError, RefusedError
from handlers.storage.store import Store
from tests.support.backends import scratch_database

AMARA, BEN = ObjectId(), ObjectId()


@dataclass(frozen=True)
class Clinic:
    """A store, and its database beside it."""

    store: Store
    database: Database[dict[str, Any]]

    def refuse_writes(self, collection: str) -> None:
        if collection not in self.database.list_collection_names():
            self.database.create_collection(collection)
        self.database.command("collMod", collection, validator={"never": True})

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        return {name: list(self.database[name].find()) for name in ("consultations", "transcripts", "notes")}


@pytest.fixture
async def clinic(mongodb_url: str) -> AsyncIterator[Clinic]:
    with scratch_database(mongodb_url) as database:
        store = Store(mongodb_url, database.name)
        try:
            yield Clinic(store, database)
        finally:
            await store.close()


async def test_finish_leaves_a_foreign_transcript(clinic: Clinic) -> None:
    consultation, _ = new_consultation(AMARA, None)
    _, foreign = new_consultation(BEN, None)
    await Consultations(clinic.store).start({**consultation, "transcript": foreign["_id"]}, foreign)
    before = clinic.documents()["transcripts"]
    ended = await Consultations(clinic.store).finish(consultation["_id"], AMARA, "cough")
    assert ended is not None
    assert ended["status"] == "ended"
    assert clinic.documents()["transcripts"] == before


async def test_start_stores_both_documents_or_neither(clinic: Clinic) -> None:
    clinic.refuse_writes("transcripts")
    with pytest.raises(RefusedError):
        await Consultations(clinic.store).start(*new_consultation(AMARA, None))
    assert clinic.documents()["consultations"] == []


@pytest.mark.parametrize("refusing", ["consultations", "transcripts"])
@pytest.mark.parametrize("dialect", ["legacy", "v1"])
async def test_end_changes_both_documents_or_neither(clinic: Clinic, dialect: str, refusing: str) -> None:
    consultations = Consultations(clinic.store)
    consultation, transcript = new_consultation(AMARA, None)
    await consultations.start(consultation, transcript)
    clinic.refuse_writes(refusing)
    before = clinic.documents()
    summary, status = {"$set": {"summary": "cough"}}, {"$set": {"status": "ended"}}
    with pytest.raises(RefusedError):
        if dialect == "v1":
            await consultations.finish(consultation["_id"], AMARA, "cough")
        else:
            await consultations.end(({"_id": transcript["_id"]}, summary), ({"_id": consultation["_id"]}, status))
    assert clinic.documents() == before


async def test_note_is_stored_with_its_link_or_not_at_all(clinic: Clinic) -> None:
    consultation, transcript = new_consultation(AMARA, None)
    await Consultations(clinic.store).start(consultation, transcript)
    clinic.refuse_writes("consultations")
    before = clinic.documents()
    note = new_note(AMARA, transcript["_id"], consultation["_id"], "cough")
    with pytest.raises(LaterWriteRefusedError):
        await Notes(clinic.store).add_to(note, {"_id": consultation["_id"]}, {"$push": {"notes": note["_id"]}})
    assert clinic.documents() == before
