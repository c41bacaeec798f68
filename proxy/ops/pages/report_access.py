"""What pages read from MongoDB, and what they say while it cannot be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from proxy.reports.reader import ReportReader
from proxy.runtime.database import Database, DatabaseError

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Unavailability:
    """Why there is less to show than there might be; `fault`: something is wrong."""

    title: str
    text: str
    fault: bool = False


NOT_KEPT: Final = Unavailability(
    "Comparisons are not kept",
    "Neither routing.yaml nor MONGODB_URL names a MongoDB to keep them in.",
)
UNREACHABLE: Final = Unavailability(
    "MongoDB is away",
    "Traffic goes on untouched; what is compared meanwhile is dropped, and counted as that.",
    fault=True,
)


async def ask(
    database: Database | None, question: Callable[[ReportReader], Awaitable[_Found]]
) -> tuple[_Found | None, Unavailability | None]:
    """The answer to what the reports are asked, or None and why there is none."""
    if database is None:
        return None, NOT_KEPT
    if not await database.is_reachable():
        return None, UNREACHABLE
    try:
        return await question(ReportReader(database)), None
    except DatabaseError:
        return None, UNREACHABLE
