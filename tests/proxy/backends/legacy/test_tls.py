"""Legacy over TLS and over a Unix socket, from its section of routing.yaml: real certificates, real servers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.backends.legacy import Upstream
from proxy.backends.legacy.configured import upstream_of
from proxy.config.loading import parse
from proxy.config.problems import ConfigError
from proxy.gateway.errors import LegacyFailure, NotConnected
from tests.support.certificates import Authority, needs_openssl
from tests.support.sockets import read_head, scripted

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
pytestmark = needs_openssl


class Legacy:
    """A legacy that answers each request, and retains the heads and the requested server names (SNI)."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.names: list[str | None] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                self.heads.append(await read_head(reader))
                writer.write(OK)
        writer.close()

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        if context is not None:
            context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=context)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            await self._stop(server)

    @asynccontextmanager
    async def serving_at(self, path: Path) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._answer, path)
        try:
            yield
        finally:
            await self._stop(server)

    async def _stop(self, server: asyncio.Server) -> None:
        server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def configured(legacy: str) -> Upstream:
    return upstream_of(parse(f"legacy: {{{legacy}}}\n", {}).legacy)


async def status_of(upstream: Upstream, path: str = "/") -> int:
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(str(message["status"])))

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"host", b"client.example")]}
    try:
        await upstream(scope, receive, send)  # type: ignore[arg-type]
    finally:
        upstream.close()
    return statuses[0]


async def test_trusted_legacy_receives_its_server_name(authority: Authority) -> None:
    legacy = Legacy()
    async with legacy.serving(authority.server_context("legacy.test")) as port:
        tls = f"tls: {{ca: {authority.ca}, server_name: legacy.test}}"
        upstream = configured(f"url: 'https://127.0.0.1:{port}', host_header: upstream, {tls}")
        assert await status_of(upstream) == 200
    assert legacy.names == ["legacy.test"]
    assert f"host: 127.0.0.1:{port}\r\n".encode() in legacy.heads[0]


@pytest.mark.parametrize("fault", ["untrusted", "another-name", "plain"])
async def test_certificate_faults_are_named(authority: Authority, tmp_path: Path, fault: str) -> None:
    ca = Authority(tmp_path, "other").ca if fault == "untrusted" else authority.ca
    name = "legacy.test" if fault != "another-name" else "another.test"
    async with Legacy().serving(authority.server_context("legacy.test")) as port:
        upstream = configured(f"url: 'https://127.0.0.1:{port}', tls: {{ca: {ca}, server_name: {name}}}")
        if fault == "plain":
            upstream = configured(f"url: 'https://127.0.0.1:{port}'")  # the system's authorities, the URL's host
        with pytest.raises(NotConnected) as raised:
            await status_of(upstream)
    assert raised.value.cause == "certificate"


@pytest.mark.parametrize("separate", [True, False])
async def test_client_certificate_is_presented(authority: Authority, tmp_path: Path, separate: bool) -> None:
    certificate, key = authority.issue("gateway.test")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    shown = f"client_cert: {certificate}, client_key: {key}" if separate else f"client_cert: {both}"
    async with Legacy().serving(authority.server_context("legacy.test", demand_client=True)) as port:
        url = f"url: 'https://127.0.0.1:{port}'"
        tls = f"ca: {authority.ca}, server_name: legacy.test"
        assert await status_of(configured(f"{url}, tls: {{{tls}, {shown}}}")) == 200
        with pytest.raises(LegacyFailure):
            await status_of(configured(f"{url}, tls: {{{tls}}}"))


async def test_tls_to_a_plain_legacy_is_a_tls_fault() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with scripted(plain) as port:
        with pytest.raises(NotConnected) as raised:
            await status_of(configured(f"url: 'https://127.0.0.1:{port}'"))
    assert raised.value.cause == "tls"


async def test_unix_socket_and_base_path_reach_legacy(tmp_path: Path) -> None:
    legacy, path = Legacy(), tmp_path / "legacy.sock"
    async with legacy.serving_at(path):
        assert await status_of(configured(f"url: 'unix:{path}', host_header: legacy.example")) == 200
    assert b"host: legacy.example\r\n" in legacy.heads[0]
    async with legacy.serving() as port:
        assert await status_of(configured(f"url: 'http://127.0.0.1:{port}/base/'"), "/a") == 200
    assert legacy.heads[1].startswith(b"GET /base/a HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("legacy", "message"),
    [
        ("url: 'unix:run/legacy.sock'", "url: must be a socket's absolute path, as in unix:/run/legacy.sock"),
        ("url: 'unix://run/x'", "did you mean unix:/run/x?"),
        ("url: 'http://a/b?c'", "url: must end after the host and port"),
        ("url: 'http://a/\u00fc'", "url: must have a base path of plain ASCII"),
        ("url: 'https://a', host_header: 'a b'", "host_header: must be preserve, upstream, or a host"),
        ("url: 'http://a', tls: {}", "tls: needs an https URL"),
        ("url: 'https://a', tls: {server_name: 'a b'}", "tls.server_name: must be a host name"),
        ("url: 'https://a', tls: {ca: DIR/authority.pm}", "No such file or directory; did you mean DIR/auth"),
        ("url: 'https://a', tls: {ca: DIR/authority.key}", "tls.ca: holds no PEM certificate"),
        ("url: 'https://a', tls: {client_cert: DIR/authority.pem}", "tls.client_cert: must hold a PEM certificate"),
        ("url: 'https://a', tls: {client_key: DIR/authority.key}", "tls: client_key needs client_cert beside it"),
        ("url: 'https://a', tls: {cert: x}", "tls.cert: unknown key"),
        ("url: 'https://a', keep_alive: 5", "keep_alive: must be a duration with its unit, as in 250ms"),
        ("url: 'https://a', connection_max_age: 0s", "connection_max_age: a duration must be above zero"),
    ],
)  # fmt: skip
def test_wrong_settings_are_reported_with_their_line(authority: Authority, legacy: str, message: str) -> None:
    directory = str(authority.ca.parent)
    with pytest.raises(ConfigError) as raised:
        parse(f"served_by: true\nlegacy: {{{legacy}}}\n".replace("DIR", directory), {})
    [problem] = raised.value.problems
    assert message.replace("DIR", directory) in str(raised.value)
    assert problem.line == 2
