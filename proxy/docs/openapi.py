"""The OpenAPI document of the public port: the contract merged with the native app's own document.

It is built on request, and again after a file has changed. A part that is not available is omitted and logged.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp

from proxy.contract.faults import ContractError
from proxy.contract.tree import read_tree
from proxy.docs.merging import merge, published

logger = logging.getLogger("scribe_proxy.docs")

NATIVE_TIMEOUT: Final = 10.0
"""Seconds that the native app may take."""

_Stamp = tuple[tuple[str, int, int], ...]


class OpenAPI:
    """The document as JSON. `contracts` is the directory of openapi.yaml; `path` is that of native's own document."""

    def __init__(self, contracts: Path, native: ASGIApp | None, path: str | None) -> None:
        self._contracts = contracts
        self._native = native
        self._path = path
        self._lock = asyncio.Lock()
        self._made: tuple[_Stamp, bytes] | None = None

    async def body(self) -> bytes:
        """Return the current document."""
        async with self._lock:
            stamp = _stamp(self._contracts)
            if self._made is None or self._made[0] != stamp:
                contract = await asyncio.to_thread(read_contract, self._contracts / "openapi.yaml")
                native = await self._fetch_native()
                body = json.dumps(merge(contract, native), ensure_ascii=False, separators=(",", ":")).encode()
                if self._path is not None and not native:
                    return body
                self._made = stamp, body
            return self._made[1]

    async def _fetch_native(self) -> dict[str, Any]:
        """Return native's document; empty if it is not available."""
        if self._native is None or self._path is None:
            return {}
        import httpx

        transport = httpx.ASGITransport(self._native)
        try:
            async with (
                asyncio.timeout(NATIVE_TIMEOUT),
                httpx.AsyncClient(transport=transport, base_url="http://native") as client,
            ):
                answer = await client.get(self._path)
                document = answer.raise_for_status().json()
        except Exception as error:
            logger.warning("native has no OpenAPI document at %s: %s", self._path, type(error).__name__)
            return {}
        return document if isinstance(document, dict) else {}


def read_contract(file: Path) -> dict[str, Any]:
    """Return the contract for publication; empty if it is missing or invalid."""
    if not file.exists():
        return {}
    try:
        value = read_tree(file).value
    except ContractError as error:
        logger.warning("the contract is omitted from the docs: %s", error.faults[0])
        return {}
    return published(value) if isinstance(value, dict) else {}


def _stamp(directory: Path) -> _Stamp:
    """Return names, times and sizes of the contract's files, to detect changes."""
    files = ((file.name, file.stat()) for file in sorted(directory.glob("*.yaml")))
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in files)
