"""The ways in which bytes arrive: whole, byte by byte, split at a boundary, glued to what follows. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal
from zlib import crc32

Part = Literal["whole", "bytes", "split", "glued"]
SETTLED: Final = b""
LONG: Final = 2_000
"""Bytes above which data is not sent byte by byte, and is split only near its ends and line ends."""
SAMPLE: Final = 2
"""Splits of a delivery plan that is not thorough."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one side's bytes are written: `at` is the boundary of a split, from the end of the case if negative."""

    part: Part
    at: int = 0

    @property
    def name(self) -> str:
        return self.part if self.part != "split" else f"split at {self.at}"

    @property
    def glues(self) -> bool:
        return self.part == "glued"

    def pieces(self, data: bytes, following: bytes) -> list[bytes]:
        """Return the writes: of `data`, and of `following` too if the delivery glues it."""
        if self.part == "bytes":
            return [data[i : i + 1] for i in range(len(data))]
        if self.part == "split":
            return [data[: self.at], data[self.at :]]
        if self.part == "glued":
            joined, cut = data + following, len(data) + self.at
            return [joined[:cut], joined[cut:]] if self.at else [joined]
        return [data]


WHOLE: Final = Delivery("whole")
GLUED: Final = Delivery("glued")
BYTES: Final = Delivery("bytes")


def plan(data: bytes, *, glue: bool, thorough: bool) -> list[Delivery]:
    """Return the deliveries of `data`; without `thorough`, a sample of the splits, another for each data."""
    deliveries = [WHOLE]
    if len(data) <= LONG:
        deliveries.append(BYTES)
    boundaries = list(_boundaries(data)) if thorough else _sample(data)
    deliveries += [Delivery("split", at) for at in boundaries]
    if glue:
        deliveries += [GLUED, *((Delivery("glued", -1), Delivery("glued", 1)) if thorough else ())]
    return deliveries


def _boundaries(data: bytes) -> Iterator[int]:
    if len(data) <= LONG:
        yield from range(1, len(data))
        return
    near = {*range(1, 20), *range(len(data) - 20, len(data))}
    near |= {at + i + 1 for at in _line_ends(data)[:50] for i in (-2, -1, 0)}
    yield from sorted(at for at in near if 0 < at < len(data))


def _line_ends(data: bytes) -> list[int]:
    return [at for at, byte in enumerate(data) if byte == 0x0A]


def _sample(data: bytes) -> list[int]:
    """Return some of the boundaries around the last line ends, where framing is decided, and elsewhere."""
    if len(data) < 2:
        return []
    near = [at + i for at in _line_ends(data)[-3:] for i in (0, 1)]
    spread = [len(data) * i // 4 for i in (1, 2, 3)]
    candidates = sorted({at for at in near + spread if 0 < at < len(data)})
    first = crc32(data) % len(candidates)
    return sorted((candidates * 2)[first : first + min(SAMPLE, len(candidates))])
