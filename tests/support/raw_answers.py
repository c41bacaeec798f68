"""Answers of outside services as bytes, and a server that sends each to the requests that name it."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import brotli  # type: ignore[import-untyped]

CONTENT: Final = json.dumps(
    {
        "choices": [{"message": {"content": "said"}}],
        "expansion": {"contains": [{"display": "d", "code": "c", "system": "s"}]},
        "access_token": "t",
    }
).encode()
"""A completion, an expanded value set and a token in one."""
TYPE: Final = b"content-type: application/json\r\n"
CHUNKED: Final = b"transfer-encoding: chunked\r\n"
_CLOSE: Final = b"connection: close\r\n"
_NAME: Final = re.compile(rb"answer-(\d+)\.")


def raw(
    body: bytes = CONTENT, heads: bytes = b"", line: bytes = b"HTTP/1.1 200 OK", *, has_length: bool = True
) -> bytes:
    """Return an answer; without a length or chunks, it ends with the connection. openai's clients do not repeat it."""
    length = b"content-length: %d\r\n" % len(body) if has_length else b"" if CHUNKED in heads else _CLOSE
    return line + b"\r\n" + TYPE + heads + b"x-should-retry: false\r\n" + length + b"\r\n" + body


def chunked(body: bytes, extension: bytes = b"", trailer: bytes = b"", line_end: bytes = b"\r\n") -> bytes:
    """Return a body in chunks of up to 20 bytes."""
    parts = [body[start : start + 20] for start in range(0, len(body), 20)]
    chunks = [b"%x" % len(part) + extension + line_end + part + line_end for part in parts]
    return b"".join(chunks) + b"0" + extension + line_end + trailer + line_end


def codings_of(body: bytes) -> dict[str, bytes]:
    """Return a body in each content coding that Node's `fetch` decodes, by the coding's name."""
    return {
        "gzip": gzip.compress(body),
        "x-gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
        "Deflate": _compress(-15, body),
        "br": brotli.compress(body, quality=1),
        "gzip, br": brotli.compress(gzip.compress(body), quality=1),
    }


def _compress(window: int, body: bytes = CONTENT) -> bytes:
    compressor = zlib.compressobj(wbits=window)
    return compressor.compress(body) + compressor.flush()


_GZIP: Final = gzip.compress(CONTENT)
_MEMBERS: Final = gzip.compress(CONTENT[:50]) + gzip.compress(CONTENT[50:])
_BODIES: Final[Mapping[str, tuple[bytes, ...]]] = {
    "gzip": (
        *(_GZIP, _MEMBERS, gzip.compress(b"") + _GZIP, _GZIP + gzip.compress(b" "), _MEMBERS[:-5], CONTENT, b""),
        *(_GZIP + b"garbage", _GZIP + bytes(20), _GZIP + bytes(20) + b"x", _GZIP[:-1], _GZIP[:-8], _GZIP[:-12]),
        *(_GZIP[:-8] + bytes(4) + _GZIP[-4:], _GZIP[:-4] + b"\0\0\0\1", _GZIP[:5], _GZIP + b"\x1f\x8b\x08"),
    ),
    "x-gzip": (_GZIP, CONTENT, _MEMBERS, _GZIP + b"garbage", _GZIP[:-10]),
    "deflate": (
        *(zlib.compress(CONTENT), _compress(-15), CONTENT, b"", _GZIP, zlib.compress(CONTENT)[:-6]),
        *(zlib.compress(CONTENT)[:-4] + bytes(4), _compress(-15) + b"xx", _compress(-15)[:-3]),
    ),
    "br": (brotli.compress(CONTENT), CONTENT, b"", _GZIP, brotli.compress(CONTENT)[:-3]),
    "gzip, gzip": (gzip.compress(_GZIP), _GZIP, CONTENT),
    "gzip, br": (brotli.compress(_GZIP), _GZIP),
    "br, gzip": (gzip.compress(brotli.compress(CONTENT)), _GZIP),
    **dict.fromkeys(("GZIP", "x-deflate", "zstd", "compress", "identity", "x", "*", "gzip;q=1"), (_GZIP, CONTENT)),
    **dict.fromkeys(("identity, gzip", "gzip, identity", "gzip, x", "x, gzip", "gzip,"), (_GZIP, CONTENT)),
    "gzip, gzip, gzip, gzip, gzip, gzip": (gzip.compress(_GZIP), CONTENT),
}
"""Bodies for each content coding: whole, cut, damaged, in several members, with further bytes, or not coded at all."""


def coded_answers() -> Iterator[bytes]:
    """Yield answers of every content coding, with a length and in chunks; valid ones also up to the connection's end.

    Node's `fetch` never ends after an invalid one of these.
    """
    for coding, bodies in _BODIES.items():
        head = b"content-encoding: " + coding.encode() + b"\r\n"
        for body in bodies:
            yield raw(body, head)
            yield raw(chunked(body), head + CHUNKED, has_length=False)
        yield raw(bodies[0], head, has_length=False)
        for status in (400, 204, 205, 206):
            yield raw(bodies[0] if status != 204 else b"", head, b"HTTP/1.1 %d X" % status)


def redirecting_answers() -> Iterator[bytes]:
    """Yield redirects to `/moved`, or to where no socket connects, with bodies that never end or cannot be decoded."""
    for status in (300, 301, 302, 303, 304, 305, 306, 307, 308):
        line = b"HTTP/1.1 %d X" % status
        for location in (b"/moved", b"moved?a=b", b"http://127.0.0.1:PORT/moved#f", b"//127.0.0.1:PORT/moved"):
            yield raw(b"", b"location: " + location + b"\r\n", line)
        if status in (301, 302, 303, 307, 308):
            yield raw(b"cut", b"location: /moved\r\n", line).replace(b"length: 3", b"length: 1000")
        yield raw(b"x", b"content-encoding: gzip\r\nlocation: /moved\r\n", line)
        yield raw(b"", b"set-cookie: a=b\r\nlocation: /moved\r\n", line)
        yield raw(b"", b"location: http://127.0.0.1:99999/\r\n", line)


def plain_answers() -> Iterator[bytes]:
    """Yield answers whose syntax both sides accept or refuse alike."""
    for line in (b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 200 \xe9", b"HTTP/2.0 200 OK", b"http/1.1 200 OK"):
        yield raw(line=line)
    for status in (201, 206, 299, 400, 404, 409, 500, 599):
        yield raw(line=b"HTTP/1.1 %d X" % status)
    for head in (b"set-cookie: a=b\r\n", b"x: \xe9\r\n", b"x:\r\n", b"__proto__: x\r\n", b"upgrade: h2c\r\n"):
        yield raw(heads=head)
    for informational in (b"102 P", b"103 E\r\nlink: </a>"):
        yield b"HTTP/1.1 " + informational + b"\r\n\r\n" + raw()
    for extension in (b";a=b", b';a="b c"', b";a"):
        yield raw(chunked(CONTENT, extension, b"x: y\r\n"), CHUNKED, has_length=False)
    for body in (CONTENT[:-3], b"\xef\xbb\xbf" + CONTENT, CONTENT.replace(b"said", b"s\xff\xfed")):
        yield raw(body)
    yield b""


@dataclass
class RawService:
    """A server that sends `answers` by number (`answer-7.` in a request), and its requests: path, and with a cookie."""

    answers: tuple[bytes, ...]
    port: int = 0
    requests: list[tuple[str, bool]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection, up to an answer that ends with it."""
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        body = await reader.readexactly(int(length[1])) if length else b""
        target = head.split(b" ", 2)[1]
        self.requests.append((target.partition(b"?")[0].decode(), b"\r\ncookie:" in head.lower()))
        named = _NAME.search(head + body)
        is_moved = b"moved" in target or target.startswith(b"/token")
        answer = raw() if is_moved or named is None else self.answers[int(named[1])]
        writer.write(answer.replace(b"PORT", b"%d" % self.port))
        await writer.drain()
        return bool(answer) and _CLOSE not in answer


@asynccontextmanager
async def raw_service(answers: tuple[bytes, ...]) -> AsyncIterator[RawService]:
    """Run a service that sends answers by their number."""
    service = RawService(answers)
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    async with server:
        service.port = server.sockets[0].getsockname()[1]
        yield service
