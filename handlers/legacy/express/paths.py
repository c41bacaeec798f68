"""Path matching as in router 2.

The legacy matches paths case-insensitively and with an optional trailing slash; a mounted router matches by prefix.
Parameters are decoded, or refused, before the method is checked. This module implements only these rules
(path-to-regexp 8, router 2), for templates of text and `:name` parameters.
"""

import re
from typing import Final, NamedTuple

_ESCAPES: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+|%")
_PARAMETER: Final = re.compile(r":([A-Za-z_$][\w$]*)", re.ASCII)


class UndecodableError(ValueError):
    """A percent escape that `decodeURIComponent` refuses."""


class Match(NamedTuple):
    """A pattern's match: the length of the matched path, and the decoded parameters."""

    end: int
    params: dict[str, str]


class Pattern:
    """A compiled template such as `/:promptId/add-prompt/:transcriptId`.

    `whole` patterns (routes) match the complete path; the others (mounts) match up to a slash.
    """

    __slots__ = ("_expression", "_names", "template")

    def __init__(self, template: str, *, whole: bool) -> None:
        self.template = template
        text = template if template == "/" else template.rstrip("/")
        pieces = _PARAMETER.split(text)
        self._names = tuple(pieces[1::2])
        source = "([^/]+)".join(re.escape(piece) for piece in pieces[::2])
        ending = r"\Z" if whole else r"(?=/|\Z)"
        self._expression = re.compile(rf"{source}(?:/\Z)?{ending}", re.IGNORECASE | re.ASCII)

    def match(self, path: str) -> Match | None:
        """Match a path; raises `UndecodableError` for malformed escapes in a parameter."""
        result = self._expression.match(path)
        if result is None:
            return None
        values = map(decode_component, result.groups())
        return Match(result.end(), dict(zip(self._names, values, strict=True)))


def decode_component(text: str) -> str:
    """Decode as `decodeURIComponent`: escapes must be valid UTF-8, other characters are unchanged."""
    return _ESCAPES.sub(_decode_run, text) if "%" in text else text


def _decode_run(run: re.Match[str]) -> str:
    try:
        return bytes.fromhex(run[0].replace("%", "")).decode() if len(run[0]) > 1 else _refuse()
    except UnicodeDecodeError:
        return _refuse()


def _refuse() -> str:
    raise UndecodableError("URI malformed")
