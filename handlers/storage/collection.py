"""The operations of one MongoDB collection: single, in batches, and within the current transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from bson import ObjectId
from pymongo import ReturnDocument

from handlers.storage.circuit_breaker import CircuitBreaker
from handlers.storage.dataloader import Loader
from handlers.storage.documents import break_ties, equals, group_by_field
from handlers.storage.driver import Driver, DriverCollection
from handlers.storage.errors import RefusedError, UnreadableError
from handlers.storage.reads import Document, Query
from handlers.storage.transactions import Operation, Write, execute, is_within_transaction

T = TypeVar("T")
Filter: TypeAlias = Mapping[str, object]
Sort: TypeAlias = Sequence[tuple[str, int]]


class Collection:
    """The operations of one collection; all raise `StoreError`."""

    def __init__(self, collection: DriverCollection, driver: Driver, breaker: CircuitBreaker) -> None:
        self._collection = collection
        self._driver = driver
        self._breaker = breaker
        self._loaders: dict[Hashable, Loader[bytes, list[Document]]] = {}

    async def get(self, identity: object, fields: Sequence[str] = ()) -> Document | None:
        """Return the document of an `_id`, with only `fields` (and `_id`) if given."""
        documents = await self.find_by("_id", identity, fields)
        return documents[0] if documents else None

    async def get_all(self, identities: Sequence[bytes], fields: Sequence[str] = ()) -> dict[bytes, Document]:
        """Return the existing documents of several ids; ids and keys of the result are the bytes of the id."""
        if not identities:
            return {}
        if is_within_transaction():
            documents = await self.find({"_id": {"$in": list(map(ObjectId, identities))}}, fields=fields)
            return {document["_id"].binary: document for document in documents}
        loaded = await self._loader("_id", tuple(fields), ()).load_all(identities)
        return {identity: loaded[identity][0] for identity in identities if identity in loaded}

    async def find_by(self, field: str, value: object, fields: Sequence[str] = (), sort: Sort = ()) -> list[Document]:
        """Return the documents whose field equals a value; concurrent lookups by id share one query."""
        if not isinstance(value, ObjectId) or is_within_transaction():
            return await self.find({field: value}, fields=fields, sort=sort)
        return await self._loader(field, tuple(fields), tuple(sort)).load(value.binary)

    async def find_owned(self, field: str, value: object, clinician: object) -> Document | None:
        """Return a clinician's first document whose field equals a value; concurrent lookups share one query.

        If a match cannot be read, the server is asked for the clinician's own, which may not be that one.
        """
        owned = {field: value, "clinician": clinician}
        if not (isinstance(value, ObjectId) and isinstance(clinician, ObjectId)):
            return await self.find_one(owned)
        try:
            documents = await self.find_by(field, value)
        except UnreadableError:
            return await self.find_one(owned)
        return next((each for each in documents if equals(each.get("clinician"), clinician)), None)

    def _loader(
        self, field: str, fields: tuple[str, ...], sort: tuple[tuple[str, int], ...]
    ) -> Loader[bytes, list[Document]]:
        """Return the loader of documents by the bytes of the ids in a field."""
        loader = self._loaders.get((field, fields, sort))
        if loader is None:
            projected = fields if not fields or field in fields else (*fields, field)

            async def fetch(identities: Sequence[bytes]) -> Mapping[bytes, list[Document]]:
                values = list(map(ObjectId, identities))
                return group_by_field(await self._find_of_each(field, values, projected, sort), field)

            loader = self._loaders[field, fields, sort] = Loader(fetch, [])
        return loader

    async def _find_of_each(
        self, field: str, values: Sequence[ObjectId], fields: Sequence[str], sort: Sort
    ) -> list[Document]:
        """Return the documents whose field equals a value or contains it; those of each value are sorted.

        MongoDB merges the index entries of several values, unless the order begins with the field: that costs twice
        as much. An array in the field would have its own place in such an order.
        """
        if len(values) == 1:
            return await self.find({field: values[0]}, fields=fields, sort=sort)
        filter_ = {field: {"$in": values}}
        if sort:
            with contextlib.suppress(RefusedError):  # a document has arrays in both fields
                documents = await self.find(filter_, fields=fields, sort=((field, 1), *sort))
                if all(type(document[field]) is ObjectId for document in documents):
                    return documents
        return await self.find(filter_, fields=fields, sort=sort)

    async def find_one(self, filter_: Filter) -> Document | None:
        """Return the first match."""
        documents = await self.find(filter_, limit=1)
        return documents[0] if documents else None

    async def find(
        self, filter_: Filter, *, sort: Sort = (), fields: Sequence[str] = (), limit: int = 0, skip: int = 0
    ) -> list[Document]:
        """Return all matches, in one round trip if they fit into one server response.

        Documents with equal `sort` values come in insertion order, whichever index is used.
        """
        query = Query(filter_, fields, sort, limit, skip)

        async def find(session: Any) -> list[Document]:
            if session is None:
                return await self._driver.find(self._collection, query)
            documents: list[Document] = await self._collection.find(**query.options(), session=session).to_list(None)
            return documents

        documents = await self._execute(find)
        return break_ties(documents, sort) if sort else documents

    async def page(self, filter_: Filter, *, sort: Sort, limit: int, skip: int) -> tuple[list[Document], int]:
        """Return one page of the matches, in an order without ties, and the number of all matches."""

        async def count(session: Any) -> int:
            return int(await self._collection.count_documents(filter_, session=session))

        return await self.find(filter_, sort=sort, limit=limit, skip=skip), await self._execute(count)

    async def insert(self, document: Document) -> None:
        """Store a new document."""

        async def insert(session: Any) -> bool:
            return bool(await self._collection.insert_one(document, session=session))

        await self._execute(insert, self._write("insert", document=document))

    async def update_one(self, filter_: Filter, update: Filter) -> int:
        """Update the first match; return the number of matches."""

        async def change(session: Any) -> int:
            return int((await self._collection.update_one(filter_, update, session=session)).matched_count)

        return await self._execute(change, self._write("update", filter=filter_, update=update))

    async def update_and_get(
        self, filter_: Filter, update: Filter | Sequence[Filter], *, upsert: bool = False
    ) -> Document | None:
        """Update the first match, which `upsert` inserts if there is none; return the updated document."""

        async def change(session: Any) -> Document | None:
            changed: Document | None = await self._collection.find_one_and_update(
                filter_, update, return_document=ReturnDocument.AFTER, upsert=upsert, session=session
            )
            return changed

        return await self._execute(change, self._write("update", filter=filter_, update=update))

    async def delete(self, filter_: Filter) -> int:
        """Delete the first match; return the number of deleted documents."""

        async def delete(session: Any) -> int:
            return int((await self._collection.delete_one(filter_, session=session)).deleted_count)

        return await self._execute(delete, self._write("delete", filter=filter_))

    async def _execute(self, operation: Operation[T], write: Write | None = None) -> T:
        """Execute an operation; outside a transaction, through the circuit breaker."""
        if is_within_transaction():
            return await execute(operation, write)
        return await self._breaker.run(lambda: execute(operation, write))

    def _write(self, operation: Literal["insert", "update", "delete"], **fields: object) -> Write:
        return Write(self._collection.name, operation, fields)
