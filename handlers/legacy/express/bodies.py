"""JSON bodies as body-parser 2 reads them: `express.json({limit})`, strict, decompressing.

A body of another content type is not read (`UNDEFINED`). Each fault of a JSON body has its own status. The order of
the checks is body-parser's: charset, content encoding, declared length, unknown charset, length as read, compressed
data, and the JSON itself. Long work runs in slices between which the event loop runs. Work that cannot be sliced is
limited (413).
"""

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final

from handlers.decompression import CorruptError, Inflater, inflater
from handlers.json_structure import StructureError
from handlers.legacy.express import Handler, HttpError, Reply, Request, charsets, content_type
from handlers.legacy.javascript import JSONSyntaxError, Value, parse
from handlers.sliced_json import parse_in_slices
from handlers.yielding import join_bytes, yield_fairly

_STEPS: Final = 16
"""Decompression steps between two yields to the event loop, with at most a megabyte of output in all."""

_media_type = lru_cache(256)(content_type.parse)


def json_parser(limit: int) -> Handler:
    """Return the middleware that sets `request.body`, from at most `limit` decompressed bytes."""

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
    except StructureError as error:
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
    return pieces[0] if len(pieces) == 1 else await join_bytes(pieces)


async def _plain(request: Request, stream: Inflater | None) -> AsyncIterator[bytes]:
    """Yield the body's chunks, decompressed if necessary; raises `CorruptError`."""
    steps = 0
    while (received := await request.read_chunk()) is not None:
        if stream is None:
            yield received
            continue
        for piece in stream.inflate(received):
            yield piece
            steps += 1
            if steps % _STEPS == 0:
                await yield_fairly()
    if stream is not None:
        stream.finish()


async def _parse(text: str) -> Value:
    if not text:
        return {}
    try:
        value = await parse_in_slices(text, parse)
    except StructureError as error:
        raise HttpError(413, str(error)) from error
    except JSONSyntaxError as error:  # its message would need a second parse, and is not sent
        raise HttpError(400, "not JSON") from error
    if not isinstance(value, dict | list):
        raise HttpError(400, "only objects and arrays are accepted")
    return value
