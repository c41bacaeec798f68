"""The indexes of the product's collections."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from pymongo import ASCENDING, DESCENDING, IndexModel

INDEX_EXISTS: Final = frozenset({85, 86})
"""Server error codes of an index with the same keys or name but other options."""

Indexes: TypeAlias = Mapping[str, Sequence[IndexModel]]

INDEXES: Final[Indexes] = {
    "users": [IndexModel([("email", ASCENDING)], name="email_1", unique=True)],
    "blacktokens": [IndexModel([("blackToken", "hashed")], name="blackToken_hashed")],
    "consultations": [IndexModel([("clinician", ASCENDING), ("started_at", DESCENDING), ("_id", DESCENDING)])],
    "transcripts": [IndexModel([("consultation", ASCENDING)])],
    "notes": [IndexModel([("consultation", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])],
    "prompts": [
        IndexModel([("clinician", ASCENDING), ("created_at", DESCENDING), ("_id", ASCENDING)]),
        IndexModel([("is_shareable", ASCENDING), ("created_at", DESCENDING), ("_id", ASCENDING)]),
    ],
}
"""Indexes for the product's queries; created in the background at start-up, and left unchanged if they exist."""
