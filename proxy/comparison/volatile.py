"""Volatile parts of text: ids, dates, tokens and password hashes, which differ in each run. Pure."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

VOLATILE = re.compile(
    r"(?P<token>(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*)"
    r"|(?P<hash>\$2[aby]\$\d\d\$[./A-Za-z0-9]{53})"
    r"|(?P<date>\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))"
    r"|(?P<id>(?<![0-9A-Za-z])[0-9a-f]{24}(?![0-9A-Za-z]))"
    r"|(?P<stamp>(?<!\d)1\d{12}-[0-9a-z]{4,13}(?![0-9a-z]))"
    r"|(?P<epoch>(?<!\d)1\d{12}(?!\d))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Segment(NamedTuple):
    """A run of text: `kind` is empty for what must be the same on both sides."""

    kind: str
    text: str


def match_volatile(text: str) -> Segment | None:
    """The text as the one volatile run that it is, None where it is anything else."""
    found = VOLATILE.fullmatch(text)
    return Segment(found.lastgroup or "", text) if found else None


def split_volatile(text: str) -> Iterator[Segment]:
    """The literal and volatile runs that make up `text`, none of them empty."""
    end = 0
    for found in VOLATILE.finditer(text):
        if found.start() > end:
            yield Segment("", text[end : found.start()])
        yield Segment(found.lastgroup or "", found.group())
        end = found.end()
    if end < len(text):
        yield Segment("", text[end:])


def mask(text: str) -> str:
    """`text` with every volatile run replaced by its kind: what is left is the spelling."""
    return VOLATILE.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    if found.lastgroup == "date":
        return re.sub(r"\d", "0", found.group())
    return f"<{found.lastgroup}>"


def timestamp_of(kind: str, text: str) -> int | None:
    """When an id, date or stamp says it was made, in ms since the epoch; None where it does not say."""
    if kind == "id":
        return int(text[:8], 16) * 1000
    if kind in ("stamp", "epoch"):
        return int(text[:13])
    try:
        return _milliseconds(text) if kind == "date" else None
    except ValueError:
        return None


def timestamps(text: str) -> set[int]:
    """Every distinct moment that `text` mentions."""
    found = (timestamp_of(piece.kind, piece.text) for piece in split_volatile(text))
    return {at for at in found if at is not None}


def _milliseconds(date: str) -> int:
    return (datetime.fromisoformat(date) - _EPOCH) // _MILLISECOND
