"""Answers as a client reads them: headers by name, the body without its content coding, and its value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from pydantic_core import to_json

from proxy.comparison.bodies import Content, is_utf8, media, read
from proxy.comparison.body_digests import MAX_CONTENT, content_digests
from proxy.comparison.content_encoding import LIMIT, CodingError, OversizeError, decode
from proxy.comparison.exchange import Exchange, Outcome
from proxy.comparison.headers import joined
from proxy.comparison.spelling import http_date
from proxy.contract.payloads import is_json, read_payload
from proxy.types import JSON


@dataclass(frozen=True)
class DecodedAnswer:
    """One answer. Header names are in lower case; values of one name are joined by `, `, cookies by line breaks.

    `body` is empty if it is too large to be parsed. Then `blocks` are the digests of its content (of its coded bytes
    if `is_coded`), and `length` is its size in bytes. `is_broken`: the content coding could not be undone. `started`
    is the time of the exchange in seconds since the epoch, None in a recording. `by_role`: it is compared by role.
    """

    outcome: Outcome
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    blocks: tuple[bytes, ...] = field(default=(), repr=False)
    length: int = 0
    is_coded: bool = False
    is_broken: bool = False
    started: float | None = field(default=None, compare=False)
    by_role: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, exchange: Exchange, *, by_role: bool = False) -> DecodedAnswer:
        """Return the answer of an exchange. Raises OversizeError for a body that is too large even for digests."""
        body, started = exchange.body, exchange.started
        parts = exchange.outcome, exchange.status, joined(exchange.headers)
        if not body.blocks:
            return cls(*parts, body.data, started=started, by_role=by_role).decoded()
        is_coded = body.content_length is None
        length = body.length if body.content_length is None else body.content_length
        return cls(*parts, blocks=body.blocks, length=length, is_coded=is_coded, started=started, by_role=by_role)

    def decoded(self, limit: int = LIMIT) -> DecodedAnswer:
        """Return a sent answer with its content coding undone, with digests in place of a body larger than `limit`.

        Raises OversizeError if it is too large even for digests.
        """
        codings = self.headers.get("content-encoding", "")
        if not codings or not self.body:  # an answer to HEAD has the header without the body
            return self
        try:
            return replace(self, body=decode(self.body, codings, limit))
        except CodingError:
            return replace(self, is_broken=True)
        except OversizeError:
            digests = content_digests(decode(self.body, codings, MAX_CONTENT), self._role_clock)
            return replace(self, body=b"", blocks=digests.blocks(), length=digests.length)

    @property
    def time(self) -> float | None:
        """Return the time of the answer in seconds by its `Date` header, otherwise of the exchange, if known."""
        date = http_date(self.headers.get("date", ""))
        return self.started if date is None else date / 1000

    @property
    def _role_clock(self) -> float | None:
        return self.started if self.by_role else None

    @property
    def content_type(self) -> str:
        """Return the header, empty if there is none."""
        return self.headers.get("content-type", "")

    @property
    def text(self) -> str:
        """Return the body as UTF-8, invalid bytes replaced."""
        return self.body.decode(errors="replace")

    @property
    def is_json(self) -> bool:
        """Return whether the content type is JSON and the content coding could be undone."""
        return not self.is_broken and is_json(media(self.content_type)[0])

    @cached_property
    def content(self) -> Content:
        """Return the body as a value, or as bytes if its coding could not be undone."""
        return Content("binary", self.body) if self.is_broken else read(self.body, self.content_type)

    @property
    def is_compact(self) -> bool:
        """Return True if the body is JSON as one serialiser writes it, so that equal values have equal texts."""
        if self.content.form != "json" or self.body.rfind(b"-0.0") >= 0:  # equal to 0.0
            return False
        with suppress(ValueError, RecursionError):  # lone surrogates, deep nesting
            return self.body == to_json(self.content.as_json)
        return False

    @property
    def json_or_text(self) -> JSON:
        """Return the value of a JSON body, otherwise the text."""
        return self.content.as_json if self.content.form == "json" else self.text

    def payload(self, content_type: str, body: bytes) -> JSON:
        """Return the body as the contract reads it; reuse the parsed value if both readings agree."""
        content: Content | None = vars(self).get("content")
        if content is None and self.is_json:
            content = self.content
        if content and content.form == "json" and is_utf8(body, content_type):
            return content.as_json
        return read_payload(content_type, body)

    def digested(self) -> tuple[int, tuple[bytes, ...]]:
        """Return the length and the digests of the body; compute them if the body is available."""
        if self.blocks:
            return self.length, self.blocks
        digests = content_digests(self.body, self._role_clock)
        return digests.length, digests.blocks()
