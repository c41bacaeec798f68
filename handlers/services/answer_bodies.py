"""Answers of outside services, read as by the legacy's clients: Node's `fetch` (the model) and axios (the terminology).

Python's clients decode other content codings, read only one member of gzip, wait for the body of a redirect, and send
back cookies. Their other syntax of HTTP is declared (`outside-answer-syntax` in contracts/divergences.yaml).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Container, MutableMapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from handlers.decompression import CorruptError, Inflater, RawInflater, inflater

_GZIP_NAMES: Final = frozenset(("gzip", "x-gzip"))
_COMPRESS_NAMES: Final = frozenset(("compress", "x-compress"))
MAX_CODINGS: Final = 5
FETCH_WITHOUT_BODY: Final = frozenset((204, 205, 304))
AXIOS_WITHOUT_BODY: Final = frozenset((204,))
REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
REPEATED: Final = 307
"""The status of a redirect with the same method, by which httpx follows other statuses."""
FETCH_REFUSED: Final = frozenset((407,))
"""Statuses that `fetch` reports as a failed connection, as it cannot answer to a proxy."""
FETCH_MISDIRECTED: Final = frozenset((421,))
"""Statuses after which `fetch` sends the request once more, at once."""
_LENGTHS: Final = 1 << 64
"""The lengths that Node's parser can read are below this number."""
_SENT_AGAIN: Final = "handlers.sent_again"
"""The extension of a request that was sent again after a status that means another server."""


class Body(Protocol):
    """The body of an answer, as it arrives."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class SentRequest(Protocol):
    """The part of a request, of either version of httpx, that is sent again."""

    extensions: MutableMapping[str, Any]

    @property
    def url(self) -> object: ...


class UnreadAnswer(Protocol):
    """The part of an answer, of either version of httpx, that is read or replaced before its body."""

    status_code: int
    stream: Any

    @property
    def headers(self) -> MutableMapping[str, str]: ...

    @property
    def request(self) -> Any: ...


def without_cookies() -> CookieJar:
    """Return a jar that accepts no cookie."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def fetch_codings(stated: str) -> list[Inflater]:
    """Return the decoders that `fetch` applies in turn; raises `CorruptError` for more than `MAX_CODINGS` names."""
    names = [name.strip() for name in stated.lower().split(",")]
    if len(names) > MAX_CODINGS:
        raise CorruptError("too many content codings")
    inflaters = [_inflater("gzip" if name in _GZIP_NAMES else name) for name in reversed(names)]
    return [each for each in inflaters if each is not None] if None not in inflaters else []


def axios_codings(stated: str) -> list[Inflater]:
    """Return the decoders that axios applies: at most one, for a whole value."""
    name = stated.lower()
    one = _inflater("gzip" if name in _GZIP_NAMES | _COMPRESS_NAMES else name)
    return [] if one is None else [one]


def _inflater(name: str) -> Inflater | None:
    return RawInflater() if name == "deflate" else inflater(name)


class AnswerReader:
    """A hook of an httpx client that makes it read bodies and redirects as one of Node's clients.

    `codings` returns the decoders of a `Content-Encoding`, `is_followed` whether a status with a location is a
    redirect; answers `without_body` end with their head. `byte_stream` is the client's base class of bodies, and
    `error` makes its exception for an unreadable answer, as those with a status in `refused` are. The request is sent
    once more after a status in `misdirected`.
    """

    def __init__(
        self,
        codings: Callable[[str], list[Inflater]],
        is_followed: Callable[[int], bool],
        without_body: Container[int],
        byte_stream: type,
        error: Callable[[str], Exception],
        refused: Container[int] = (),
        misdirected: Container[int] = (),
    ) -> None:
        self._refused = refused
        self._misdirected = misdirected
        self._codings = codings
        self._is_followed = is_followed
        self._without_body = without_body
        self._error = error
        self._decoded = type("DecodedStream", (_DecodedBody, byte_stream), {})
        self._ignored = type("IgnoredStream", (_IgnoredBody, byte_stream), {})

    async def __call__(self, answer: UnreadAnswer) -> None:
        """Replace the body of an answer that has not been read. Raises the client's exception."""
        length = answer.headers.get("content-length", "")
        if answer.status_code in self._refused or (length.isdecimal() and int(length) >= _LENGTHS):
            raise self._error("the answer cannot be read")
        stated = answer.headers.pop("content-encoding", "")
        is_sent_again = answer.request.extensions.pop(_SENT_AGAIN, False)
        if answer.status_code in self._misdirected and not is_sent_again:
            self._send_again(answer, answer.request)
            return
        location = answer.headers.get("location")
        if location is not None and self._is_followed(answer.status_code):
            self._redirect(answer, location)
        elif answer.status_code in self._without_body:
            answer.stream = self._ignored(answer.stream, [], self._error)
        elif stated:
            try:
                inflaters = self._codings(stated)
            except CorruptError as error:
                raise self._error(str(error)) from error
            answer.stream = self._decoded(answer.stream, inflaters, self._error)

    def _send_again(self, answer: UnreadAnswer, request: SentRequest) -> None:
        """Redirect the request to its own URL."""
        request.extensions[_SENT_AGAIN] = True
        answer.headers["location"] = str(request.url)
        answer.status_code = REPEATED
        answer.stream = self._ignored(answer.stream, [], self._error)

    def _redirect(self, answer: UnreadAnswer, location: str) -> None:
        """Follow the location without waiting for the body."""
        try:
            urlsplit(location).port  # noqa: B018 - raises for a port above 65,535, which no socket accepts
        except ValueError as error:
            raise self._error("the location is not a URL") from error
        if answer.status_code not in REDIRECTS:
            answer.status_code = REPEATED
        answer.stream = self._ignored(answer.stream, [], self._error)


class _DecodedBody:
    """A body that is decoded by `inflaters` in turn. Invalid bytes raise `error`; a body that breaks off ends there."""

    def __init__(self, body: Body, inflaters: Sequence[Inflater], error: Callable[[str], Exception]) -> None:
        self._body = body
        self._inflaters = inflaters
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._body:
                for piece in _inflate(data, self._inflaters):
                    yield piece
        except CorruptError as error:
            raise self._error(str(error)) from error

    async def aclose(self) -> None:
        """Return the connection to its pool after a complete body; otherwise close it."""
        await self._body.aclose()


class _IgnoredBody(_DecodedBody):
    """A body that is not read."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""


def _inflate(data: bytes, inflaters: Sequence[Inflater]) -> list[bytes]:
    pieces = [data]
    for each in inflaters:
        pieces = [output for piece in pieces for output in each.inflate(piece)]
    return pieces
