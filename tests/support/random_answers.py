"""Random answers of the model as bytes, with those to repeated calls, and a server that sends them in random pieces."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal

from tests.support.raw_answers import codings_of
from tests.support.sockets import reset, scripted

End = Literal["kept", "closed", "reset"]
MAX_CALLS: Final = 3
"""Requests of one call: the first, and two repetitions."""
STATUSES: Final = (
    *(200,) * 12, *(201, 202, 203, 204, 205, 206, 226, 299, 300, 304, 305, 306, 399, 400, 401, 403, 404, 407),
    *(408, 408, 409, 409, 411, 413, 421, 422, 425, 429, 429, 451, 499, 500, 500, 502, 503, 503, 504, 529, 599),
    *(301, 302, 303, 307, 308, 600, 700, 999),
)  # fmt: skip
MISDIRECTED: Final = 421
"""A status after which `fetch` sends the request once more; its answer is whole here, on a connection that is kept."""
INFORMATIONAL: Final = (102, 103, 104, 150, 198, 199)
CONTENTS: Final = ("said", " said\n", "", "d\u00e9j\u00e0 \U0001f600", None, 5, ["a"], {"a": "b"})
TYPES: Final = (
    *("application/json",) * 8,
    *("application/json; charset=utf-16", "application/problem+json", "text/plain", "", "x"),
)
RETRY: Final = (*("",) * 6, "true", "true", "false", "false", "TRUE", "True", "1", "true, true", "no")
DELAYS: Final = (
    *("0", "-1", "1", "7", "59.9", "60", "61", "120", "121", "1e1", "1e9", "x", "5 s", " 3", "0.001", "Infinity"),
    "NaN",
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "2015-10-21", "2100-01-01T00:00:00Z"),
)  # fmt: skip
SPELLED: Final = ("0%d", "000%d", "+%d")
"""Spellings of a length."""
TOO_LONG: Final = (2**64, 2**64 - 1, 2**63, 2**53 + 1)
"""Lengths of bodies that no connection carries."""


@dataclass(frozen=True)
class RandomAnswer:
    """The answer to one request: `pieces` as they are written, and what then becomes of the connection.

    `is_broken`: the body is cut or damaged. Node's `fetch` fails after the head, native's client before the answer.
    """

    pieces: tuple[bytes, ...]
    end: End
    is_broken: bool = False

    def __repr__(self) -> str:
        return f"{b''.join(self.pieces)!r} in {len(self.pieces)} pieces, {self.end}"


def random_answers(chance: Random) -> tuple[RandomAnswer, ...]:
    """Return the answers to one call, in order."""
    return tuple(_answer(chance) for _ in range(MAX_CALLS))


def _answer(chance: Random) -> RandomAnswer:
    if chance.random() < 0.06:
        return RandomAnswer((), chance.choice(("closed", "reset")))
    status = chance.choice(STATUSES)
    coding, body, is_damaged = _coded(chance, _body(chance, status))
    framing, framed = _framed(chance, status, body, up_to_end=not is_damaged and status != MISDIRECTED)
    is_long = framing[:1] and framing[0].removeprefix("content-length: ") in map(str, TOO_LONG)
    is_cut = bool(framed) and (is_long or chance.random() < 0.08) and status != MISDIRECTED and framing != []
    end: End = "kept"
    if is_cut:
        framed, end = framed[: -chance.randint(1, len(framed))], chance.choice(("closed", "closed", "reset"))
    elif not framing or (chance.random() < 0.1 and status != MISDIRECTED):  # unannounced, a client may come first
        framing, end = [*framing, "connection: close"], "closed"
    headers = [f"content-type: {kind}" for kind in [chance.choice(TYPES)] if kind]
    headers += [f"x-should-retry: {value}" for value in [chance.choice(RETRY)] if value]
    headers += [*_delays(chance), *coding, *framing]
    if status in (301, 302, 303, 307, 308) and chance.random() < 0.7:
        headers.append(f"location: {chance.choice(('/moved', 'moved', 'http://127.0.0.1:PORT/moved#f', ''))}")
    chance.shuffle(headers)
    reason = chance.choice(("", " ", " OK", " Not OK", " x" * 20))
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}{reason}", *headers, ""))
    data = _informational(chance) + head.encode() + framed
    return RandomAnswer(tuple(_pieces(chance, data)), end, is_cut or is_damaged)


def _informational(chance: Random) -> bytes:
    if chance.random() < 0.8:
        return b""
    heads = (chance.choice(("", "link: </a>\r\n", "x: y\r\n")) for _ in range(chance.randint(1, 3)))
    return b"".join(b"HTTP/1.1 %d X\r\n%b\r\n" % (chance.choice(INFORMATIONAL), head.encode()) for head in heads)


def _body(chance: Random, status: int) -> bytes:
    kind = chance.random()
    if kind < 0.1:
        return chance.choice((b"", b"{", b"null", b"[]", b"oops", b"\xff\xfe", b'"text"', b"\xef\xbb\xbf{}"))
    if status >= 300:
        error = chance.choice(({"message": "m", "type": "t"}, {"message": ""}, "text", None, {"code": 5}))
        return json.dumps({"error": error}).encode()
    message = {"message": {"content": chance.choice(CONTENTS)}}
    return json.dumps({"choices": [message], "x": "y" * chance.choice((0, 0, 0, 500, 70_000))}).encode()


def _coded(chance: Random, body: bytes) -> tuple[list[str], bytes, bool]:
    """Return the headers of a content coding, the coded body, and whether it is damaged."""
    if chance.random() < 0.7:
        return [], body, False
    name, coded = chance.choice(list(codings_of(body).items()))
    if chance.random() < 0.85:
        return [f"content-encoding: {name}"], coded, False
    at = chance.randrange(len(coded))
    cut, changed = coded[:at], coded[:at] + bytes([coded[at] ^ 0x55]) + coded[at + 1 :]
    return [f"content-encoding: {name}"], chance.choice((cut, changed)), True


def _framed(chance: Random, status: int, body: bytes, *, up_to_end: bool) -> tuple[list[str], bytes]:
    """Return the headers of the framing, none for a body up to the connection's end, and the framed body."""
    if status in (204, 304):
        return ["content-length: 0"], b""
    kind = chance.random()
    if kind < 0.35:
        return ["transfer-encoding: chunked"], _chunked(chance, body)
    if kind < 0.5 and up_to_end:
        return [], body
    if kind < 0.53 and status != MISDIRECTED:
        return [f"content-length: {chance.choice(TOO_LONG)}"], body
    spelled = chance.choice(SPELLED) if kind < 0.56 else "%d"
    return [f"content-length: {spelled % len(body)}"], body


def _chunked(chance: Random, body: bytes) -> bytes:
    size = chance.choice((1, 1, 2, 7, 20, 1000, 100_000)) if len(body) < 5000 else 5000
    spelled = chance.choice(("%x", "%x", "%X", "0%x"))
    trailer = chance.choice(("", "", "x: y\r\n", "x-should-retry: true\r\n", "content-length: 3\r\n"))
    parts = (body[at : at + size] for at in range(0, len(body), size))
    chunks = b"".join((spelled % len(part)).encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return chunks + b"0\r\n" + trailer.encode() + b"\r\n"


def _delays(chance: Random) -> list[str]:
    if chance.random() < 0.5:
        return []
    names = chance.choice((("retry-after",), ("retry-after",), ("retry-after-ms",), ("retry-after-ms", "retry-after")))
    return [f"{name}: {chance.choice(DELAYS)}" for name in names]


def _pieces(chance: Random, data: bytes) -> Iterator[bytes]:
    size = chance.choice((1 << 20, 1 << 20, 1, 3, 50, 1000))
    if len(data) > 2000:
        size = max(size, len(data) // 50)
    for start in range(0, len(data), size):
        yield data[start : start + size]


@dataclass
class RandomService:
    """A server of `answers` in order, the last of them repeated, and the paths of the requests."""

    answers: Sequence[RandomAnswer] = ()
    port: int = 0
    requests: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection, up to an answer that ends it."""
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        await _read_body(head.lower(), reader)
        self.requests.append(head.split(b" HTTP", 1)[0].decode())
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        for piece in answer.pieces:
            writer.write(piece.replace(b"PORT", b"%d" % self.port))
            await writer.drain()
            await asyncio.sleep(0)
        if answer.end == "reset":
            reset(writer)
        return answer.end == "kept"


async def _read_body(head: bytes, reader: asyncio.StreamReader) -> None:
    length = re.search(rb"content-length: (\d+)", head)
    if length is not None:
        await reader.readexactly(int(length[1]))
    elif b"transfer-encoding: chunked" in head:
        while await reader.readuntil(b"\r\n") != b"0\r\n":
            pass
        await reader.readuntil(b"\r\n")


@asynccontextmanager
async def random_service() -> AsyncIterator[RandomService]:
    """Run a service whose answers the test sets."""
    service = RandomService()
    async with scripted(service.serve) as service.port:
        yield service
