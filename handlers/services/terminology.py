"""Clinical codes by name, from the NHS terminology server: one token for all, a search for each.

The token is kept until shortly before it expires. However many searches find it missing at once, one of them
fetches it and the others wait; the rest needs no lock.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

VALUE_SET: Final = "http://snomed.info/sct/83821000000107/version/20240508?fhir_vs=isa/138875005"
COUNT: Final = 10

DEADLINE: Final = 10.0
"""Seconds for one search, fetching the token included."""

OPERATION: Final = "/ValueSet/$expand"
_OPERATION: Final = re.compile(r"/ValueSet/(?:\$|%24)expand$", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"=|\[|%5B", re.IGNORECASE)
_OWN_PARAMETERS: Final = frozenset(("url", "filter", "count"))
_BEARER: Final = re.compile(r"[\x21-\x7e]+")
_MARGIN: Final = 0.1
_LONGEST_MARGIN: Final = 30.0


class TerminologyError(Exception):
    """The terminology server gave no usable answer; the message says why and names nobody."""


class TerminologyUnreachableError(TerminologyError):
    """No connection to the terminology server, or it broke."""


class TerminologyTimeoutError(TerminologyError):
    """No answer within the deadline."""


class TerminologyRefusedError(TerminologyError):
    """The terminology server, or the server of its tokens, answered with another status than 2xx."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the terminology server answered {status}")
        self.status = status


class TerminologyInvalidError(TerminologyError):
    """The terminology server answered something else than FHIR, or than a token."""


@dataclass(frozen=True)
class Code:
    """A concept: its name, its code, and the address of the system that the code is from; `...` where unsaid.

    Each is a text in FHIR, and is handed on as it came, whatever JSON it is.
    """

    name: object
    code: object
    url: object


@dataclass(frozen=True)
class Access:
    """Where the terminology server is, and as whom to ask. `api_url`: see `expand_url`."""

    auth_url: str
    api_url: str
    client_id: str
    client_secret: str


@dataclass(frozen=True)
class _AccessToken:
    text: str
    expires: float


class Finder(Protocol):
    """The part of a terminology server that finds codes."""

    async def find(self, term: str | Sequence[str] | None) -> list[Code]: ...


class Terminology:
    """The terminology server. Times are in seconds of `clock`."""

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
        """The same with a client of its own."""
        return cls(httpx.AsyncClient(timeout=deadline, follow_redirects=True), access, deadline=deadline)

    async def close(self) -> None:
        """Close the connections; searches under way fail."""
        await self._client.aclose()

    async def find(self, term: str | Sequence[str] | None) -> list[Code]:
        """The first ten codes for a term (any codes for None), best first; raises `CodesError`."""
        try:
            async with asyncio.timeout(self._deadline):
                return _codes(await self._expand(term))
        except (TimeoutError, httpx.TimeoutException) as error:
            raise TerminologyTimeoutError("the terminology server did not answer in time") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise TerminologyUnreachableError("the terminology server cannot be reached") from error
        except httpx.RequestError as error:  # of what is left: too many redirects, a broken encoding
            raise TerminologyInvalidError("the terminology server's answer cannot be read") from error

    async def _expand(self, term: str | Sequence[str] | None) -> object:
        target = expand_url(self._access.api_url, term)
        token = await self._granted()
        try:
            return await self._get(target, token)
        except TerminologyRefusedError as error:
            if error.status != httpx.codes.UNAUTHORIZED:
                raise
        self._forget(token)
        return await self._get(target, await self._granted())

    async def _get(self, target: str, token: _AccessToken) -> object:
        headers = {"authorization": f"Bearer {token.text}", "accept": "application/json"}
        return await self._fetch(self._client.build_request("GET", target, headers=headers))

    async def _granted(self) -> _AccessToken:
        """The token, kept or fetched."""
        async with self._fetching:
            if self._token is None or self._token.expires <= self._clock():
                self._token = await self._grant()
            return self._token

    def _forget(self, token: _AccessToken) -> None:
        if self._token is token:
            self._token = None

    async def _grant(self) -> _AccessToken:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._access.client_id,
            "client_secret": self._access.client_secret,
        }
        asked = self._clock()
        grant = await self._fetch(self._client.build_request("POST", self._access.auth_url, data=form))
        text = grant.get("access_token") if isinstance(grant, Mapping) else None
        if not isinstance(grant, Mapping) or not isinstance(text, str) or not _BEARER.fullmatch(text):
            raise TerminologyInvalidError("the terminology server gave no token")
        return _AccessToken(text, asked + _lifetime(grant.get("expires_in")))

    async def _fetch(self, request: httpx.Request) -> object:
        """The JSON that answers a request, which is tried again once where the connection breaks."""
        try:
            response = await self._client.send(request)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            response = await self._client.send(request)
        return _json(response)


def expand_url(api_url: str, term: str | Sequence[str] | None) -> str:
    """Return the URL of a search (FHIR R4, ValueSet `$expand`).

    `api_url` is the FHIR base or the URL of the operation itself, each with or without a trailing slash. Parameters of
    its query stay, except those that the search sets itself; a fragment is dropped. Raises `CodesUnreachableError`
    where `api_url` is not a URL.
    """
    try:
        parts = urlsplit(api_url)
    except ValueError as error:
        raise TerminologyUnreachableError("the terminology server cannot be reached") from error
    base = _OPERATION.sub("", parts.path.rstrip("/"))
    extra = [pair for pair in parts.query.split("&") if pair and _PARAMETER.split(pair)[0] not in _OWN_PARAMETERS]
    return urlunsplit(parts._replace(path=base + OPERATION, query="&".join([*extra, expand_query(term)]), fragment=""))


def expand_query(term: str | Sequence[str] | None) -> str:
    """The search's query string, encoded as axios encodes parameters: a list as `filter[]`, twice and more."""
    terms = [] if term is None else [("filter", term)] if isinstance(term, str) else [("filter[]", t) for t in term]
    pairs = [("url", VALUE_SET), *terms, ("count", str(COUNT))]
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in pairs)


def _encode(text: str) -> str:
    return quote(text, safe="!~*'():$,").replace("%20", "+")


def _lifetime(stated: object) -> float:
    """For how many seconds to keep a token: a little less than stated, and not at all where nothing is."""
    if not (isinstance(stated, int | float) and stated > 0):
        return 0.0
    return stated - min(stated * _MARGIN, _LONGEST_MARGIN)


def _json(response: httpx.Response) -> object:
    if not response.is_success:
        raise TerminologyRefusedError(response.status_code)
    try:
        value: object = json.loads(response.content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise TerminologyInvalidError("the terminology server's answer cannot be read") from error
    return value


def _codes(value_set: object) -> list[Code]:
    """The codes of an expanded value set; one without codes may lack `contains` (FHIR R4, ValueSet)."""
    expansion = value_set.get("expansion") if isinstance(value_set, Mapping) else None
    found = expansion.get("contains", []) if isinstance(expansion, Mapping) else None
    if not isinstance(found, list) or found[:1] == [None]:
        raise TerminologyInvalidError("the terminology server's answer is no value set")
    return [_code(entry if isinstance(entry, Mapping) else {}) for entry in found]


def _code(entry: Mapping[str, object]) -> Code:
    return Code(*(entry.get(field, ...) for field in ("display", "code", "system")))
