"""The address of legacy, and the addressing of a request to it. Pure.

`http://host:port` and `https://host:port` may have a base path, which is prepended to the path of each request's
target: with `http://h:1/base`, `/a?q` is sent as `/base/a?q`, `http://x/a` as `http://x/base/a`, and `*` unchanged.
`unix:/run/legacy.sock` is a Unix domain socket, with the authority `localhost`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.types import RawHeaders

DEFAULT_PORTS = {False: 80, True: 443}
_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Verification of legacy's certificate, and the client certificate. Paths are of PEM files.

    `ca`: the authorities to trust instead of the system's. `server_name`: the name to request (SNI) and to verify
    instead of the URL's host. `client_cert`: a certificate with its chain, and its private key unless `client_key`
    contains that.
    """

    ca: str | None = None
    server_name: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of the legacy.

    `unix`: the path of a Unix domain socket, or empty. `base` has no trailing slash. `authority`: the `Host` of a
    request without one. `host_header` is `preserve` (the client's), `upstream` (the authority), or a name of its own.
    """

    host: str
    port: int
    secure: bool = False
    unix: str = ""
    base: bytes = b""
    authority: bytes = b"localhost"
    host_header: str = "preserve"
    tls: TlsSettings = TlsSettings()

    @classmethod
    def parse(cls, url: str, *, host_header: str = "preserve", tls: TlsSettings | None = None) -> Endpoint:
        """Parse `http`, `https`, `ws`, `wss` and `unix` URLs, already validated by `routing.yaml`."""
        tls = tls or TlsSettings()
        if url.startswith("unix:"):
            return cls("localhost", 0, unix=url.removeprefix("unix:"), host_header=host_header, tls=tls)
        parts = urlsplit(url)
        secure = parts.scheme in ("https", "wss")
        host = parts.hostname or "127.0.0.1"
        base = parts.path.rstrip("/").encode()
        port = parts.port or DEFAULT_PORTS[secure]
        return cls(host, port, secure, "", base, _authority(host, port, secure), host_header, tls)

    def target(self, target: bytes) -> bytes:
        """Return the request target for legacy."""
        if not self.base:
            return target
        if target.startswith(b"/"):
            return self.base + target
        absolute = _AUTHORITY.match(target)
        return target if absolute is None else absolute[0] + self.base + target[absolute.end() :]

    def with_host(self, headers: RawHeaders) -> RawHeaders:
        """Return the headers with the `Host` for legacy; a request without one gets the authority."""
        if self.host_header == "preserve":
            for name, _ in headers:
                if name == b"host":
                    return headers
        preserved = self.host_header in ("preserve", "upstream")
        host = self.authority if preserved else self.host_header.encode()
        return [(b"host", host), *(header for header in headers if header[0] != b"host")]


def _authority(host: str, port: int, secure: bool) -> bytes:
    name = f"[{host}]" if _is_ipv6(host) else host
    return (name if port == DEFAULT_PORTS[secure] else f"{name}:{port}").encode()


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
