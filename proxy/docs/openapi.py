"""The OpenAPI of the public port: the contract's files, and what native tells of itself, made one when asked for.

It is made again when a file has changed. What cannot be had is left out, and the log says so: a page of half the API
helps more than none.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.types import ASGIApp

from proxy.contract.faults import ContractError
from proxy.contract.tree import read_tree
from proxy.docs.merging import merge, published

logger = logging.getLogger("scribe_proxy.docs")

PATIENCE: Final = 10.0
"""Seconds for the native app to say what it answers."""

_Stamp = tuple[tuple[str, int, int], ...]


class OpenAPI:
    """The document, as JSON. `contracts` is the directory of openapi.yaml; `path` where native answers its own."""

    def __init__(self, contracts: Path, native: ASGIApp | None, path: str | None) -> None:
        self._contracts = contracts
        self._native = native
        self._path = path
        self._lock = asyncio.Lock()
        self._made: tuple[_Stamp, bytes] | None = None

    async def body(self) -> bytes:
        """The document as it is now."""
        async with self._lock:
            stamp = _stamp(self._contracts)
            if self._made is None or self._made[0] != stamp:
                contract = await asyncio.to_thread(read_contract, self._contracts / "openapi.yaml")
                native = await self._ask()
                body = json.dumps(merge(contract, native), ensure_ascii=False, separators=(",", ":")).encode()
                if self._path is not None and not native:
                    return body
                self._made = stamp, body
            return self._made[1]

    async def _ask(self) -> dict[str, Any]:
        """What native says of itself; nothing where it says nothing of use."""
        if self._native is None or self._path is None:
            return {}
        transport = httpx.ASGITransport(self._native)
        try:
            async with (
                asyncio.timeout(PATIENCE),
                httpx.AsyncClient(transport=transport, base_url="http://native") as client,
            ):
                answer = await client.get(self._path)
                said = answer.raise_for_status().json()
        except Exception as error:
            logger.warning("native does not say what it answers at %s: %s", self._path, type(error).__name__)
            return {}
        return said if isinstance(said, dict) else {}


def read_contract(file: Path) -> dict[str, Any]:
    """The contract as it may be published; nothing where there is none, or where it is faulty."""
    if not file.exists():
        return {}
    try:
        value = read_tree(file).value
    except ContractError as error:
        logger.warning("the contract is left out of the docs: %s", error.faults[0])
        return {}
    return published(value) if isinstance(value, dict) else {}


def _stamp(directory: Path) -> _Stamp:
    """What the contract's files are known again by."""
    found = ((file.name, file.stat()) for file in sorted(directory.glob("*.yaml")))
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found)
