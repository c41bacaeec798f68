"""How strictly two answers are compared. Pure.

Both answers to a read describe the same stored documents, so a read is literal. Within a write or a recording each
backend makes ids, dates and tokens of its own; those are matched by role: each must stand for the same one throughout.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

TRANSPORT_HEADERS: Final = frozenset(
    ("date", "connection", "keep-alive", "transfer-encoding", "x-request-id", "x-served-by")
)
"""Headers of the connection, the moment, or a gateway in between."""
DEPLOYMENT_HEADERS: Final = frozenset(
    ("age", "content-length", "proxy-connection", "server", "server-timing", "upgrade", "via")
)
"""Headers of the server and of those before it, which differ between two deployments of one service."""


@dataclass(frozen=True, slots=True)
class Mode:
    """`by_role` matches what each backend makes itself by its role instead of its value.

    `strict` compares headers by their text, entity tags by the algorithm that made them, and HTML by its markup.
    `ignored_headers` are lower-case names.
    """

    by_role: bool = False
    strict: bool = False
    ignored_headers: Collection[str] = TRANSPORT_HEADERS | DEPLOYMENT_HEADERS


READ: Final = Mode()
DRY_RUN: Final = Mode(by_role=True)
RECORDING: Final = Mode(by_role=True, strict=True, ignored_headers=TRANSPORT_HEADERS)
