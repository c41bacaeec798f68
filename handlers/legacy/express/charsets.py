"""Text decoding as in iconv-lite, for the charsets of JSON bodies.

body-parser accepts every charset whose name begins with `utf-`, of which iconv-lite knows these. Both are tolerant:
names are compared without punctuation, byte order marks are dropped, `utf-16` and `utf-32` detect their byte order,
and undecodable input becomes U+FFFD (or remains a lone surrogate).
"""

import codecs
import re
import struct
from base64 import b64decode
from collections.abc import Callable
from typing import Final

from handlers.yielding import yield_fairly

Decoder = Callable[[bytes], str]

LARGEST: Final = 65_536
"""Bytes decoded without yielding: the slowest charset takes about 40 ms for them."""

_NOISE: Final = re.compile(r":[0-9]{4}\Z|[^0-9a-z]")
_BOM: Final = "\ufeff"
_REPLACEMENT: Final = "\ufffd"
_SAMPLE: Final = 100
_HIGHEST: Final = 0x10FFFF
_UTF7_RUN: Final = re.compile(r"\+([A-Za-z0-9/+]*)-?")
_UTF7_IMAP_RUN: Final = re.compile(r"&([A-Za-z0-9+,/]*)-?")


def decoder(charset: str) -> Decoder | None:
    """Return the decoder for a charset's name, `None` where iconv-lite has none."""
    return _DECODERS.get(_NOISE.sub("", charset.lower()))


class TooLongError(ValueError):
    """A text of more than `LARGEST` bytes in another charset than UTF-8."""


async def decode_in_slices(decode: Decoder, data: bytes) -> str:
    """Decode bytes; long UTF-8 is decoded in slices between which the event loop runs."""
    if len(data) <= LARGEST:
        return decode(data)
    if decode is not _utf8:
        raise TooLongError(f"more than {LARGEST} bytes that are not UTF-8")
    return _without_bom(await decode_utf8(data))


async def decode_utf8(data: bytes) -> str:
    """Decode UTF-8 as `Buffer.toString` does, in slices between which the event loop runs."""
    if len(data) <= LARGEST:
        return data.decode("utf-8", "replace")
    incremental = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = []
    for start in range(0, len(data), LARGEST):
        pieces.append(incremental.decode(data[start : start + LARGEST]))
        await yield_fairly()
    pieces.append(incremental.decode(b"", final=True))
    return "".join(pieces)


def _without_bom(text: str) -> str:
    return text[1:] if text.startswith(_BOM) else text


def _utf8(data: bytes) -> str:
    return _without_bom(data.decode("utf-8", "replace"))


def _utf16(order: str) -> Decoder:
    def decode(data: bytes) -> str:
        whole = data[: len(data) & ~1]
        return _without_bom(whole.decode(f"utf-16-{order}", "surrogatepass"))

    return decode


def _utf32(order: str) -> Decoder:
    def decode(data: bytes) -> str:
        count = len(data) // 4
        points = struct.unpack(f"{'<' if order == 'le' else '>'}{count}I", data[: count * 4])
        text = "".join(chr(point) if point <= _HIGHEST else _REPLACEMENT for point in points)
        return _without_bom(_pair_surrogates(text))

    return decode


def _pair_surrogates(text: str) -> str:
    """Join adjacent surrogate halves into one character, as in JavaScript's UTF-16 strings."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _utf16_detected(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        order = "le" if data[:2] == b"\xff\xfe" else "be"
    else:
        pairs = [data[at : at + 2] for at in range(0, min(len(data) - 1, 2 * _SAMPLE), 2)]
        big = sum(pair[0] == 0 and pair[1] != 0 for pair in pairs)
        little = sum(pair[0] != 0 and pair[1] == 0 for pair in pairs)
        order = "be" if big > little else "le"
    return _utf16(order)(data)


def _utf32_detected(data: bytes) -> str:
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


def _utf7(data: bytes) -> str:
    return _without_bom(_UTF7_RUN.sub(lambda run: _decode_run(run, "+"), data.decode("ascii", "replace")))


def _utf7_imap(data: bytes) -> str:
    return _without_bom(_UTF7_IMAP_RUN.sub(lambda run: _decode_run(run, "&"), data.decode("ascii", "replace")))


def _decode_run(run: re.Match[str], shift: str) -> str:
    coded = run[1].replace(",", "/")
    if not coded:
        return shift if run[0].endswith("-") else ""
    whole = coded if len(coded) % 4 != 1 else coded[:-1]
    return _utf16("be")(b64decode(whole + "=" * (-len(whole) % 4)))


_DECODERS: Final[dict[str, Decoder]] = {
    "utf8": _utf8,
    "utf16": _utf16_detected,
    "utf16le": _utf16("le"),
    "utf16be": _utf16("be"),
    "utf32": _utf32_detected,
    "utf32le": _utf32("le"),
    "utf32be": _utf32("be"),
    "utf7": _utf7,
    "utf7imap": _utf7_imap,
}
