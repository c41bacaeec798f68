"""Validate the hosts that receive random requests and whose databases are emptied. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from proxy.recordings.side_effects import is_loopback


class ForeignHostError(ValueError):
    """Raised for a host that is neither loopback nor named; the message explains how to name it."""


def refuse_foreign(urls: Collection[str], named: Collection[str], *, owned: bool) -> None:
    """Raise `ForeignHostError` unless every host is loopback or named, or all are `owned`.

    `urls` are http, https and mongodb URLs; a `mongodb+srv` URL names hosts that only DNS knows, so its own name has to
    be named.
    """
    if owned:
        return
    allowed = {name.lower() for name in named}
    foreign = sorted({host for url in urls for host in _hosts(url) if not is_loopback(host) and host not in allowed})
    if foreign:
        raise ForeignHostError(
            f"{', '.join(foreign)}: random requests and emptied databases are for test systems. "
            f"Name a test host with --host {foreign[0]}, or confirm with --i-own-this-host"
        )


def _hosts(url: str) -> Iterator[str]:
    if not url.startswith("mongodb://"):
        yield (urlsplit(url).hostname or url).lower()
        return
    try:
        nodes = parse_uri(url)["nodelist"]
    except PyMongoError as error:
        raise ForeignHostError(f"not a MongoDB URL: {error}") from error
    yield from (str(host).lower() for host, _ in nodes)
