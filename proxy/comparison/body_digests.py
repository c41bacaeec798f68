"""Digests of a body that is too large to be retained: of its content, not of its coded bytes. Pure.

Content codings are undone as a stream. For a comparison by role, ids, dates and tokens that the backend may have
generated within the last hour are replaced first: ids by the number of their first appearance, all others by their
layout. Equal digests then mean bodies that are equal except for those values.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from proxy.comparison.content_encoding import CodingError, OversizeError, StreamDecoder
from proxy.comparison.volatile import VOLATILE, date_layout, timestamp_of

DIGEST_BLOCK: Final = 64 * 1024
"""Bytes of a body that one digest covers."""
MAX_BLOCKS: Final = 1024
"""Maximum number of digests; the last one covers the rest of the body."""
MAX_CONTENT: Final = 16 * 1024 * 1024
"""Maximum size in bytes of a coded body's content; beyond it the digests are those of the coded bytes."""
RECENT: Final = 3_600_000
"""Maximum age in ms of an id or a date that a backend may have generated for this answer."""
MAX_IDS: Final = 50_000
"""Maximum number of ids of one body that are distinguished."""

_WINDOW: Final = 64 * 1024
_SEPARATOR: Final = re.compile(rb'[", \n\r\t]')


class BlockDigests:
    """Digests of a stream of bytes, one for each `DIGEST_BLOCK`, independent of chunk boundaries."""

    __slots__ = ("_current", "_digests", "_remaining", "length")

    def __init__(self) -> None:
        self._digests: list[bytes] = []
        self._current = hashlib.sha256()
        self._remaining = DIGEST_BLOCK
        self.length = 0

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        self.length += len(data)
        view = memoryview(data)
        while len(view) >= self._remaining and len(self._digests) < MAX_BLOCKS - 1:
            self._current.update(view[: self._remaining])
            view = view[self._remaining :]
            self._digests.append(self._current.digest()[:16])
            self._current, self._remaining = hashlib.sha256(), DIGEST_BLOCK
        self._current.update(view)
        self._remaining -= len(view)

    def blocks(self) -> tuple[bytes, ...]:
        """Return the digests so far, including that of an incomplete block."""
        return (*self._digests, self._current.digest()[:16])


class BodyDigests:
    """Digests of one body as it passes.

    `codings`: its `Content-Encoding`. `now`: seconds since the epoch for a comparison by role, otherwise None.
    """

    def __init__(self, codings: str = "", now: float | None = None) -> None:
        self._coded = BlockDigests()
        self._content = BlockDigests()
        self._mask = _RoleMask(now) if now is not None else None
        try:
            self._decoder: StreamDecoder | None = StreamDecoder(codings, MAX_CONTENT) if codings else None
            self.is_content = True
        except CodingError:
            self._decoder, self.is_content = None, False

    def update(self, data: bytes) -> None:
        """Add the next bytes of the body as transferred."""
        if self._decoder is None and self.is_content:
            self._add(data)
            return
        self._coded.update(data)
        if self._decoder is not None and self.is_content:
            try:
                for piece in self._decoder.feed(data):
                    self._add(piece)
            except (CodingError, OversizeError):
                self.is_content = False

    def _add(self, data: bytes) -> None:
        self._content.update(self._mask.feed(data) if self._mask is not None else data)

    def finish(self) -> BlockDigests:
        """Return the digests of the content, or of the coded bytes if `is_content` is False after the call."""
        if self._decoder is not None and self.is_content:
            try:
                self._decoder.finish()
            except CodingError:
                self.is_content = False
        if self._mask is not None:
            self._content.update(self._mask.finish())
        return self._content if self.is_content else self._coded


def content_digests(data: bytes, now: float | None) -> BlockDigests:
    """Return the digests of content that is available as a whole; `now` as in `BodyDigests`."""
    digests = BodyDigests("", now)
    digests.update(data)
    return digests.finish()


class _RoleMask:
    """Replaces values that a backend may have generated for this answer. The output does not depend on chunks."""

    def __init__(self, now: float) -> None:
        self._now = int(now * 1000)
        self._prefixes = _prefixes(now)
        self._numbers: dict[str, int] = {}
        self._waiting = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return the masked text of all windows that are complete."""
        self._waiting += data
        masked = []
        while len(self._waiting) >= 2 * _WINDOW:
            separator = _SEPARATOR.search(self._waiting, _WINDOW, 2 * _WINDOW)
            end = separator.end() if separator is not None else 2 * _WINDOW
            masked.append(self._masked(bytes(self._waiting[:end])))
            del self._waiting[:end]
        return b"".join(masked)

    def finish(self) -> bytes:
        """Return the masked text of the rest."""
        rest = self._masked(bytes(self._waiting))
        self._waiting.clear()
        return rest

    def _masked(self, data: bytes) -> bytes:
        starts = sorted(start for prefix in self._prefixes for start in _occurrences(data, prefix))
        if not starts:
            return data
        text, parts, end = data.decode("latin-1"), [], 0
        for start in starts:
            match = VOLATILE.match(text, start) if start >= end else None
            if match is not None:
                parts += [text[end:start], self._role(match)]
                end = match.end()
        return "".join([*parts, text[end:]]).encode("latin-1")

    def _role(self, match: re.Match[str]) -> str:
        kind, text = match.lastgroup or "", match.group()
        if kind in ("token", "hash"):
            return f"<{kind}>"
        moment = timestamp_of(kind, text)
        if moment is None or abs(self._now - moment) > RECENT:
            return text
        if kind == "id":
            if text not in self._numbers and len(self._numbers) >= MAX_IDS:
                return "<id>"
            return f"<id {self._numbers.setdefault(text, len(self._numbers))}>"
        return date_layout(text)


def _prefixes(now: float) -> list[bytes]:
    """Return prefixes of tokens, hashes and recent ids, dates and epochs, which are faster to search than a pattern."""
    moments = [now + offset for offset in (-RECENT / 1000, 0, RECENT / 1000)]
    ids = {f"{int(at):08x}"[:5] for at in moments}  # the last three digits are 4,096 s
    epochs = {str(int(at * 1000))[:6] for at in moments}  # the other seven digits are 10,000 s
    days = {f"{datetime.fromtimestamp(now, UTC) + timedelta(days=days):%Y-%m-%dT}" for days in (-1, 0, 1)}
    return [prefix.encode() for prefix in ("eyJ", "$2", *sorted(ids | epochs | days))]


def _occurrences(data: bytes, prefix: bytes) -> Iterator[int]:
    start = data.find(prefix)
    while start >= 0:
        yield start
        start = data.find(prefix, start + 1)
