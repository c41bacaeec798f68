"""Decide which header values a report shows: only those that consist of words of HTTP and of frameworks. Pure."""

from __future__ import annotations

import re
from typing import Final

from proxy.contract.disclosure import HEADER_NAMES, media_name
from proxy.contract.model import Operation

_SEPARATORS: Final = re.compile(r"[,;=\s]+")
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)
_WORDS: Final = frozenset(
    """* 0 1 allow-from anonymous br bytes chunked clear-data close compress credentialless deflate deny express fastify
    gzip h11 hypercorn identity immutable includesubdomains keep-alive koa kestrel legacy max max-age mode block
    must-revalidate native nestjs next.js nginx no-cache no-referrer no-referrer-when-downgrade no-store no-transform
    none noopen nosniff off on origin origin-when-cross-origin preload private proxy-revalidate public
    require-corp s-maxage
    same-origin same-site sameorigin stale-if-error stale-while-revalidate starlette strict-origin
    strict-origin-when-cross-origin timeout trailers true false unsafe-none unsafe-url uvicorn zstd
    utf-8 us-ascii iso-8859-1 charset""".split()  # noqa: SIM905
)
_METHODS: Final = frozenset("connect delete get head options patch post put trace".split())  # noqa: SIM905
_PLAIN: Final = frozenset(
    """accept-ranges access-control-allow-credentials access-control-allow-headers access-control-allow-methods
    access-control-expose-headers access-control-max-age allow cache-control connection content-encoding content-length
    cross-origin-opener-policy cross-origin-resource-policy keep-alive origin-agent-cluster pragma referrer-policy
    retry-after server strict-transport-security transfer-encoding vary x-content-type-options x-dns-prefetch-control
    x-download-options x-frame-options x-permitted-cross-domain-policies x-powered-by x-served-by
    x-xss-protection""".split()  # noqa: SIM905
)


_NUMERIC: Final = frozenset(
    """access-control-max-age cache-control content-length keep-alive retry-after strict-transport-security
    x-xss-protection""".split()  # noqa: SIM905
)


def is_plain(name: str, value: str, operation: Operation | None) -> bool:
    """Return whether a header's value may be shown. `name` is in lower case."""
    if name == "content-type":
        return _is_known_media(value, operation)
    return name in _PLAIN and all(
        _is_word(word) or (name in _NUMERIC and _NUMBER.fullmatch(word))
        for word in _SEPARATORS.split(value.strip().lower())
        if word
    )


def _is_known_media(value: str, operation: Operation | None) -> bool:
    """Return whether the media type is known and nothing but a charset follows; a boundary may be anything."""
    media, _, parameters = value.partition(";")
    known = media_name(media.strip().lower(), operation) is not None
    return known and all(_is_word(word) for word in _SEPARATORS.split(parameters.strip().lower()) if word)


def _is_word(word: str) -> bool:
    return word in _WORDS or word in _METHODS or word in HEADER_NAMES
