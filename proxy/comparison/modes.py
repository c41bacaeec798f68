"""Strictness of comparisons. Pure.

Both answers to a read describe the same stored documents, so reads are compared literally. In writes and recordings,
each backend generates its own ids, dates and tokens. These are matched by role: a value must correspond to the same
one of the other side everywhere.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

TRANSPORT_HEADERS: Final = frozenset(
    ("date", "connection", "keep-alive", "transfer-encoding", "x-request-id", "x-served-by")
)
"""Headers of the connection, of the time of the answer, or of a proxy in between."""
DEPLOYMENT_HEADERS: Final = frozenset(
    ("age", "content-length", "proxy-connection", "server", "server-timing", "upgrade", "via")
)
"""Headers of the server or of proxies, which differ between deployments of one service."""


@dataclass(frozen=True, slots=True)
class Mode:
    """`by_role` matches values that a backend generates by role instead of by value.

    `strict` compares headers by their text, and entity tags by the algorithm that made them.
    `ignored_headers` are lower-case names.
    """

    by_role: bool = False
    strict: bool = False
    ignored_headers: Collection[str] = TRANSPORT_HEADERS | DEPLOYMENT_HEADERS


READ: Final = Mode()
DRY_RUN: Final = Mode(by_role=True)
RECORDING: Final = Mode(by_role=True, strict=True, ignored_headers=TRANSPORT_HEADERS)
