"""Clinical codes by name, from the NHS terminology server: one access token for all searches.

The token is cached until shortly before it expires. Of concurrent searches without a token, one fetches it and the
others wait; nothing else needs a lock.
"""

import asyncio
import functools
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from common.late_timeout import LateTimeout
from handlers.services.answer_bodies import AXIOS_WITHOUT_BODY, AnswerReader, axios_codings, without_cookies
from handlers.strict_json import loads

VALUE_SET: Final = "http://snomed.info/sct/83821000000107/version/20240508?fhir_vs=isa/138875005"
COUNT: Final = 10

DEADLINE: Final = 10.0
"""Seconds per search, fetching the token included."""

OPERATION: Final = "/ValueSet/$expand"
_OPERATION: Final = re.compile(r"/ValueSet/(?:\$|%24)expand$", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"=|\[|%5B", re.IGNORECASE)
_OWN_PARAMETERS: Final = frozenset(("url", "filter", "count"))
_BEARER: Final = re.compile(r"[\x21-\x7e]+")
_read_as_axios: Final = AnswerReader(
    axios_codings, httpx.codes.is_redirect, AXIOS_WITHOUT_BODY, httpx.AsyncByteStream, httpx.DecodingError
)
_MARGIN: Final = 0.1
_MAX_MARGIN: Final = 30.0


class TerminologyError(Exception):
    """A search without a usable answer; the message states the cause and contains no personal data."""


class TerminologyUnreachableError(TerminologyError):
    """A failed or broken connection to the terminology server."""


class TerminologyTimeoutError(TerminologyError):
    """A search without an answer within the deadline."""


class TerminologyRefusedError(TerminologyError):
    """An answer other than 2xx from the terminology server, or from its token server."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the terminology server answered {status}")
        self.status = status


class TerminologyInvalidError(TerminologyError):
    """An answer that is not FHIR, or not a token."""


@dataclass(frozen=True)
class Code:
    """A concept: its name, its code, and the URL of its code system; `...` if not stated.

    FHIR requires texts; a value of any other JSON type is passed on unchanged.
    """

    name: object
    code: object
    url: object


@dataclass(frozen=True)
class Access:
    """The terminology server's URLs and credentials. `api_url`: see `expand_url`."""

    auth_url: str
    api_url: str
    client_id: str
    client_secret: str


@dataclass(frozen=True)
class _AccessToken:
    text: str
    expires: float


class Finder(Protocol):
    """The terminology server's code search."""

    async def find(self, term: str | Sequence[str] | None) -> list[Code]: ...


class Terminology:
    """A client of the terminology server. Times are in seconds of `clock`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        access: Access,
        *,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._access = access
        self._deadline = deadline
        self._clock = clock
        self._token: _AccessToken | None = None
        self._fetching = asyncio.Lock()

    @classmethod
    def open(cls, access: Access, *, deadline: float = DEADLINE) -> Self:
        """Return a client with its own connection pool."""
        client = httpx.AsyncClient(
            timeout=httpx.Timeout(None),  # each search has a deadline
            follow_redirects=True,
            verify=_trusted_certificates(),
            cookies=without_cookies(),
            event_hooks={"response": [_read_as_axios]},
        )
        return cls(client, access, deadline=deadline)

    async def close(self) -> None:
        """Close the connections; running searches fail."""
        await self._client.aclose()

    async def find(self, term: str | Sequence[str] | None) -> list[Code]:
        """Return the first ten codes for a term (any codes for None), best first; raises `TerminologyError`.

        The deadline starts again if this process was stopped or starved when it ended.
        """
        try:
            async with LateTimeout(self._deadline):
                return _codes(await self._expand(term))
        except (TimeoutError, httpx.TimeoutException) as error:
            raise TerminologyTimeoutError("the terminology server did not answer in time") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise TerminologyUnreachableError("the terminology server cannot be reached") from error
        except httpx.RequestError as error:  # too many redirects, or an invalid encoding
            raise TerminologyInvalidError("the terminology server's answer cannot be read") from error

    async def _expand(self, term: str | Sequence[str] | None) -> object:
        target = expand_url(self._access.api_url, term)
        token = await self._access_token()
        try:
            return await self._get(target, token)
        except TerminologyRefusedError as error:
            if error.status != httpx.codes.UNAUTHORIZED:
                raise
        self._discard_token(token)
        return await self._get(target, await self._access_token())

    async def _get(self, target: str, token: _AccessToken) -> object:
        headers = {"authorization": f"Bearer {token.text}", "accept": "application/json"}
        return await self._fetch(self._client.build_request("GET", target, headers=headers))

    async def _access_token(self) -> _AccessToken:
        """Return the cached token, or fetch one."""
        async with self._fetching:
            if self._token is None or self._token.expires <= self._clock():
                self._token = await self._grant()
            return self._token

    def _discard_token(self, token: _AccessToken) -> None:
        if self._token is token:
            self._token = None

    async def _grant(self) -> _AccessToken:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._access.client_id,
            "client_secret": self._access.client_secret,
        }
        requested_at = self._clock()
        try:
            grant = await self._fetch(self._client.build_request("POST", self._access.auth_url, data=form))
        except TerminologyInvalidError:  # to axios, an answer that is no JSON is a text, and has no token
            grant = None
        text = grant.get("access_token") if isinstance(grant, Mapping) else None
        if not isinstance(grant, Mapping) or not isinstance(text, str) or not _BEARER.fullmatch(text):
            raise TerminologyInvalidError("the terminology server gave no token")
        return _AccessToken(text, requested_at + _lifetime(grant.get("expires_in")))

    async def _fetch(self, request: httpx.Request) -> object:
        """Return a response's JSON; a request whose connection breaks is retried once."""
        try:
            response = await self._client.send(request)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            response = await self._client.send(request)
        return _json(response)


def expand_url(api_url: str, term: str | Sequence[str] | None) -> str:
    """Return the URL of a search (FHIR R4, ValueSet `$expand`).

    `api_url` is the FHIR base or the URL of the operation itself, each with or without a trailing slash. Parameters
    in its query are retained, except those that the search sets itself; a fragment is dropped. Raises
    `TerminologyUnreachableError` if `api_url` is not a URL.
    """
    try:
        parts = urlsplit(api_url)
    except ValueError as error:
        raise TerminologyUnreachableError("the terminology server cannot be reached") from error
    base = _OPERATION.sub("", parts.path.rstrip("/"))
    extra = [pair for pair in parts.query.split("&") if pair and _PARAMETER.split(pair)[0] not in _OWN_PARAMETERS]
    return urlunsplit(parts._replace(path=base + OPERATION, query="&".join([*extra, expand_query(term)]), fragment=""))


def expand_query(term: str | Sequence[str] | None) -> str:
    """Return the search's query string, encoded as axios encodes parameters: a list as repeated `filter[]`."""
    terms = [] if term is None else [("filter", term)] if isinstance(term, str) else [("filter[]", t) for t in term]
    pairs = [("url", VALUE_SET), *terms, ("count", str(COUNT))]
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in pairs)


def _encode(text: str) -> str:
    return quote(text, safe="!~*'():$,").replace("%20", "+")


@functools.cache
def _trusted_certificates() -> ssl.SSLContext:
    """Return the context of all clients of the process, because reading the certificates takes 20 ms of CPU."""
    return httpx.create_ssl_context()


def _lifetime(stated: object) -> float:
    """Return the seconds to cache a token: slightly less than stated, zero if nothing is stated."""
    if not (isinstance(stated, int | float) and stated > 0):
        return 0.0
    return stated - min(stated * _MARGIN, _MAX_MARGIN)


def _json(response: httpx.Response) -> object:
    if not response.is_success:
        raise TerminologyRefusedError(response.status_code)
    try:
        value: object = loads(response.content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise TerminologyInvalidError("the terminology server's answer cannot be read") from error
    return value


def _codes(value_set: object) -> list[Code]:
    """Return the codes of an expanded value set; one without codes may lack `contains` (FHIR R4, ValueSet)."""
    expansion = value_set.get("expansion") if isinstance(value_set, Mapping) else None
    concepts = expansion.get("contains", []) if isinstance(expansion, Mapping) else None
    if not isinstance(concepts, list) or concepts[:1] == [None]:
        raise TerminologyInvalidError("the terminology server's answer is not a value set")
    return [_code(entry if isinstance(entry, Mapping) else {}) for entry in concepts]


def _code(entry: Mapping[str, object]) -> Code:
    return Code(*(entry.get(field, ...) for field in ("display", "code", "system")))
