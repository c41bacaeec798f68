"""Requests with placeholders for values of earlier answers. Pure.

`<id 2>` is the third id of the sequence (modulo their number): of the initial documents, then of legacy's answers.
`<id 2|abc>` is `abc` if there is none. `id`, `token` and `etag` are recognised by their form anywhere in an answer;
`opaque-tag` is an entity tag without its weakness. Any other name is that of a member of a JSON answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.volatile import VOLATILE
from proxy.recordings.model import DEFAULT_VERSION, RecordedRequest
from proxy.types import JSON

_PLACEHOLDER: Final = re.compile(r"<([\w.-]+) (\d+)(?:\|([^<>]*))?>")
_RECOGNISED: Final = ("id", "token")
_MAX_VALUES: Final = 200
_BODIED: Final = ("POST", "PUT", "PATCH")


@dataclass(frozen=True)
class FuzzRequest:
    """One request with placeholders. `body` is None or text in latin-1, which can represent any byte."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    version: str = DEFAULT_VERSION

    @classmethod
    def of(cls, request: RecordedRequest) -> FuzzRequest:
        """Return a request as it was recorded."""
        body = None if request.body is None else request.body.decode("latin-1")
        return cls(request.method, request.target, request.headers, body, request.version)

    def with_header(self, name: str, value: str | None) -> FuzzRequest:
        """Return the request with one header replaced, or removed if `value` is None."""
        others = tuple(header for header in self.headers if header[0] != name)
        return replace(self, headers=others if value is None else (*others, (name, value)))


@dataclass
class LearnedValues:
    """Values of the answers so far, by the name of their placeholder."""

    values: dict[str, list[str]] = field(default_factory=dict)

    def learn(self, answer: DecodedAnswer) -> None:
        """Add the values of an answer."""
        for match in VOLATILE.finditer(answer.text):
            if match.lastgroup in _RECOGNISED:
                self._add(match.lastgroup, match.group())
        if "etag" in answer.headers:
            self._add("etag", answer.headers["etag"])
            self._add("opaque-tag", answer.headers["etag"].removeprefix("W/"))
        for name, value in _members(_parsed(answer)):
            self._add(name, value)

    def learn_documents(self, documents: JSON) -> None:
        """Add the ids of a sequence's initial documents."""
        for match in VOLATILE.finditer(json.dumps(documents)):
            if match.lastgroup == "id":
                self._add("id", match.group())

    def fill(self, request: FuzzRequest) -> RecordedRequest:
        """Return the request with its placeholders replaced, ready to be sent."""
        headers = tuple((name, self._filled(value)) for name, value in request.headers)
        body = None if request.body is None else self._filled(request.body).encode("latin-1", "replace")
        if body is None and request.method in _BODIED:
            body = b""
        return RecordedRequest(request.method, self._filled(request.target), headers, body, request.version)

    def _add(self, name: str, value: str) -> None:
        known = self.values.setdefault(name, [])
        if value not in known and len(known) < _MAX_VALUES:
            known.append(value)

    def _filled(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        known = self.values.get(match[1])
        return known[int(match[2]) % len(known)] if known else match[3] or ""


def encode_body(value: JSON) -> str:
    """Return a JSON value as a body in ASCII; other characters are escaped."""
    return json.dumps(value, separators=(",", ":"))


def _parsed(answer: DecodedAnswer) -> JSON:
    try:
        parsed: JSON = json.loads(answer.text)
    except (ValueError, RecursionError):
        return None
    return parsed


def _members(value: JSON, depth: int = 8) -> Iterator[tuple[str, str]]:
    """Yield the texts and integers in a JSON value, with the names of their members."""
    if isinstance(value, list) and depth:
        for item in value:
            yield from _members(item, depth - 1)
    elif isinstance(value, dict) and depth:
        for name, item in value.items():
            if isinstance(item, str | int) and not isinstance(item, bool) and name not in _RECOGNISED:
                yield name, str(item)
            yield from _members(item, depth - 1)
