"""Parse JSON in slices, between which the event loop runs, so that a long text does not block it.

A C parser blocks the event loop while it runs, also from a thread, because it holds the GIL. Its time depends on the
number of values, which is limited, and on their lengths, which are not. Long strings, numbers and white space are
therefore removed from the text first:

    {"audioData":"QUJD…"}  ─▶  {"audioData":"<mark>0"}  ─▶ parse ─▶  the value, with the string in place of its mark
                   └─▶ decoded in slices ─────────────────────────────┘
"""

from __future__ import annotations

import codecs
import re
import secrets
from bisect import bisect_right
from collections.abc import Callable
from json import JSONDecodeError, decoder
from typing import Any, Final, Protocol, TypeVar, cast

from common.growing_text import GrowingText
from handlers.json_structure import MAX_SURROGATES, MAX_VALUES, SLICE, StructureCounter, StructureError
from handlers.surrogates import SurrogateJoiner
from handlers.yielding import join_bytes, yield_fairly

Parsed = TypeVar("Parsed")
_Container = list[Any] | dict[str, Any]

MIN_REMOVED: Final = 256
"""Minimum characters of a literal that is removed. The rest of the text has at most `MIN_REMOVED * MAX_VALUES`."""
SHORT: Final = 8_192
"""Maximum characters of a text whose value is used in the same pass of the event loop in which it is parsed."""
_MIN_REMOVED_BLANK: Final = 32
"""Minimum characters of white space that is removed. It may stand on both sides of every token."""

_TOKEN_COST: Final = 64
"""Work per token, in characters, in addition to its own characters."""
_SIGNIFICANT: Final = 1_100
"""Significant digits that are retained. 768 determine a double; one more shows that others follow."""
_MAX_EXPONENT: Final = 10**9
_ERROR_CONTEXT: Final = 12

_NUMERIC: Final = "-+.0123456789eE"
_BLANK: Final = " \t\n\r"
_WORD: Final = "A-Za-z0-9+.-"
_STRING = re.compile(r'[^"\\]*+(?:\\(?:u[0-9a-fA-F]{4}|[^u])[^"\\]*+)*+', re.DOTALL)
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*+')
_TOKENS = re.compile(
    rf"(?:[,:[\]{{}}]++|[{_BLANK}]{{1,{_MIN_REMOVED_BLANK - 1}}}+(?=[^{_BLANK}]|\Z)"
    rf"|[{_WORD}]{{1,{MIN_REMOVED - 1}}}+(?=[{_BLANK}]{{0,{_MIN_REMOVED_BLANK - 1}}}+[,:[\]{{}}]))*+"
)
"""Tokens outside strings, each number and literal before a comma, colon or bracket, as in all JSON but its last one."""
_SHORT_WORD = re.compile(rf"[{_WORD}]{{0,{MIN_REMOVED}}}+")
_SPACES = re.compile(rf"[{_BLANK}]*+")
_NUMERALS = re.compile(rf"[{_NUMERIC}]*+")
_DIGITS = re.compile("[0-9]*+")
_ZEROS = re.compile("0*+")


class _SlicedStringReader(Protocol):
    def __call__(self, text: str, start: int, strict: bool, /) -> tuple[str, int]: ...


_read_string: Final[_SlicedStringReader] = decoder.scanstring  # type: ignore[attr-defined]  # absent from typeshed


async def parse_in_slices(text: str, parse: Callable[[str], Parsed], slice_size: int = SLICE) -> Parsed:
    """Return `parse(text)`, but parse long literals in slices. `parse` returns lists, dicts and scalars.

    Raises `StructureError` for more than `MAX_VALUES` values, and the errors of `parse`; the position of a
    `JSONDecodeError` is that in `text`. A number beyond the range of a double is read as infinity (`1e999`), by
    Python's parser too.
    """
    if len(text) <= slice_size:
        counter = StructureCounter()
        counter.feed(text)
        parsed = parse(text)
        if len(text) > SHORT:
            await yield_fairly()
        return parsed
    outline = _Outline(text, slice_size)
    await outline.draw()
    try:
        value = parse(outline.text)
    except JSONDecodeError as error:
        raise JSONDecodeError(error.msg, text, outline.position_of(error.pos)) from None
    await yield_fairly()
    if outline.strings:
        top: list[Any] = [value]
        _restore(top, outline.mark, outline.strings)
        await yield_fairly()
        return cast("Parsed", top[0])
    return value


async def decode_utf8(data: bytes) -> str:
    """Decode in slices between which the event loop runs; raises UnicodeDecodeError or `StructureError`."""
    if len(data) <= SLICE:
        return data.decode()
    incremental = codecs.getincrementaldecoder("utf-8")()
    text = GrowingText(StructureError)
    for start in range(0, len(data), SLICE):
        text.add(incremental.decode(data[start : start + SLICE], final=start + SLICE >= len(data)))
        await yield_fairly()
    return text.take()


async def write_in_slices(value: Any, write: Callable[[Any], str], slice_size: int = SLICE) -> bytes:
    """Return `write(value)` in UTF-8, but write long strings slice by slice.

    `write` returns JSON. It must write each character of a string independently of its neighbours.
    """
    mark, strings, work = secrets.token_hex(8), list[str](), 0
    first, *rest = write(_without_long_strings(value, mark, strings)).split(f'"{mark}')
    pieces = [first.encode()]
    for part in rest:
        index, _, after = part.partition('"')
        text = strings[int(index)]
        pieces.append(b'"')
        for start in range(0, len(text), slice_size):
            pieces.append(write(text[start : start + slice_size])[1:-1].encode())
            work += min(len(text), slice_size)
            if work >= slice_size:
                work = 0
                await yield_fairly()
        pieces.append(b'"' + after.encode())
    return await join_bytes(pieces)


def _without_long_strings(value: Any, mark: str, strings: list[str]) -> Any:
    """Return a copy of a value with marks in place of its long strings; append these to `strings`."""
    top: list[Any] = [value]
    waiting: list[_Container] = [top]
    while waiting:
        container: Any = waiting.pop()
        for key, member in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(member, str) and len(member) > MIN_REMOVED:
                container[key] = f"{mark}{len(strings)}"
                strings.append(member)
            elif isinstance(member, list | dict):
                container[key] = copied = member.copy()
                waiting.append(copied)
    return top[0]


class _Outline:
    """A JSON text without its long literals. `strings` holds the strings that were removed."""

    def __init__(self, source: str, slice_size: int) -> None:
        self._source = source
        self._slice = slice_size
        self._values = self._open = self._colons = self._strings = self._surrogates = 0
        self._parts: list[str] = []
        self._size = 0
        self._shifts: list[tuple[int, int]] = []
        self._work = 0
        self.mark = secrets.token_hex(8)
        self.strings: list[str] = []
        self.text = ""

    async def draw(self) -> None:
        """Compute `text`. Raises `StructureError`."""
        at, end = 0, len(self._source)
        while at < end:
            quote = self._source.find('"', at)
            stop = quote if quote >= 0 else end
            if await self._add_outside(at, stop) > stop or quote < 0:
                break
            at = await self._add_string(quote + 1)
        self.text = "".join(self._parts)
        self._parts.clear()

    def position_of(self, position: int) -> int:
        """Return the position in the source that corresponds to a position in `text`."""
        index = bisect_right(self._shifts, (position, len(self._source)))
        return position + (self._shifts[index - 1][1] if index else 0)

    # -- parts of the text

    def _add(self, part: str) -> None:
        self._parts.append(part)
        self._size += len(part)

    def _skip_to(self, position: int) -> None:
        """Record the source position of the part that is added next."""
        self._shifts.append((self._size, position - self._size))

    def _fail(self, position: int) -> int:
        """Add invalid text, which makes the parser fail here, and return a position beyond the end."""
        self._skip_to(position)
        self._add(self._source[position : position + _ERROR_CONTEXT])
        return len(self._source) + 1

    async def _spend(self, work: int) -> None:
        """Account for work on a slice, and let the event loop run after each slice."""
        self._work += work + _TOKEN_COST
        if self._work >= self._slice:
            self._work = 0
            await yield_fairly()

    async def _end_of(self, pattern: re.Pattern[str], at: int, end: int) -> int:
        """Return the end of a run of characters, at most `end`."""
        while at < end:
            stop = min(at + self._slice, end)
            match = pattern.match(self._source, at, stop)
            reached = match.end() if match is not None else at
            await self._spend(reached - at)
            at = reached
            if at < stop:
                break
        return at

    # -- outside strings

    async def _add_outside(self, at: int, end: int) -> int:
        """Add the tokens up to `end`; return `end`, or a later position if the text is invalid before it."""
        after_value = False
        while at < end:
            match = _TOKENS.match(self._source, at, min(at + self._slice, end))
            reached = match.end() if match is not None else at
            if reached == at:
                at, after_value = await self._add_run(at, end, after_value)
                continue
            piece = self._source[at:reached]
            if not self._add_tokens(piece):
                return len(self._source) + 1
            after_value = after_value and piece.isspace()
            at = reached
            await self._spend(len(piece))
        return at

    def _add_tokens(self, piece: str) -> bool:
        """Add a piece and count its tokens. Return False if no JSON begins with the text up to its end."""
        count = piece.count
        opened, commas = count("[") + count("{"), count(",")
        self._add(piece)
        self._values += opened + commas
        self._open += opened - count("]") - count("}")
        self._colons += count(":")
        if self._open < 0 or self._colons > self._values:
            return False
        if self._values >= MAX_VALUES:
            raise StructureError("too many values")
        return True

    async def _add_run(self, at: int, end: int, after_value: bool) -> tuple[int, bool]:
        """Add a run of white space, or a number or literal that no token follows immediately.

        Return the position after it, and whether the last token is a value, which another one cannot follow.
        """
        if self._source[at] in _BLANK:
            after = await self._end_of(_SPACES, at, end)
            self._add(" ")
            self._skip_to(after)
            return after, after_value
        match = _SHORT_WORD.match(self._source, at, end)
        after = match.end() if match is not None else at
        if after_value or after == at:
            return self._fail(at), True
        if after < at + MIN_REMOVED:
            self._add(self._source[at:after])
            await self._spend(after - at)
            return after, True
        after = await self._add_number(at, await self._end_of(_NUMERALS, at, end))
        if after <= end:
            self._skip_to(after)
        return after, True

    async def _add_number(self, at: int, end: int) -> int:
        """Add a number of the same value, and return the end of its run."""
        source = self._source
        sign = "-" if source[at] == "-" else ""
        whole = at + len(sign)
        point = await self._end_of(_DIGITS, whole, end)
        if point == whole or (source[whole] == "0" and point > whole + 1):
            return self._fail(at)
        after = point
        if source[point : point + 1] == ".":
            fraction_end = await self._end_of(_DIGITS, point + 1, end)
            after = fraction_end if fraction_end > point + 1 else point
        digits, scale = await self._significant(whole, point, after)
        exponent, after = await self._exponent(after, end)
        self._add(f"{sign}0.{digits or 0}e{max(min(exponent + scale, _MAX_EXPONENT), -_MAX_EXPONENT)}")
        return end if after == end else self._fail(after)

    async def _exponent(self, at: int, end: int) -> tuple[int, int]:
        """Return the exponent at a position, 0 if there is none, and its end."""
        source = self._source
        if source[at : at + 1] not in ("e", "E"):
            return 0, at
        sign = source[at + 1 : at + 2] if source[at + 1 : at + 2] in ("+", "-") else ""
        first = at + 1 + len(sign)
        after = await self._end_of(_DIGITS, first, end)
        if after == first:
            return 0, at
        start = await self._end_of(_ZEROS, first, after)
        size = _MAX_EXPONENT if after - start > 9 else int(source[start:after] or 0)
        return -size if sign == "-" else size, after

    async def _significant(self, whole: int, point: int, end: int) -> tuple[str, int]:
        """Return the significant digits of a number, without leading zeros, and their power of ten."""
        source = self._source
        start = await self._end_of(_ZEROS, whole, point)
        scale = point - start
        if start == point and point < end:
            start = await self._end_of(_ZEROS, point + 1, end)
            scale = point + 1 - start
        window = source[start : min(start + _SIGNIFICANT, end)]
        rest = await self._end_of(_ZEROS, start + len(window), end)
        if rest == point:
            rest = await self._end_of(_ZEROS, point + 1, end)
        return window.replace(".", "") + ("1" if rest < end else ""), scale

    # -- strings

    async def _add_string(self, start: int) -> int:
        """Add the string that begins after a quote; return the position after its end."""
        self._strings += 1
        if self._strings > 2 * MAX_VALUES:
            raise StructureError("too many strings")
        source, end = self._source, len(self._source)
        at = start
        content = GrowingText(StructureError)
        joiner = SurrogateJoiner()
        while True:
            after = self._end_of_piece(at, end)
            closed = source[after : after + 1] == '"'
            if closed and after - start <= MIN_REMOVED:
                self._add(source[start - 1 : after + 1])
                await self._spend(after - start)
                return after + 1
            try:
                content.add(joiner.feed(self._read_piece(at, after)))
            except JSONDecodeError as error:
                self._add('"')
                return self._fail(at + error.pos)
            await self._spend(after - at)
            if closed:
                content.add(joiner.end())
                return self._replace_string(content.take(), after)
            if after == end or (after == at and source[at] == "\\"):
                self._add('"')
                return self._fail(after)
            at = after

    def _replace_string(self, content: str, end: int) -> int:
        """Add a mark in place of a long string that ends at `end`; return the position after it."""
        self._add(f'"{self.mark}{len(self.strings)}"')
        self._skip_to(end + 1)
        self.strings.append(content)
        return end + 1

    def _read_piece(self, at: int, after: int) -> str:
        """Return a decoded piece of a string."""
        piece = self._source[at:after]
        return piece if _PLAIN.fullmatch(piece) else _read_string(f'{piece}"', 0, True)[0]

    def _end_of_piece(self, at: int, end: int) -> int:
        """Return the end of a piece of a string: at its quote, at an invalid escape, or between two characters."""
        match = _STRING.match(self._source, at, min(at + self._slice, end))
        after = match.end() if match is not None else at
        escaped = self._source.count("\\ud", at, after) + self._source.count("\\uD", at, after)
        self._surrogates += escaped
        if self._surrogates > MAX_SURROGATES:
            raise StructureError("too many surrogates")
        return after


def _restore(top: list[Any], mark: str, strings: list[str]) -> None:
    """Replace the marks in a value, which is contained in a list, by their strings."""
    waiting: list[_Container] = [top]
    while waiting:
        container = waiting.pop()
        if isinstance(container, list):
            container[:] = [_restored(member, mark, strings) for member in container]
            members = container
        else:
            items = [
                (_restored(name, mark, strings), _restored(member, mark, strings)) for name, member in container.items()
            ]
            container.clear()
            container.update(items)
            members = list(container.values())
        waiting += [member for member in members if isinstance(member, list | dict)]


def _restored(value: Any, mark: str, strings: list[str]) -> Any:
    return strings[int(value[len(mark) :])] if isinstance(value, str) and value.startswith(mark) else value
