"""What pages read from MongoDB, and what they say while it cannot be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from proxy.database import Database, DatabaseError
from proxy.reports.reading import Reading

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Away:
    """Why there is less to show than there might be; `fault`: something is wrong."""

    title: str
    text: str
    fault: bool = False


NOT_KEPT: Final = Away(
    "Comparisons are not kept",
    "Neither routing.yaml nor MONGODB_URL names a MongoDB to keep them in.",
)
UNREACHABLE: Final = Away(
    "MongoDB is away",
    "Traffic goes on untouched; what is compared meanwhile is dropped, and counted as that.",
    fault=True,
)


async def ask(
    database: Database | None, question: Callable[[Reading], Awaitable[_Found]]
) -> tuple[_Found | None, Away | None]:
    """The answer to what the reports are asked, or None and why there is none."""
    if database is None:
        return None, NOT_KEPT
    if not await database.is_reachable():
        return None, UNREACHABLE
    try:
        return await question(Reading(database)), None
    except DatabaseError:
        return None, UNREACHABLE
