"""Reads stored documents, which another backend may have written, without ever failing: what is not there, or is not of
its kind, is read as nothing. Pure."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

Document = Mapping[str, Any]

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def text(document: Document, field: str) -> str:
    """A text, empty where there is none."""
    return optional_text(document, field) or ""


def optional_text(document: Document, field: str) -> str | None:
    """A text, or None."""
    value = document.get(field)
    return value if isinstance(value, str) else None


def flag(document: Document, field: str) -> bool:
    """Whether something is true."""
    return document.get(field) is True


def reference(document: Document, field: str) -> ObjectId | None:
    """The id of another document."""
    value = document.get(field)
    return value if isinstance(value, ObjectId) else None


def references(document: Document, field: str) -> list[ObjectId]:
    """The ids of other documents."""
    value = document.get(field)
    return [each for each in value if isinstance(each, ObjectId)] if isinstance(value, list) else []


def moment(document: Document, field: str) -> datetime | None:
    """A date that a `datetime` can hold."""
    value = document.get(field)
    try:
        return _EPOCH + timedelta(milliseconds=int(value)) if isinstance(value, DatetimeMS) else None
    except OverflowError:
        return None


def birth(document: Document, field: str) -> datetime:
    """The date on which a document was made: where it does not say, its id does."""
    identity: ObjectId = document["_id"]
    return moment(document, field) or identity.generation_time


def mapping(document: Document, field: str) -> dict[str, Any] | None:
    """An object of whatever it holds, as JSON."""
    value = document.get(field)
    return {key: plain(member) for key, member in value.items()} if isinstance(value, Mapping) else None


def plain(value: object) -> object:
    """A BSON value as JSON: what JSON has no word for as text, what is no number as null."""
    if isinstance(value, Mapping):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
