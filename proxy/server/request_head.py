"""Request heads: their effect on the connection, and the checks after the parser's. Pure.

llhttp has validated the syntax of a head. RFC 9110 and RFC 9112 require the further checks in this module, or Node's
server makes them after its parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote

from proxy.server.refusal import RefusedRequest
from proxy.types import HeaderFields, RawHeaders

_MEANINGFUL: Final = frozenset(
    (b"host", b"connection", b"upgrade", b"expect", b"content-length", b"transfer-encoding"),
)
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)  # RFC 9112 §3.2
_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)([^?#]*)(?:\?([^#]*))?")  # RFC 9112 §3.2.2
_CONTINUE: Final = re.compile(rb"(?:^|\W)100-continue(?:$|\W)", re.IGNORECASE)
"""Node's test for an expectation that it supports (`lib/_http_server.js`)."""


@dataclass(slots=True, eq=False)
class RequestHead:
    """A request that will be served, without its body. Compared by identity: a head that recurs is one object.

    `headers` have lower-case names; a tuple if they recur, a list otherwise. `length` is the body's size in
    bytes, None if it is chunked. `websocket`: it offers an upgrade to a WebSocket; all other upgrades are ignored
    (RFC 9110 §7.8). `recurs`: it belongs to several requests, so that results for it are worth caching.
    """

    method: str
    target: bytes = field(repr=False)
    version: str
    headers: HeaderFields = field(repr=False)
    length: int | None = 0
    keep_alive: bool = True
    expects_continue: bool = False
    websocket: bool = False
    recurs: bool = False


class TargetParts(NamedTuple):
    """The parts of a request target, named as in ASGI."""

    path: str
    raw_path: bytes
    query: bytes

    def __repr__(self) -> str:
        return "TargetParts()"


def understand_head(method: str, target: bytes, version: str, headers: RawHeaders) -> RequestHead:
    """Return the parsed head. Raises `RefusedRequest`."""
    if version not in ("1.1", "1.0"):
        raise RefusedRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method == "CONNECT":
        raise RefusedRequest(HTTPStatus.METHOD_NOT_ALLOWED)
    values: dict[bytes, bytes] = {}
    for name, value in [header for header in headers if header[0] in _MEANINGFUL]:
        if name in values:
            if name == b"host":
                raise RefusedRequest  # RFC 9112 §3.2
            value = values[name] + b", " + value
        values[name] = value
    head = RequestHead(method, target, version, headers)
    _check_host(head, values)
    if b"content-length" in values or b"transfer-encoding" in values:
        _apply_framing(head, values)
    if b"connection" in values or version == "1.0":
        _apply_connection(head, values)
    if b"expect" in values and not head.websocket:  # Node hands an upgrade over before it reads the expectation
        _apply_expectation(head, values[b"expect"])
    return head


def split_target(target: bytes) -> TargetParts:
    """Return the parts of a target that llhttp accepts. A target without a path (`*`) is its own path, as in Node."""
    return _split_short_target(target) if len(target) <= 256 else _split_target(target)


def _split_target(target: bytes) -> TargetParts:
    if target[:1] == b"/":
        if b"#" in target:
            target = target[: target.index(b"#")]
        raw_path, _, query = target.partition(b"?")
    else:
        absolute = _ABSOLUTE.match(target)
        raw_path = (absolute[2] if absolute else b"") or target
        query = (absolute[3] or b"") if absolute else b""
    path = raw_path.decode("ascii")
    return TargetParts(unquote(path) if "%" in path else path, raw_path, query)


_split_short_target: Final = lru_cache(maxsize=1024)(_split_target)


@lru_cache(maxsize=256)
def _is_short_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _is_host(value: bytes) -> bool:
    return _is_short_host(value) if len(value) <= 255 else _HOST.fullmatch(value) is not None


def _check_host(head: RequestHead, values: Mapping[bytes, bytes]) -> None:
    host = values.get(b"host")
    if host is None:
        if head.version == "1.1":
            raise RefusedRequest
    elif not _is_host(host):
        raise RefusedRequest
    if head.target[:1] != b"/":
        _prefer_authority(head, host)


def _prefer_authority(head: RequestHead, host: bytes | None) -> None:
    """Replace `Host` by the authority of an absolute target (RFC 9112 §3.2.2)."""
    absolute = _ABSOLUTE.match(head.target)
    if absolute is None:
        return
    authority = absolute[1]
    if not authority or not _HOST.fullmatch(authority):
        raise RefusedRequest
    if authority != host:
        head.headers = [(b"host", authority), *(header for header in head.headers if header[0] != b"host")]


def _apply_framing(head: RequestHead, values: Mapping[bytes, bytes]) -> None:
    """Set the body's length (RFC 9112 §6.3)."""
    coding = values.get(b"transfer-encoding")
    length = values.get(b"content-length")
    if coding is not None:
        codings = [part.strip(b" \t").lower() for part in coding.split(b",")]
        if length is not None or codings[-1] != b"chunked" or codings.count(b"chunked") > 1:
            raise RefusedRequest
        head.length = None
    elif length is not None:
        if not length.isdigit():
            raise RefusedRequest
        head.length = int(length)


def _apply_connection(head: RequestHead, values: Mapping[bytes, bytes]) -> None:
    """Set whether the connection persists (RFC 9112 §9.3) and whether the client offers a WebSocket."""
    options = [option.strip(b" \t").lower() for option in values.get(b"connection", b"").split(b",")]
    head.keep_alive = b"close" not in options
    if head.version == "1.0":
        head.keep_alive &= b"keep-alive" in options and head.length is not None  # RFC 9112 §6.1
        return
    offers = {offer.strip(b" \t").lower() for offer in values.get(b"upgrade", b"").split(b",")}
    head.websocket = b"upgrade" in options and offers == {b"websocket"} and head.length == 0


def _apply_expectation(head: RequestHead, expectation: bytes) -> None:
    """Set whether the client waits for `100 Continue`. HTTP/1.0 has no expectations (RFC 9110 §10.1.1)."""
    if head.version == "1.0":
        head.headers = [header for header in head.headers if header[0] != b"expect"]
        return
    if not _CONTINUE.search(expectation):
        raise RefusedRequest(HTTPStatus.EXPECTATION_FAILED)
    head.expects_continue = head.length != 0
