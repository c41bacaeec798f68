"""JSON texts that are small to send and may be slow to read; each stresses a different part of the readers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random
from typing import Final

from handlers.json_structure import MAX_VALUES

MANY: Final = MAX_VALUES - 100
"""The number of values that are read, less some for the values around them."""
AROUND: Final = (
    ("", ""),
    ("[", "]"),
    ("[", "0]"),
    ('"', '"'),
    ('{"a":', "}"),
    ('["', '"]'),
    ('{"type":"Buffer","data":[', "0]}"),
)
TOKENS: Final = (
    *'[]{},: 0-.eEx"\\=',
    *(
        "\0",
        "\x7f",
        "é",
        "\u2028",
        "😀",
        "\ufeff",
        " " * 31,
        "\n\t",
        "1" * 30,
        "1" * 255,
        "0.1",
        "1e9",
        "-0",
        "true,",
        "null",
    ),
    *(
        "NaN",
        '"a"',
        '"k":',
        '"1":0,',
        '"$a":',
        '{"a":1},',
        "[],",
        '"' + "x" * 250 + '",',
        '"é😀",',
        "\\n",
        "\\u0041",
        "\\ud83d",
    ),
    *(
        "\\ud83d\\ude00",
        "2026-01-01T00:00:00Z",
        "QUJD",
        "data:image/png;base64,",
        "a@b.c",
        "&#x41;",
        "%41",
        "<b>",
        "  (",
    ),
)


def texts(size: int) -> Iterator[tuple[str, str]]:
    """Yield JSON texts by name, of about `size` characters if the length is the attack."""
    return itertools.chain(_structures(size), _scalars(size), _faults(size), _refused(size))


def mixtures(size: int, chance: Random, number: int = 25) -> Iterator[tuple[str, str]]:
    """Yield texts of a few random tokens that are repeated: valid JSON, almost valid, or neither."""
    for _ in range(number):
        before, after = chance.choice(AROUND)
        piece = "".join(chance.choices(TOKENS, k=chance.randint(1, 4)))
        times = chance.choice((MANY // 3, size // len(piece)))
        yield f"{before}({piece})×{times}{after}", before + piece * min(times, size // len(piece)) + after


def _structures(size: int) -> Iterator[tuple[str, str]]:
    for depth in (90, 900, 3_000, MANY):
        yield f"arrays {depth} deep", "[" * depth + "]" * depth
        yield f"objects {depth} deep", '{"a":' * (depth // 2) + "1" + "}" * (depth // 2)
    yield "many zeros", _array("0" for _ in range(MANY))
    yield "many floats", _array("1.5" for _ in range(MANY))
    yield "many long integers", _array("12345678901234567890" for _ in range(MANY))
    yield "many integers of 255 digits", _array("1" * 255 for _ in range(_fitting(255, size)))
    yield "many fractions of 255 digits", _array("0." + "1" * 253 for _ in range(_fitting(255, size)))
    yield "many small fractions", _array("2.2250738585072011e-308" for _ in range(MANY))
    yield "many texts of 255 characters", _array('"' + "a" * 253 + '"' for _ in range(_fitting(255, size)))
    yield "many wide texts", _array('"' + "é" * 100 + '😀"' for _ in range(_fitting(102, size)))
    yield "many spaces", _array(" " * 62 + "0" for _ in range(_fitting(64, size)))
    yield "many long keys", _object(f"{number:0250}" for number in range(_fitting(255, size)))
    yield "many escaped keys", _object("\\u0061" * 40 + str(number) for number in range(_fitting(245, size)))
    yield "many keys to quote", _object("\x7f" * (size // MANY) + str(number) for number in range(MANY))
    yield "many texts to quote", _members((str(number), "\x7f" * 10_000) for number in range(size // 10_010))
    yield "many objects", _array('{"a":1}' for _ in range(MANY // 3))
    yield "many deep arrays", _array("[" * 90 + "]" * 90 for _ in range(MANY // 91))
    yield "many empty arrays", _array("[]" for _ in range(MANY // 2))
    yield "many empty objects", _array("{}" for _ in range(MANY // 2))
    yield "many texts", _array('"word"' for _ in range(MANY))
    yield "many dates", _array('"2026-02-30T25:61:61.999+99:99"' for _ in range(MANY))
    yield "many nulls", _array("null" for _ in range(MANY))
    yield "many keys", _object(f"k{number}" for number in range(MANY))
    yield "many index keys", _object(str(number) for number in range(MANY, 0, -1))
    yield "one key many times", _object("k" for _ in range(MANY))
    yield "operators", _object(f"$op{number}" for number in range(MANY))
    yield "a buffer", '{"type":"Buffer","data":' + _array("255" for _ in range(MANY - 10)) + "}"


def _scalars(size: int) -> Iterator[tuple[str, str]]:
    yield "letters", _text("a" * size)
    yield "digits", _text("1" * size)
    yield "spaces", _text(" " * size)
    yield "commas", _text("," * size)
    yield "brackets", _text("[{" * (size // 2))
    yield "letters of two bytes", _text("é" * (size // 2))
    yield "emoji", _text("😀" * (size // 4))
    yield "line ends", _text("\\n" * (size // 2))
    yield "control characters", _text("\\u0000" * (size // 6))
    yield "quotes", _text('\\"' * (size // 2))
    yield "pairs of escapes", _text("\\ud83d\\ude00" * (size // 12))
    yield "half pairs", _text("\\ud83dx" * (size // 7))
    yield "a long integer", "1" * size
    yield "a long fraction", "0." + "1" * size
    yield "a long exponent", "1e" + "1" * size
    yield "base64", _text("QUJD" * (size // 4))
    yield "base64 with rubbish", _text("QU-_!" * (size // 5))
    yield "base64 paddings", _text("=" * size)
    yield "a data URL", _text("data:image/png;base64," + "QUJD" * (size // 4))
    yield "a tagged image", _text("base64:image/png:" + ":" * size)
    yield "a URL", _text("http://" + "a." * (size // 2))
    yield "an address", _text("a" * (size // 2) + "@" + "b." * (size // 4))
    yield "a date", _text("2026-01-01T" + "0" * size)
    yield "a worded date", _text("Jan " * (size // 4))
    yield "date parentheses", _text("Jan 1 2026 " + "(" * size)
    yield "hexadecimal", _text("0x" + "f" * size)


def _faults(size: int) -> Iterator[tuple[str, str]]:
    yield "open arrays", "[" * MANY
    yield "open objects", '{"a":' * (MANY // 2)
    yield "an open text", '"' + "a" * size
    yield "an open text of emoji", '"' + "😀" * (size // 4)
    yield "white space", " " * size
    yield "a bad last escape", _text("a" * size + "\\x")
    yield "digit keys without colons", _array('"1"' + " " * 60 for _ in range(min(MANY, size // 60)))
    yield "not JSON", "x" * size


def _refused(size: int) -> Iterator[tuple[str, str]]:
    """Return texts of more values than are accepted."""
    yield "too many brackets", "[" * size
    yield "too deep", "[" * (size // 2) + "]" * (size // 2)
    yield "too many zeros", _array("0" for _ in range(size // 2))
    yield "too many keys", _object(f"k{number}" for number in range(size // 10))
    yield "too many after quotes", _array('"\\""' for _ in range(size // 5))


def _fitting(length: int, size: int) -> int:
    """Return how many values of a length in characters are read of a text of about `size`."""
    return min(MANY, size // (length + 1))


def _text(content: str) -> str:
    return f'"{content}"'


def _array(members: Iterator[str]) -> str:
    return f"[{','.join(members)}]"


def _members(members: Iterator[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":"{content}"' for key, content in members) + "}"


def _object(keys: Iterator[str]) -> str:
    return "{" + ",".join(f'"{key}":0' for key in keys) + "}"
