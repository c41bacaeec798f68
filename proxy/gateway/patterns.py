"""Parse `match:`, which is a method and a path template, and find patterns that hide others.

HTTP patterns match like the same template in express 5 (router 2, path-to-regexp 8, default options): on the raw path,
before percent-decoding; case-insensitively; with an optional trailing slash; a parameter is one non-empty segment.
WebSocket patterns match exactly, like the `path` option of the `ws` library. Used by table, validation and CLI; does no
I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

WEBSOCKET: Final = "WS"
ANY: Final = "*"
NEVER: Final = 1 << 60  # larger than any route's index

# fmt: off
# The methods that llhttp (Node, httptools) accepts; CONNECT is excluded, because it requests a tunnel.
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
    """Raised for an invalid `match:`; the message is for the author of the file."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: one whole segment of a path, with any content."""

    name: str


Segment = str | Parameter


@dataclass(frozen=True, slots=True)
class Pattern:
    """`GET /api/notes/{id}`; with `rest`, everything below a path (`/api/notes/*`), but not the path itself."""

    method: str
    segments: tuple[Segment, ...]
    rest: bool = False

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Parse `METHOD /path`. Raises PatternError."""
        words = text.split()
        if len(words) != 2:
            raise PatternError("must be a method and a path, as in `GET /api/notes/{id}`")
        method = _method(words[0])
        segments, rest = _segments(words[1], exact=method == WEBSOCKET)
        return cls(method, segments, rest)

    @property
    def path(self) -> str:
        """The template in its usual notation."""
        parts = [f"{{{part.name}}}" if isinstance(part, Parameter) else part for part in self.segments]
        return "/" + "/".join([*parts, "*"] if self.rest else parts)

    @property
    def shape(self) -> tuple[str, tuple[str | None, ...], bool]:
        """A value that is equal for two patterns exactly when they match the same requests (None is a parameter)."""
        folded = tuple(None if isinstance(part, Parameter) else self.fold(part) for part in self.segments)
        return self.method, folded, self.rest

    def takes(self, path: str) -> bool:
        """Return True if the pattern matches a path; the method is ignored."""
        trie = Trie()
        trie.add(self, 0)
        segments = self.fold(path).encode()[1:].split(b"/")
        return trie.find(segments, exact=self.method == WEBSOCKET) == 0

    def fold(self, text: str) -> str:
        """Return a literal in the form used for comparison: unchanged for WebSockets, otherwise in lower case."""
        return text if self.method == WEBSOCKET else text.lower()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def answers(declared: str, method: str) -> bool:
    """Return True if a route with one method accepts a request with another (GET accepts HEAD)."""
    if declared == method:
        return True
    if WEBSOCKET in (declared, method):
        return False
    return declared == ANY or (declared == "GET" and method == "HEAD")


class Trie:
    """Templates by segment. Of several matches, the one with the lowest index wins."""

    __slots__ = ("leaf", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[bytes, Trie] = {}
        self.parameter: Trie | None = None
        self.leaf = NEVER
        self.rest = NEVER

    def add(self, pattern: Pattern, index: int) -> None:
        """Add a pattern; its method is ignored."""
        node = self
        for segment in pattern.segments:
            node = node._child(pattern, segment)
        if pattern.rest:
            node.rest = min(node.rest, index)
        else:
            node.leaf = min(node.leaf, index)

    def find(self, segments: list[bytes], at: int = 0, best: int = NEVER, *, exact: bool = False) -> int:
        """Return the lowest index below `best` that matches `segments[at:]`, or `best`.

        The segments are a path split at its slashes, without the first, empty piece, and folded. `exact` refuses an
        optional trailing slash.
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
    """Patterns in file order, to find those that hide a later one."""

    def __init__(self) -> None:
        self._tries: dict[str, Trie] = {}

    def add(self, pattern: Pattern, index: int) -> None:
        """Add the next pattern."""
        self._tries.setdefault(pattern.method, Trie()).add(pattern, index)

    def covering(self, pattern: Pattern) -> int | None:
        """Return the index of the first pattern that accepts every request of a pattern, or None."""
        tries = (trie for declared, trie in self._tries.items() if answers(declared, pattern.method))
        first = min((trie.covering(pattern) for trie in tries), default=NEVER)
        return None if first == NEVER else first


def _method(word: str) -> str:
    if word in METHODS or word in (ANY, WEBSOCKET):
        return word
    known = [*sorted(METHODS), ANY, WEBSOCKET]
    from proxy.wording import closest  # needed only for a wrong method

    close = word.upper() if word.upper() in known else closest(word.upper(), known)
    hint = f"; did you mean {close}?" if close else "; use an HTTP method, `*` for any of them, or WS"
    raise PatternError(f"{word!r} is not a method{hint}")


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
        raise PatternError("only the path is matched: remove `?` or `#` and the text after it")
    if not path.isascii():
        raise PatternError("the path is matched as it is sent: percent-encode characters that are not ASCII")


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
        raise PatternError(f"{text!r} contains a character that no request path has")
    return text
