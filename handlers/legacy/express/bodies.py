"""JSON bodies as body-parser 2 reads them: `express.json({limit})`, strict, inflating.

A body that is not announced as JSON is left alone (`UNDEFINED`). Of one that is, every fault has its status,
found in body-parser's order: charset, content encoding, announced length, unknown charset, length as it is
read, compressed data, and last the JSON itself. Whatever takes time is done in slices between which the event loop
goes on, and what cannot be is bounded (413).
"""

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final

from handlers.json_structure import StructureError, check_structure, pause_after
from handlers.legacy.express import Handler, HttpError, Reply, Request, charsets, content_type
from handlers.legacy.express.decompression import CorruptError, Inflater, inflater
from handlers.legacy.javascript import JSONSyntaxError, Value, parse

_STEPS: Final = 16
"""Steps of inflating between two pauses: a megabyte at most."""

_media_type = lru_cache(256)(content_type.parse)


def json_parser(limit: int) -> Handler:
    """The middleware that fills `request.body`, from at most `limit` bytes once they are inflated."""

    async def parse_body(request: Request) -> Reply | None:
        if request.has_body:
            kind = _media_type(request.headers.get("content-type") or "")
            if kind is not None and kind.name == "application/json":
                request.body = await _parse(await _read_text(request, kind.charset or "utf-8", limit))
        return None

    return parse_body


async def _read_text(request: Request, charset: str, limit: int) -> str:
    if not charset.startswith("utf-"):
        raise HttpError(415, f'unsupported charset "{charset.upper()}"')
    stream = _decompression(request)
    length = request.headers.get("content-length")
    if stream is None and length is not None and int(length) > limit:
        raise HttpError(413, "request entity too large")
    decode = charsets.decoder(charset)
    if decode is None:
        raise HttpError(415, f'unsupported charset "{charset.upper()}"')
    try:
        return await charsets.decode_in_slices(decode, await _read(request, stream, limit))
    except charsets.TooLongError as error:
        raise HttpError(413, "request entity too large") from error


def _decompression(request: Request) -> Inflater | None:
    encoding = (request.headers.get("content-encoding") or "identity").lower()
    if encoding == "identity":
        return None
    stream = inflater(encoding)
    if stream is None:
        raise HttpError(415, f'unsupported content encoding "{encoding}"')
    return stream


async def _read(request: Request, stream: Inflater | None, limit: int) -> bytes:
    pieces: list[bytes] = []
    allowance = limit
    try:
        async for piece in _plain(request, stream):
            allowance -= len(piece)
            if allowance < 0:
                raise HttpError(413, "request entity too large")
            pieces.append(piece)
    except CorruptError as error:
        raise HttpError(400, str(error)) from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _plain(request: Request, stream: Inflater | None) -> AsyncIterator[bytes]:
    """The body's pieces, inflated where they are compressed; raises `CorruptError`."""
    steps = 0
    while (received := await request.read_chunk()) is not None:
        if stream is None:
            yield received
            continue
        for piece in stream.inflate(received):
            yield piece
            steps += 1
            if steps % _STEPS == 0:
                await asyncio.sleep(0)
    if stream is not None:
        stream.finish()


async def _parse(text: str) -> Value:
    if not text:
        return {}
    try:
        await check_structure(text)
        value = parse(text)
        await pause_after(text)
    except StructureError as error:
        raise HttpError(413, str(error)) from error
    except JSONSyntaxError as error:  # whose message takes another reading, and is shown to nobody
        raise HttpError(400, "not JSON") from error
    if not isinstance(value, dict | list):
        raise HttpError(400, "only objects and arrays are taken")
    return value
