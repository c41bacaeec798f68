"""Long work yields to the event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import overload

import pytest

from handlers.yielding import LONG_JOIN, join_bytes


class ObservedPieces(Sequence[bytes]):
    """Two pieces that record the threads that read them."""

    def __init__(self, size: int) -> None:
        self._pieces = [bytes(size // 2), b"x" * (size - size // 2)]
        self.threads: list[int] = []

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self._pieces[index]

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[bytes]:
        self.threads.append(threading.get_ident())
        return iter(self._pieces)


@pytest.mark.parametrize("size", [0, 1, LONG_JOIN - 1, LONG_JOIN, LONG_JOIN + 1])
async def test_long_bytes_are_joined_in_a_thread(size: int) -> None:
    pieces = ObservedPieces(size)
    assert await join_bytes(pieces) == bytes(size // 2) + b"x" * (size - size // 2)
    assert (pieces.threads[-1] != threading.get_ident()) == (size >= LONG_JOIN)
