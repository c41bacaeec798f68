"""Print on a standard output whose encoding lacks some characters of the commands, as in the locale C."""

from __future__ import annotations

import codecs
import io
import sys
from typing import Final

SUBSTITUTES: Final = {
    "→": "->",
    "·": "-",
    "–": "-",
    "─": "-",
    "−": "-",
    "≈": "~",
    "•": "*",
    "…": "...",
    "“": '"',
    "”": '"',
}
"""ASCII for characters that the commands print; any other one is replaced by a question mark."""


def substitute_unencodable() -> None:
    """Let standard output and error substitute characters that their encoding lacks, instead of failing."""
    codecs.register_error("scribe_proxy.substitute", _substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="scribe_proxy.substitute")


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(SUBSTITUTES.get(one, "?") for one in error.object[error.start : error.end]), error.end
