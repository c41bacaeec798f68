"""Tolerant readers of stored documents, which another backend may have written. Pure.

A missing value, or one of another type, is read as absent.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

Document = Mapping[str, Any]

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def text(document: Document, field: str) -> str:
    """Return a text, empty if absent."""
    return optional_text(document, field) or ""


def optional_text(document: Document, field: str) -> str | None:
    """Return a text or None."""
    value = document.get(field)
    return value if isinstance(value, str) else None


def flag(document: Document, field: str) -> bool:
    """Return whether a field is true."""
    return document.get(field) is True


def reference(document: Document, field: str) -> ObjectId | None:
    """Return the id of another document."""
    value = document.get(field)
    return value if isinstance(value, ObjectId) else None


def references(document: Document, field: str) -> list[ObjectId]:
    """Return the ids of other documents."""
    value = document.get(field)
    return [each for each in value if isinstance(each, ObjectId)] if isinstance(value, list) else []


def moment(document: Document, field: str) -> datetime | None:
    """Return a date within the range of `datetime`."""
    value = document.get(field)
    try:
        return _EPOCH + timedelta(milliseconds=int(value)) if isinstance(value, DatetimeMS) else None
    except OverflowError:
        return None


def birth(document: Document, field: str) -> datetime:
    """Return a document's creation date, by default that of its id."""
    identity: ObjectId = document["_id"]
    return moment(document, field) or identity.generation_time


def mapping(document: Document, field: str) -> dict[str, Any] | None:
    """Return an object with any content, as JSON."""
    value = document.get(field)
    return {key: plain(member) for key, member in value.items()} if isinstance(value, Mapping) else None


def plain(value: object) -> object:
    """Return a BSON value as JSON: types that JSON lacks as text, non-finite numbers as null."""
    if isinstance(value, Mapping):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
