"""Text decoding as in iconv-lite, for the charsets of JSON bodies.

body-parser accepts every charset whose name begins with `utf-`; iconv-lite knows the ones in this module. Both are
tolerant: names are compared without punctuation, byte order marks are dropped, the byte order of `utf-16` and `utf-32`
is detected, and undecodable input becomes U+FFFD (or remains a lone surrogate). A decoder yields pieces that take at
most a millisecond each, so that the event loop can run between them.
"""

import codecs
import re
import struct
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from common.growing_text import GrowingText
from handlers.json_structure import StructureError
from handlers.surrogates import SurrogateJoiner, pair_surrogates
from handlers.yielding import yield_fairly

Decoder = Callable[[bytes], Iterator[str]]

STEP: Final = 64 * 1024
"""Bytes of UTF-8 decoded at a time."""
_WIDE_STEP: Final = 4096
"""Bytes of other charsets decoded at a time. The slowest input, lone surrogates, takes 0.33 µs for each."""
LONGEST_UTF7: Final = 64 * 1024
"""Maximum bytes of UTF-7, which can only be decoded as a whole."""
_RUNS: Final = 512
"""Runs of UTF-7 decoded at a time."""

_NOISE: Final = re.compile(r":[0-9]{4}\Z|[^0-9a-z]")
_BOM: Final = "\ufeff"
_REPLACEMENT: Final = "\ufffd"
_SAMPLE: Final = 100
_HIGHEST: Final = 0x10FFFF
_UTF7_RUN: Final = re.compile(r"\+([A-Za-z0-9/+]*)-?")
_UTF7_IMAP_RUN: Final = re.compile(r"&([A-Za-z0-9+,/]*)-?")


def decoder(charset: str) -> Decoder | None:
    """Return the decoder for a charset's name, `None` if iconv-lite has none."""
    return _DECODERS.get(_NOISE.sub("", charset.lower()))


async def decode_in_slices(decode: Decoder, data: bytes) -> str:
    """Decode bytes; the event loop runs between pieces. Raises `StructureError` for a text that is too long."""
    text, bom = GrowingText(StructureError), _BOM
    for number, piece in enumerate(decode(data)):
        if number:
            await yield_fairly()
        text.add(piece.removeprefix(bom))
        bom = "" if piece else bom
    return text.take()


async def decode_utf8(data: bytes) -> str:
    """Decode UTF-8 as `Buffer.toString` does, with a byte order mark; the event loop runs between slices."""
    text = GrowingText(StructureError)
    for number, piece in enumerate(_utf8(data)):
        if number:
            await yield_fairly()
        text.add(piece)
    return text.take()


def _utf8(data: bytes) -> Iterator[str]:
    incremental = codecs.getincrementaldecoder("utf-8")("replace")
    for start in range(0, len(data), STEP):
        yield incremental.decode(data[start : start + STEP], final=start + STEP >= len(data))


def _utf16(order: str) -> Decoder:
    def decode(data: bytes) -> Iterator[str]:
        joiner = SurrogateJoiner()
        for start in range(0, len(data) & ~1, _WIDE_STEP):
            units = data[start : min(start + _WIDE_STEP, len(data) & ~1)]
            yield joiner.feed(units.decode(f"utf-16-{order}", "surrogatepass"))
        yield joiner.end()

    return decode


def _utf32(order: str) -> Decoder:
    def decode(data: bytes) -> Iterator[str]:
        joiner = SurrogateJoiner()
        for start in range(0, len(data) & ~3, _WIDE_STEP):
            units = data[start : min(start + _WIDE_STEP, len(data) & ~3)]
            points = struct.unpack(f"{'<' if order == 'le' else '>'}{len(units) // 4}I", units)
            text = "".join(chr(point) if point <= _HIGHEST else _REPLACEMENT for point in points)
            yield pair_surrogates(joiner.feed(text))
        yield joiner.end()

    return decode


def _utf16_detected(data: bytes) -> Iterator[str]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        order = "le" if data[:2] == b"\xff\xfe" else "be"
    else:
        pairs = [data[at : at + 2] for at in range(0, min(len(data) - 1, 2 * _SAMPLE), 2)]
        big = sum(pair[0] == 0 and pair[1] != 0 for pair in pairs)
        little = sum(pair[0] != 0 and pair[1] == 0 for pair in pairs)
        order = "be" if big > little else "le"
    return _utf16(order)(data)


def _utf32_detected(data: bytes) -> Iterator[str]:
    if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        order = "le" if data[:2] == b"\xff\xfe" else "be"
    else:
        quads = [data[at : at + 4] for at in range(0, min(len(data) - 3, 4 * _SAMPLE), 4)]
        big = sum(_plausibility(quad) for quad in quads)
        little = sum(_plausibility(quad[::-1]) for quad in quads)
        order = "be" if big > little else "le"
    return _utf32(order)(data)


def _plausibility(quad: bytes) -> int:
    """Return how likely four bytes are a big-endian character: 1, 0 or -1."""
    invalid = quad[0] != 0 or quad[1] > 0x10
    common = quad[:2] == b"\0\0" and quad[2:] != b"\0\0"
    return int(common) - int(invalid)


def _utf7(data: bytes, pattern: re.Pattern[str], shift: str) -> Iterator[str]:
    """Decode runs of base64 within ASCII. Raises `StructureError`."""
    if len(data) > LONGEST_UTF7:
        raise StructureError("too much UTF-7")
    text = data.decode("ascii", "replace")
    pieces, at = list[str](), 0
    for number, run in enumerate(pattern.finditer(text), 1):
        pieces.append(text[at : run.start()])
        pieces.append(_decode_run(run, shift))
        at = run.end()
        if number % _RUNS == 0:
            yield "".join(pieces)
            pieces.clear()
    yield "".join((*pieces, text[at:]))


def _decode_run(run: re.Match[str], shift: str) -> str:
    coded = run[1].replace(",", "/")
    if not coded:
        return shift if run[0].endswith("-") else ""
    whole = coded if len(coded) % 4 != 1 else coded[:-1]
    return "".join(_utf16("be")(b64decode(whole + "=" * (-len(whole) % 4)))).removeprefix(_BOM)


_DECODERS: Final[dict[str, Decoder]] = {
    "utf8": _utf8,
    "utf16": _utf16_detected,
    "utf16le": _utf16("le"),
    "utf16be": _utf16("be"),
    "utf32": _utf32_detected,
    "utf32le": _utf32("le"),
    "utf32be": _utf32("be"),
    "utf7": partial(_utf7, pattern=_UTF7_RUN, shift="+"),
    "utf7imap": partial(_utf7, pattern=_UTF7_IMAP_RUN, shift="&"),
}
