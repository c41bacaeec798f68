"""Read and reset the side effects of a scenario: documents in MongoDB, and calls to outside services."""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, cast

import httpx
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from proxy.types import JSON

_TIMEOUT_MS = 3000
_BY_DNS = "mongodb+srv://"
_RESERVED = ("admin", "config", "local")
_NO_REUSE = httpx.Limits(max_keepalive_connections=0)  # a service may close an idle connection just as it is used
_READING = json_util.JSONOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class SideEffectsError(Exception):
    """MongoDB or the list of outside calls cannot be reached, or its answer is malformed."""


def _unless_given(url: str) -> dict[str, Any]:
    """Return the timeout of a connection, unless the URL has its own `serverSelectionTimeoutMS`."""
    name = "serverSelectionTimeoutMS"
    return {} if name.lower() in url.lower() else {name: _TIMEOUT_MS}


class StoredDocuments:
    """One database, read and emptied between scenarios; collections and their indexes stay.

    Use as an async context manager. Methods raise SideEffectsError.
    """

    def __init__(self, url: str, database: str) -> None:
        if database in _RESERVED:
            raise ValueError(f"{database} is a database of MongoDB's own")
        self._client: MongoClient[dict[str, Any]] = MongoClient(url, **_unless_given(url))
        self._database = self._client.get_database(database, codec_options=_OPTIONS)

    async def __aenter__(self) -> "StoredDocuments":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._client.close)

    async def reset(self, documents: Mapping[str, Sequence[JSON]]) -> None:
        """Delete every document, then insert `documents`, in relaxed extended JSON by collection."""
        try:
            await asyncio.to_thread(self._reset, documents)
        except (PyMongoError, BSONError, ValueError, TypeError) as error:
            raise SideEffectsError(f"MongoDB: {error}") from error

    async def read(self) -> dict[str, list[JSON]]:
        """Return every document by collection, in the order stored; collections without documents are omitted."""
        try:
            return await asyncio.to_thread(self._read)
        except PyMongoError as error:
            raise SideEffectsError(f"MongoDB: {error}") from error

    def _reset(self, documents: Mapping[str, Sequence[JSON]]) -> None:
        for name in self._names():
            self._database[name].delete_many({})
        for name, given in documents.items():
            if given:
                self._database[name].insert_many(_stored(given))

    def _read(self) -> dict[str, list[JSON]]:
        documents_by_name = {name: list(self._database[name].find()) for name in self._names()}
        return {name: _extended(documents) for name, documents in sorted(documents_by_name.items()) if documents}

    def _names(self) -> list[str]:
        names = self._database.list_collection_names()
        return [name for name in names if not name.startswith("system.")]


class OutsideCalls:
    """The list of calls that fake outside services record: GET reads it, DELETE clears it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT_MS / 1000, limits=_NO_REUSE)

    async def __aenter__(self) -> "OutsideCalls":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def clear(self) -> None:
        """Clear the list."""
        await self._request("DELETE")

    async def read(self) -> list[JSON]:
        """Return the calls since the last clear, each `{method, path, body, …}`."""
        response = await self._request("GET")
        try:
            calls = response.json()
        except ValueError as error:
            raise SideEffectsError(f"{self._url}: the answer is not JSON") from error
        if not isinstance(calls, list):
            raise SideEffectsError(f"{self._url}: a list is expected")
        return calls

    async def _request(self, method: str) -> httpx.Response:
        try:
            response = await self._client.request(method, self._url)
            return response.raise_for_status()
        except httpx.HTTPError as error:
            raise SideEffectsError(f"{self._url}: {error}") from error


@asynccontextmanager
async def open_side_effects(
    mongodb_url: str | None, database: str | None, calls_url: str | None
) -> AsyncIterator[tuple[StoredDocuments | None, OutsideCalls | None]]:
    """Open the database and the list of outside calls; each is None if it is not named.

    Raises SideEffectsError, ValueError.
    """
    async with AsyncExitStack() as stack:
        documents = calls = None
        if mongodb_url and database:
            documents = await stack.enter_async_context(StoredDocuments(mongodb_url, database))
        if calls_url:
            calls = await stack.enter_async_context(OutsideCalls(calls_url))
        yield documents, calls


def is_local(url: str) -> bool:
    """Return whether every host of a MongoDB URL is this machine; names are not resolved. Raises ValueError."""
    if url.startswith(_BY_DNS):
        return False
    return all(is_loopback(host) for host, _ in _parse(url)["nodelist"])


def database_of(url: str) -> str | None:
    """Return the database that a MongoDB URL names, None if it names none. Raises ValueError for other URLs."""
    plain = url.replace(_BY_DNS, "mongodb://", 1) if url.startswith(_BY_DNS) else url
    return cast("str | None", _parse(plain)["database"])


def _parse(url: str) -> dict[str, Any]:
    try:
        return parse_uri(url)
    except PyMongoError as error:
        raise ValueError(f"invalid MongoDB URL: {error}") from error


def is_loopback(host: str) -> bool:
    """Return whether a host name, an address or a socket's path is this machine."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _stored(documents: Sequence[JSON]) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", json_util.loads(json.dumps(documents), json_options=_READING))


def _extended(documents: list[dict[str, Any]]) -> list[JSON]:
    text = json_util.dumps(documents, json_options=json_util.RELAXED_JSON_OPTIONS)
    return cast("list[JSON]", json.loads(text))
