"""Volatile parts of text: ids, dates, tokens and password hashes, which differ in each run. Pure."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

VOLATILE = re.compile(
    r"[$0-9a-f][2y0-9a-f][Jy0-9a-f](?:"
    r"(?P<token>(?<=eyJ)(?<![\w-]eyJ)[\w-]+\.[\w-]+\.[\w-]*)"
    r"|(?P<hash>(?<=\$2[aby])\$\d\d\$[./A-Za-z0-9]{53})"
    r"|(?P<date>(?<=\b\d{3})\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))"
    r"|(?P<id>(?<=[0-9a-f]{3})(?<![0-9A-Za-z][0-9a-f]{3})[0-9a-f]{21}(?![0-9A-Za-z]))"
    r"|(?P<stamp>(?<=1\d\d)(?<!\d1\d\d)\d{10}-[0-9a-z]{4,13}(?![0-9a-z]))"
    r"|(?P<epoch>(?<=1\d\d)(?<!\d1\d\d)\d{10}(?!\d)))",
    re.ASCII,
)
"""Matches one volatile part. Its kind is the name of the last group, which begins after the third character.

All alternatives begin with the same three sets of characters, so that `re` tries them at few characters of other text.
"""
SHORTEST = 13
"""Minimum length of an id, date or token, in characters."""

_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
_ID_LENGTH = _DATE_LENGTH = 24
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)
_DATE_LAYOUT = "0000-00-00T00:00:00.000Z"
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_TWO_ALIKE = re.compile(f"(?P<id>[0-9a-f]{{48}})|(?P<date>(?:{_DATE.pattern}){{2}})", re.ASCII)
_ZEROS = str.maketrans("123456789", "000000000")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Segment(NamedTuple):
    """A run of text. `kind` is empty for literal text, which must be equal on both sides."""

    kind: str
    text: str


def match_volatile(text: str) -> Segment | None:
    """Return the segment of a text that is volatile as a whole, otherwise None."""
    match = VOLATILE.fullmatch(text) if len(text) >= SHORTEST else None
    return Segment(match.lastgroup or "", text) if match else None


def volatile_kind(text: str) -> str | None:
    """Return the kind of a text that is volatile as a whole, otherwise None."""
    length = len(text)
    if length == _ID_LENGTH and _ID.fullmatch(text):  # these two are several times as fast as the whole pattern
        return "id"
    if length == _DATE_LENGTH and _DATE.fullmatch(text):
        return "date"
    match = VOLATILE.fullmatch(text) if length >= SHORTEST else None
    return match.lastgroup if match else None


def common_kind(legacy: str, native: str) -> str | None:
    """Return the kind of two texts that are both volatile as a whole and of one kind, otherwise None."""
    if len(legacy) == len(native) == _ID_LENGTH:
        match = _TWO_ALIKE.fullmatch(legacy + native)
        if match is not None:
            return match.lastgroup
    kind = volatile_kind(legacy)
    return kind if kind is not None and kind == volatile_kind(native) else None


def kind_of_all(texts: Sequence[str]) -> str | None:
    """Return the kind of texts that are all ids, or all dates of the usual layout; otherwise None."""
    if {*map(len, texts)} != {_ID_LENGTH}:
        return None
    joined = "".join(texts)
    if _HEX.fullmatch(joined):
        return "id"
    return "date" if date_layout(joined) == _DATE_LAYOUT * len(texts) else None


def split_volatile(text: str) -> Iterator[Segment]:
    """Yield the literal and volatile segments of `text`; none is empty."""
    end = 0
    for match in VOLATILE.finditer(text):
        if match.start() > end:
            yield Segment("", text[end : match.start()])
        yield Segment(match.lastgroup or "", match.group())
        end = match.end()
    if end < len(text):
        yield Segment("", text[end:])


def mask(text: str) -> str:
    """Return a text with volatile segments replaced by their kinds, dates by their layout."""
    return VOLATILE.sub(_masked, text) if len(text) >= SHORTEST else text


def date_layout(text: str) -> str:
    """Return a date with every digit replaced by 0."""
    return text.translate(_ZEROS)


def _masked(match: re.Match[str]) -> str:
    return date_layout(match.group()) if match.lastgroup == "date" else f"<{match.lastgroup}>"


def timestamp_of(kind: str, text: str) -> int | None:
    """Return the time of an id, date or stamp in ms since the epoch; None if it has none."""
    if kind == "id":
        return int(text[:8], 16) * 1000
    if kind in ("stamp", "epoch"):
        return int(text[:13])
    try:
        return _milliseconds(text) if kind == "date" else None
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _milliseconds(date: str) -> int:
    return (datetime.fromisoformat(date) - _EPOCH) // _MILLISECOND
