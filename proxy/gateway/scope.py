"""Read target and headers of a request from an ASGI scope. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope


def request_target(scope: Scope) -> bytes:
    """Return the request target as the client sent it if the server stored it, otherwise path and query."""
    target: bytes | None = scope.get("proxy.target")
    if target is not None:
        return target
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path


def first_header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the value of the first header with a lower-case name, None without one."""
    for key, value in headers:
        if key == name:
            return value
    return None
