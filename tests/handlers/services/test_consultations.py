"""Consultations and notes in the store: only own documents change, and two documents change together."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from bson import ObjectId
from pymongo.database import Database

from handlers import services
from handlers.services.consultations import Consultations
from handlers.services.documents import new_consultation, new_note
from handlers.services.notes import Notes
from handlers.storage.errors import LaterWriteRefusedError, RefusedError
from handlers.storage.reads import Document
from handlers.storage.store import Store
from tests.support.backends import scratch_database

AMARA, BEN = ObjectId(), ObjectId()
Transaction: TypeAlias = Callable[["Clinic", Document, Document], Awaitable[None]]


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


async def _start(clinic: Clinic, consultation: Document, transcript: Document) -> None:
    await Consultations(clinic.store).start(*new_consultation(AMARA, None))


async def _end(clinic: Clinic, consultation: Document, transcript: Document) -> None:
    summary, status = {"$set": {"summary": "cough"}}, {"$set": {"status": "ended"}}
    where = {"_id": transcript["_id"]}, {"_id": consultation["_id"]}
    await Consultations(clinic.store).end((where[0], summary), (where[1], status))


async def _finish(clinic: Clinic, consultation: Document, transcript: Document) -> None:
    await Consultations(clinic.store).finish(consultation["_id"], AMARA, "cough")


async def _add_to(clinic: Clinic, consultation: Document, transcript: Document) -> None:
    note = new_note(AMARA, transcript["_id"], consultation["_id"], "cough")
    await Notes(clinic.store).add_to(note, {"_id": consultation["_id"]}, {"$push": {"notes": note["_id"]}})


TRANSACTIONS: Final[Mapping[str, tuple[Transaction, Sequence[str]]]] = {
    "start": (_start, ("consultations", "transcripts")),
    "end": (_end, ("transcripts", "consultations")),
    "finish": (_finish, ("consultations", "transcripts")),
    "add_to": (_add_to, ("notes", "consultations")),
}
"""The methods of services that write to several collections, in this order."""
WRITES: Final = frozenset({"insert", "update_one", "update_and_get", "delete"})
EACH_WRITE: Final = [(name, collection) for name, (_, written) in TRANSACTIONS.items() for collection in written]


def methods() -> Iterator[tuple[str, list[str], bool]]:
    """Yield each method of a service, the collections of its writes, and whether they are in a transaction."""
    for file in sorted(Path(services.__file__).parent.glob("*.py")):
        for method in ast.walk(ast.parse(file.read_text())):
            if isinstance(method, ast.AsyncFunctionDef) and method.name != "write":
                called = [one.func for one in ast.walk(method) if isinstance(one, ast.Call)]
                attributes = [one for one in called if isinstance(one, ast.Attribute)]
                written = [ast.unparse(one.value).rpartition(".")[2] for one in attributes if one.attr in WRITES]
                yield method.name, written, "run_in_transaction" in {one.attr for one in attributes}


def test_every_method_with_several_writes_is_in_the_table() -> None:
    several = {name: (sorted(written), within) for name, written, within in methods() if len(written) > 1 or within}
    assert several == {name: (sorted(written), True) for name, (_, written) in TRANSACTIONS.items()}


@pytest.mark.parametrize(("method", "refusing"), EACH_WRITE)
async def test_refused_write_leaves_all_documents_unchanged(clinic: Clinic, method: str, refusing: str) -> None:
    consultation, transcript = new_consultation(AMARA, None)
    await Consultations(clinic.store).start(consultation, transcript)
    clinic.refuse_writes(refusing)
    before = clinic.documents()
    change, written = TRANSACTIONS[method]
    later = method in ("end", "add_to") and refusing == written[-1]
    with pytest.raises(RefusedError) as refused:
        await change(clinic, consultation, transcript)
    assert isinstance(refused.value, LaterWriteRefusedError) is later
    assert clinic.documents() == before


@pytest.mark.parametrize("method", TRANSACTIONS)
async def test_method_writes_to_each_of_its_collections(clinic: Clinic, method: str) -> None:
    consultation, transcript = new_consultation(AMARA, None)
    await Consultations(clinic.store).start(consultation, transcript)
    before = clinic.documents()
    change, written = TRANSACTIONS[method]
    await change(clinic, consultation, transcript)
    after = clinic.documents()
    assert {name for name in before if after[name] != before[name]} == set(written)
