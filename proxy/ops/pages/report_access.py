"""Access of pages to the stored reports, and the notices if they are not available."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from proxy.database.database import Database, DatabaseError
from proxy.reports.reader import ReportReader

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Unavailability:
    """The reason why stored data is not shown. `fault`: it is an error."""

    title: str
    text: str
    fault: bool = False


NOT_STORED: Final = Unavailability(
    "Comparisons are not stored",
    "Neither routing.yaml nor MONGODB_URL names a MongoDB.",
)
UNREACHABLE: Final = Unavailability(
    "MongoDB is unreachable",
    "Requests are not affected. Results of comparisons are dropped, and counted, until it is back.",
    fault=True,
)


async def read_reports(
    database: Database | None, query: Callable[[ReportReader], Awaitable[_Result]]
) -> tuple[_Result | None, Unavailability | None]:
    """Return the result of a query, or None and the reason."""
    if database is None:
        return None, NOT_STORED
    if not await database.is_reachable():
        return None, UNREACHABLE
    try:
        return await database.answer(query(ReportReader(database))), None
    except DatabaseError:
        return None, UNREACHABLE
