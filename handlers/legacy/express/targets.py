"""Request targets as in parseurl, and as in Node's `url.parse` if they are not plain paths. Pure.

Plain targets are paths with or without a query. The others are absolute URLs and targets with a fragment. In these,
`//` begins a host after a scheme, or if a user and an `@` follow.
"""

import re
from typing import Final

from handlers.legacy.express.paths import UndecodableError, decode_component

_NEEDS_PARSING: Final = re.compile(r"[\t\n\f\r #\xa0]|^[^/]")
_BLANK: Final = "".join(map(chr, range(33))) + "\xa0\ufeff"
_SIMPLE: Final = re.compile(r"(//?(?!/)[^?\s]*)(\?\S*)?")
_SCHEME: Final = re.compile(r"[a-z0-9.+-]+:", re.IGNORECASE | re.ASCII)
_USER_AND_HOST: Final = re.compile(r"//[^@/]+@[^@/]+")
_PORT: Final = re.compile(r":[0-9]*\Z")
_AUTHORITY: Final = re.compile(r"[^/?#]*")
_HOST: Final = re.compile(r"[^ \"%';<>\\^`{|}]*")
_FORBIDDEN: Final = re.compile(r"[\[\]]")
_SLASHED: Final = frozenset(f"{scheme}:" for scheme in ("http", "https", "ftp", "gopher", "file", "ws", "wss"))
_SCRIPT: Final = "javascript:"
_LONGEST_HOST: Final = 255
_ESCAPED: Final = str.maketrans({sign: f"%{ord(sign):02X}" for sign in "\t\n\r \"'<>\\^`{|}"})


class UnroutableError(ValueError):
    """A target without a path, which no route or middleware answers. The message is its text on the error page."""


def is_plain(target: str) -> bool:
    """Return whether a target is a path with or without a query."""
    return _NEEDS_PARSING.search(target) is None


def split_target(target: str) -> tuple[str, str | None]:
    """Return a request target's pathname and query (`None` without a question mark).

    The target is Node's `req.url`: the bytes of the request line read as Latin-1. Raises `UnroutableError`.
    """
    if not is_plain(target):
        return _parse(target)
    path, mark, query = target.partition("?")
    return path, query if mark else None


def below(target: str, prefix: int) -> str:
    """Return `req.url` in a router that is mounted on the first characters of the path (router 2, `trimPrefix`)."""
    origin = _origin(target)
    rest = target[len(origin) + prefix :]
    return origin + rest if origin or rest.startswith("/") else "/" + rest


def _origin(target: str) -> str:
    """Return the scheme and authority that a mounted router skips (router 2, `getProtohost`)."""
    if not target or target.startswith("/"):
        return ""
    end = target.partition("?")[0].find("://")
    return target[: max(target.find("/", end + 3), 0)] if end >= 0 else ""


def _parse(target: str) -> tuple[str, str | None]:
    """Parse as `url.parse`."""
    url = _with_slashes(target.strip(_BLANK))
    if "#" not in url and "@" not in url.partition("?")[0]:
        simple = _SIMPLE.fullmatch(url)
        if simple is not None:
            return simple[1], None if simple[2] is None else simple[2][1:]
    scheme, host, rest = _split_authority(url)
    if scheme != _SCRIPT:
        rest = rest.translate(_ESCAPED)
    path, mark, query = rest.partition("#")[0].partition("?")
    if not path and not (scheme in _SLASHED and host):
        raise UnroutableError("null")
    return path or "/", query if mark else None


def _with_slashes(url: str) -> str:
    """Replace the backslashes before a query or fragment by slashes."""
    end = re.search(r"[?#]", url)
    path = url if end is None else url[: end.start()]
    return path.replace("\\", "/") + url[len(path) :]


def _split_authority(url: str) -> tuple[str, str, str]:
    """Return the scheme in lower case, the host and the rest of a URL. Raises `UnroutableError`."""
    start = _SCHEME.match(url)
    scheme = start[0] if start else ""
    rest = url[len(scheme) :]
    lower = scheme.lower()
    slashes = rest.startswith("//") and bool(scheme or _USER_AND_HOST.match(rest)) and lower != _SCRIPT
    if slashes:
        rest = rest[2:]
    if lower != _SCRIPT and (slashes or (scheme and scheme not in _SLASHED)):
        return lower, *_split_host(rest)
    return lower, "", rest


def _split_host(url: str) -> tuple[str, str]:
    """Return the host, without its port, and the rest. A character that no host contains begins the path."""
    authority = _AUTHORITY.match(url)
    user, at, _ = (authority[0] if authority else "").rpartition("@")
    try:
        decode_component(user)
    except UndecodableError as error:
        raise UnroutableError("resource") from error
    match = _HOST.match(url, len(user) + len(at), authority.end() if authority else 0)
    host, rest = (match[0], url[match.end() :]) if match else ("", url)
    host = _PORT.sub("", host)
    if host.startswith("[") and host.endswith("]"):
        return host, rest if rest.startswith("/") else "/" + rest
    host, colon, more = host.partition(":")
    if len(host) > _LONGEST_HOST:
        host = ""
    if _FORBIDDEN.search(host):
        raise UnroutableError("resource")
    return host, f"/{colon}{more}{rest}" if colon else rest
