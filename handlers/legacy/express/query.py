"""Query strings as express 5 parses them: Node's `querystring.parse`.

Express 5's default parser is the simple one: without nesting, so `email[$ne]=a` is a key with brackets, and a
repeated key is an array. Escapes that are not UTF-8 are decoded leniently, never refused.
"""

import re
from typing import Final

from handlers.legacy.express.paths import UndecodableError, decode_component

MAX_PAIRS: Final = 1000

_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_ESCAPED_BYTE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")

Query = dict[str, str | list[str]]


def parse(text: str | None) -> Query:
    """Parse a query without its question mark; at most the first 1000 pairs count, empty ones included."""
    query: Query = {}
    if not text:
        return query
    for pair in text.split("&", MAX_PAIRS)[:MAX_PAIRS]:
        if pair:
            key, _, value = pair.partition("=")
            _add(query, _read(key, key), _read(value, value.replace("+", "")))
    return query


def _add(query: Query, key: str, value: str) -> None:
    present = query.get(key)
    if present is None:
        query[key] = value
    elif isinstance(present, list):
        present.append(value)
    else:
        query[key] = [present, value]


def _read(text: str, searched: str) -> str:
    """Unescape a name or a value if `searched` has an escape: in values, Node removes pluses before it searches."""
    spaced = text.replace("+", " ")
    return unescape(spaced) if _ESCAPE.search(searched) else spaced


def unescape(text: str) -> str:
    """Decode as `querystring.unescape`: `decodeURIComponent`, or byte for byte if that refuses."""
    try:
        return decode_component(text)
    except UndecodableError:
        return _unescape_bytes(text)


def _unescape_bytes(text: str) -> str:
    units = bytes(ord(character) & 0xFF for character in text)
    return _ESCAPED_BYTE.sub(lambda match: bytes.fromhex(match[1].decode()), units).decode(errors="replace")
