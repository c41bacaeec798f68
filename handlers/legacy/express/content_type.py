"""`Content-Type` as body-parser reads it (content-type 1, type-is 2).

A header that is malformed anywhere, even in its last parameter, states no type, and the body is not read.
"""

import re
from typing import Final, NamedTuple

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE: Final = re.compile(rf"{_WORD}/{_WORD}")
_PARAMETER: Final = re.compile(
    rf"; *({_WORD}) *= *"
    r'("(?:[\x0b\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\x0b\x20-\xff])*"|' + _WORD + r") *"
)
_ESCAPED: Final = re.compile(r"\\([\x0b\x20-\xff])")
_BLANK: Final = " \t\n\v\f\r\xa0"


class MediaType(NamedTuple):
    """A type in lower case, and its charset, in lower case and empty if absent."""

    name: str
    charset: str


def parse(header: str) -> MediaType | None:
    """Parse a `Content-Type`; `None` if it is malformed. The last of repeated parameters counts."""
    kind, semicolon, _ = header.partition(";")
    name = kind.strip(_BLANK)
    if not _TYPE.fullmatch(name):
        return None
    at, charset = len(kind), ""
    while semicolon and at < len(header):
        parameter = _PARAMETER.match(header, at)
        if parameter is None:
            return None
        at = parameter.end()
        if parameter[1].lower() == "charset":
            charset = _unquote(parameter[2]).lower()
    return MediaType(name.lower(), charset)


def _unquote(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
