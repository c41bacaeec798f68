"""Classify two unequal texts or numbers: other spelling of one value, other value, or other type. Pure."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, Literal

from proxy.comparison.volatile import common_kind, volatile_kind
from proxy.types import JSON

TextKind = Literal["format", "value", "type"]
"""`format`: the same value in another spelling. `type`: a text of another kind (an id, a date, any other text)."""

_ISO_DATE: Final = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]\d\d:?\d\d(:?\d\d([.,]\d{1,9})?)?)? ?([Zz]|[+-]\d\d(:?\d\d)?|UTC)?", re.ASCII
)
_NAMED_DATE: Final = re.compile(r"[A-Z][a-z]{2},? (\d|[A-Z]).{10,50}", re.ASCII)
_JAVASCRIPT_DATE: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d{4}) ([\d:]{8}) GMT([+-]\d{4})(?: \([^)]*\))?", re.ASCII
)
_HEX_ID: Final = re.compile(r"[0-9a-f]{24}|[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_LONGEST_DATE: Final = 80


def text_kind(legacy: str, native: str) -> TextKind:
    """Return the kind of difference between two texts that are not equal."""
    kind = common_kind(legacy, native)
    if kind is not None and (kind != "date" or is_one_notation(legacy, native)):
        return "value"
    if is_same_value(legacy, native):
        return "format"
    return "value" if kind is not None or _kind_of(legacy) == _kind_of(native) else "type"


def is_one_notation(legacy: str, native: str) -> bool:
    """Return True for two dates that are in UTC and as long as each other; unequal ones are two times."""
    return legacy[-1] == native[-1] == "Z" and len(legacy) == len(native)


def is_same_value(legacy: str, native: str) -> bool:
    """Return True if two texts are the same time, the same id, or the same characters in other Unicode forms."""
    if len(legacy) <= _LONGEST_DATE and len(native) <= _LONGEST_DATE:
        moment = moment_of(legacy)
        if moment is not None:
            return moment == moment_of(native)
        if _HEX_ID.fullmatch(legacy):
            return legacy.replace("-", "").lower() == native.replace("-", "").lower()
    if legacy.isascii() and native.isascii():
        return False
    return unicodedata.normalize("NFC", legacy) == unicodedata.normalize("NFC", native)


def is_same_number(legacy: JSON, native: JSON) -> bool:
    """Return True if two values of different types are the same number (1 and 1.0); booleans are not numbers."""
    return {type(legacy), type(native)} == {int, float} and legacy == native


@lru_cache(maxsize=1024)
def moment_of(text: str) -> datetime | None:
    """Return the time, in UTC, that a text represents in any usual notation; None for other texts.

    A time without a zone is in UTC.
    """
    try:
        parsed = _parse(text)
        return None if parsed is None else parsed.replace(tzinfo=parsed.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None


def http_date(text: str) -> int | None:
    """Return the time of an HTTP date (RFC 9110 §5.6.7) in ms since the epoch; None for other texts.

    A time without a zone is in UTC.
    """
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError):
        return None
    return int(parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp() * 1000)


def _parse(text: str) -> datetime | None:
    if _ISO_DATE.fullmatch(text):
        return datetime.fromisoformat(text.upper().replace(" UTC", "Z").replace("UTC", "Z").replace(" +", "+"))
    scripted = _JAVASCRIPT_DATE.fullmatch(text)
    if scripted:
        month, day, year, time, zone = scripted.groups()
        return datetime.strptime(f"{month} {day} {year} {time} {zone}", "%b %d %Y %H:%M:%S %z")
    return parsedate_to_datetime(text) if _NAMED_DATE.fullmatch(text) else None


def _kind_of(text: str) -> str:
    is_date = len(text) <= _LONGEST_DATE and moment_of(text) is not None
    return volatile_kind(text) or ("date" if is_date else "")
