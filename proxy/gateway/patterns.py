"""What `match:` says: a method and a path template, and which of two patterns hides the other.

HTTP patterns match as express 5 (router 2, path-to-regexp 8, at their defaults) matches the same
template: the raw path, before any percent-decoding; letters in either case; one trailing slash allowed;
a parameter is one segment and never empty. WebSocket patterns match to the letter, as the `path` option
of the `ws` library does. No I/O here, so that the table, the validation and the CLI can share it.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final

WEBSOCKET: Final = "WS"
ANY: Final = "*"
NEVER: Final = 1 << 60  # an index that no route has

# fmt: off
# The methods that llhttp (Node, httptools) lets through; CONNECT asks for a tunnel, not for a resource.
METHODS: Final = frozenset(
    (
        "ACL", "BIND", "CHECKOUT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK",
        "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH",
        "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH",
        "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
    )
)
# fmt: on
_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=:@|\[\]\"<>^`]|%[0-9A-Fa-f]{2})+")
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class PatternError(ValueError):
    """A `match:` that cannot be read; the text says why, in words for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One whole segment of a path, whatever it holds."""

    name: str


Segment = str | Parameter


@dataclass(frozen=True, slots=True)
class Pattern:
    """`GET /api/notes/{id}`; with `rest`, everything below (`/api/notes/*`), but not the place itself."""

    method: str
    segments: tuple[Segment, ...]
    rest: bool = False

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read `METHOD /path`. Raises PatternError."""
        words = text.split()
        if len(words) != 2:
            raise PatternError("must be a method and a path, as in `GET /api/notes/{id}`")
        method = _method(words[0])
        segments, rest = _segments(words[1], exact=method == WEBSOCKET)
        return cls(method, segments, rest)

    @property
    def path(self) -> str:
        """The template as it would be written."""
        parts = [f"{{{part.name}}}" if isinstance(part, Parameter) else part for part in self.segments]
        return "/" + "/".join([*parts, "*"] if self.rest else parts)

    @property
    def shape(self) -> tuple[str, tuple[str | None, ...], bool]:
        """Equal for two patterns exactly when they match the same requests (None is a parameter)."""
        folded = tuple(None if isinstance(part, Parameter) else self.fold(part) for part in self.segments)
        return self.method, folded, self.rest

    def takes(self, path: str) -> bool:
        """Whether it matches a path, whatever the method."""
        trie = Trie()
        trie.add(self, 0)
        segments = self.fold(path).encode()[1:].split(b"/")
        return trie.find(segments, exact=self.method == WEBSOCKET) == 0

    def fold(self, text: str) -> str:
        """Return a literal as it is compared: WebSocket paths unchanged, others in lower case."""
        return text if self.method == WEBSOCKET else text.lower()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def answers(declared: str, method: str) -> bool:
    """Whether a route declared for one method takes a request with another (GET takes HEAD too)."""
    if declared == method:
        return True
    if WEBSOCKET in (declared, method):
        return False
    return declared == ANY or (declared == "GET" and method == "HEAD")


class Trie:
    """Templates by segment. Of several that match, the one added with the lowest index wins."""

    __slots__ = ("leaf", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[bytes, Trie] = {}
        self.parameter: Trie | None = None
        self.leaf = NEVER
        self.rest = NEVER

    def add(self, pattern: Pattern, index: int) -> None:
        """Put a pattern in; its method is the caller's concern."""
        node = self
        for segment in pattern.segments:
            node = node._child(pattern, segment)
        if pattern.rest:
            node.rest = min(node.rest, index)
        else:
            node.leaf = min(node.leaf, index)

    def find(self, segments: list[bytes], at: int = 0, best: int = NEVER, *, exact: bool = False) -> int:
        """Return the lowest index below `best` that matches `segments[at:]`, or `best`.

        The segments are a path split at its slashes, without the first, empty piece, and folded.
        `exact` refuses the trailing slash that is otherwise allowed.
        """
        left = len(segments) - at
        if left == 0 or (left == 1 and not segments[at] and not exact):
            return min(best, self.leaf)
        segment = segments[at]
        if self.rest < best and (left > 1 or segment):
            best = self.rest
        child = self.literals.get(segment)
        if child is not None:
            best = child.find(segments, at + 1, best, exact=exact)
        if self.parameter is not None and segment:
            best = self.parameter.find(segments, at + 1, best, exact=exact)
        return best

    def covering(self, pattern: Pattern, at: int = 0) -> int:
        """Return the lowest index of a template that matches all that `pattern` matches, or NEVER."""
        if at == len(pattern.segments):
            return self.rest if pattern.rest else self.leaf
        segment = pattern.segments[at]
        best = NEVER if segment == "" else self.rest
        if self.parameter is not None and segment != "":
            best = min(best, self.parameter.covering(pattern, at + 1))
        if isinstance(segment, str):
            child = self.literals.get(pattern.fold(segment).encode())
            best = min(best, child.covering(pattern, at + 1) if child else NEVER)
        return best

    def _child(self, pattern: Pattern, segment: Segment) -> Trie:
        if isinstance(segment, str):
            return self.literals.setdefault(pattern.fold(segment).encode(), Trie())
        if self.parameter is None:
            self.parameter = Trie()
        return self.parameter


class Cover:
    """Patterns in file order, asked whether earlier ones leave anything to a later one."""

    def __init__(self) -> None:
        self._tries: dict[str, Trie] = {}

    def add(self, pattern: Pattern, index: int) -> None:
        """Put the next pattern in."""
        self._tries.setdefault(pattern.method, Trie()).add(pattern, index)

    def covering(self, pattern: Pattern) -> int | None:
        """Return the first pattern added that takes every request this one could, if there is one."""
        tries = (trie for declared, trie in self._tries.items() if answers(declared, pattern.method))
        first = min((trie.covering(pattern) for trie in tries), default=NEVER)
        return None if first == NEVER else first


def _method(word: str) -> str:
    if word in METHODS or word in (ANY, WEBSOCKET):
        return word
    known = [*sorted(METHODS), ANY, WEBSOCKET]
    close = [word.upper()] if word.upper() in known else difflib.get_close_matches(word.upper(), known, 1)
    hint = f"; did you mean {close[0]}?" if close else "; use an HTTP method, `*` for any of them, or WS"
    raise PatternError(f"{word!r} is no method{hint}")


def _segments(path: str, *, exact: bool) -> tuple[tuple[Segment, ...], bool]:
    _refuse(path)
    parts = path[1:].split("/")
    rest = parts[-1] == "*"
    if rest or (parts[-1] == "" and not exact):
        parts.pop()
    last = len(parts) - 1
    segments = tuple(_segment(part, path, empty=exact and at == last) for at, part in enumerate(parts))
    names = [segment.name for segment in segments if isinstance(segment, Parameter)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PatternError(f"names the parameter {{{twice[0]}}} twice")
    return segments, rest


def _refuse(path: str) -> None:
    if not path.startswith("/"):
        raise PatternError(f"the path {path!r} must begin with a slash")
    if "?" in path or "#" in path:
        raise PatternError("only the path is matched: leave out `?` and `#` and what follows them")
    if not path.isascii():
        raise PatternError("the path is matched as it is sent: percent-encode what is not ASCII")


def _segment(text: str, path: str, *, empty: bool) -> Segment:
    parameter = _PARAMETER.fullmatch(text)
    if parameter:
        return Parameter(parameter[1])
    if text.startswith(":"):
        raise PatternError(f"write the parameter {text} as {{{text[1:]}}}")
    if "{" in text or "}" in text:
        raise PatternError(f"{text!r}: a parameter is a whole segment, as in /notes/{{id}}")
    if "*" in text:
        raise PatternError("`*` may only be the last segment, as in /notes/*")
    if not text and not empty:
        raise PatternError(f"the path {path} has an empty segment")
    if text and not _LITERAL.fullmatch(text):
        raise PatternError(f"{text!r} holds what no request path does")
    return text
