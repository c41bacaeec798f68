"""The headers of two answers, as far as they matter to a client.

Everything counts but what belongs to a connection, to the moment, or to how the body was sent. Lists whose order says
nothing are sets; values that depend on the body or the clock are held to being there.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.comparison.bodies import media
from proxy.comparison.correspondence import Correspondence, Kind
from proxy.comparison.exchange import Exchange, Headers
from proxy.comparison.verdicts import Difference, LocatedValue, grade
from proxy.comparison.volatile import mask
from proxy.recordings.answers import IGNORED_HEADERS

NOT_COMPARED = IGNORED_HEADERS | frozenset(
    ("age", "content-encoding", "content-length", "proxy-connection", "server", "server-timing", "upgrade", "via")
)

_SETS = frozenset(
    ("access-control-allow-headers", "access-control-allow-methods", "access-control-expose-headers", "allow", "vary")
)
_MOMENTS = frozenset(("expires", "last-modified"))


def compare_headers(legacy: Exchange, native: Exchange, begin: Callable[[], Correspondence]) -> list[Difference]:
    """Every header that one side lacks, or that says something else; `begin` as for `values.compare_values`."""
    if legacy.headers == native.headers:
        return []
    ours, theirs = joined(legacy.headers), joined(native.headers)
    same_body = legacy.body == native.body
    found: list[Difference] = []
    for name in sorted((ours.keys() | theirs.keys()) - NOT_COMPARED):
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None:
            found.append(_difference(name, "extra" if one is None else "missing", one, other))
        elif one != other and not _is_same(name, one, other, begin, same_body=same_body):
            found.append(_difference(name, "header", one, other))
    return found


def joined(headers: Headers) -> dict[str, str]:
    """Headers by name; what came twice is joined by `, `, cookies by line breaks (RFC 6265 §3)."""
    found: dict[str, str] = {}
    for raw, raw_value in headers:
        name, value = raw.decode("latin-1"), raw_value.decode("latin-1").strip()
        separator = "\n" if name == "set-cookie" else ", "
        found[name] = f"{found[name]}{separator}{value}" if name in found else value
    return found


def _difference(name: str, kind: Kind, ours: str | None, theirs: str | None) -> Difference:
    path = ("header", name)
    legacy = LocatedValue(path, ours) if ours is not None else None
    native = LocatedValue(path, theirs) if theirs is not None else None
    return Difference(path, kind, grade(kind, path), legacy, native)


def _is_same(name: str, ours: str, theirs: str, begin: Callable[[], Correspondence], *, same_body: bool) -> bool:
    if name == "etag":
        return not same_body and ours.startswith("W/") == theirs.startswith("W/")
    if name in _SETS:
        return _tokens(ours) == _tokens(theirs)
    if name == "content-type":
        return media(ours) == media(theirs)
    if name == "set-cookie":
        return _cookies(ours) == _cookies(theirs)
    return name in _MOMENTS or not begin().compare_text(ours, theirs, "")


def _tokens(value: str) -> set[str]:
    return {token.strip() for token in value.lower().split(",")}


def _cookies(value: str) -> list[tuple[str, ...]]:
    """Cookies by name and attributes; a value that is an id, a date or a token by its kind."""
    split = (cookie.split(";") for cookie in value.split("\n"))
    return sorted((mask(first.strip()), *sorted(map(_attribute, rest))) for first, *rest in split)


def _attribute(text: str) -> str:
    name, _, value = text.strip().lower().partition("=")
    return name if name == "expires" else f"{name}={value}"
