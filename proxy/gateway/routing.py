"""The compiled routing table: from a method and a raw path to the first matching route, in file order.

Paths without parameters are in a dictionary, the others in a trie of segments, so that the cost of a match does not
depend on the number of routes. Pure, immutable once built, picklable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.config.models import Route
from proxy.gateway.patterns import ANY, NEVER, WEBSOCKET, Parameter, Pattern, Trie, answers

_ESCAPES: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the raw path that it matched. `preflight`: the request announces one for this route."""

    route: Route
    raw_path: bytes
    preflight: bool = False

    @property
    def may_shadow(self) -> bool:
        """True if the request may also run on the other backend."""
        return bool(self.route.shadow.share) and not self.preflight

    @property
    def params(self) -> dict[str, str]:
        """The parameters by name, decoded as by `decodeURIComponent`; `*` is the part matched by a wildcard.

        If decoding fails (both backends answer 400) the value is the undecoded text.
        """
        pattern = self.route.pattern
        pieces = _pathname(self.raw_path)[1:].split(b"/", len(pattern.segments))
        named = zip(pattern.segments, pieces, strict=False)
        params = {part.name: _decode(piece) for part, piece in named if isinstance(part, Parameter)}
        return {**params, "*": _decode(pieces[-1])} if pattern.rest else params


class RouteTable:
    """All routes of a configuration, compiled for matching."""

    __slots__ = ("_any", "_tables", "routes")

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes: Final = tuple(routes)
        declared = {route.pattern.method for route in self.routes}
        methods = declared | ({"HEAD"} if "GET" in declared else set())
        self._any: Final = _Table(self._taking("any other"))
        self._tables: Final = {
            method: _Table(self._taking(method), exact=method == WEBSOCKET) for method in methods - {ANY}
        }

    def match(self, method: str, raw_path: bytes) -> Match | None:
        """Return the first route that accepts the request. `method` is as sent, or `WS` for a WebSocket.

        `raw_path` is the path as sent: not decoded, without the query; a fragment is ignored.
        """
        table = self._tables.get(method)
        if table is None:
            if method == WEBSOCKET:
                return None
            table = self._any
        index = table.find(_pathname(raw_path))
        return None if index == NEVER else Match(self.routes[index], raw_path)

    def _taking(self, method: str) -> Iterable[tuple[int, Pattern]]:
        patterns = ((index, route.pattern) for index, route in enumerate(self.routes))
        return [(index, pattern) for index, pattern in patterns if answers(pattern.method, method)]


class _Table:
    """The patterns that accept one method."""

    __slots__ = ("_cuts", "_exact", "_literal", "_trie")

    def __init__(self, patterns: Iterable[tuple[int, Pattern]], *, exact: bool = False) -> None:
        self._literal: Final[dict[bytes, int]] = {}
        self._trie: Final = Trie()
        self._exact: Final = exact
        self._cuts = 1
        for index, pattern in patterns:
            self._add(pattern, index)

    def find(self, path: bytes) -> int:
        """Return the lowest index that matches, or NEVER. A path is split into at most as many parts as templates."""
        folded = path if self._exact else path.lower()
        index = self._literal.get(folded)
        if index is not None:
            return index
        if folded[:1] != b"/":
            return NEVER
        return self._trie.find(folded[1:].split(b"/", self._cuts), exact=self._exact)

    def _add(self, pattern: Pattern, index: int) -> None:
        if pattern.rest or any(isinstance(part, Parameter) for part in pattern.segments):
            self._trie.add(pattern, index)
            self._cuts = max(self._cuts, len(pattern.segments) + 1)
            return
        path = pattern.fold(pattern.path).encode()
        for spelling in (path,) if self._exact else (path, path + b"/"):
            if self.find(spelling) == NEVER:
                self._literal[spelling] = index


def _pathname(raw_path: bytes) -> bytes:
    """Return the path up to a `#`, at which Node's `url.parse` ends it for express."""
    return raw_path.partition(b"#")[0] if b"#" in raw_path else raw_path


def _decode(raw: bytes) -> str:
    text = raw.decode("latin-1")
    if b"%" not in raw:
        return text
    if _BROKEN_ESCAPE.search(raw):
        return text
    try:
        return "".join(_decoded_runs(raw))
    except UnicodeDecodeError:
        return text


def _decoded_runs(raw: bytes) -> Iterable[str]:
    at = 0
    for run in _ESCAPES.finditer(raw):
        yield raw[at : run.start()].decode("latin-1")
        yield bytes.fromhex(run[0].decode().replace("%", "")).decode()
        at = run.end()
    yield raw[at:].decode("latin-1")
