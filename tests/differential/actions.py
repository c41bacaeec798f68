"""Requests as they are drawn, before anything has been answered.

What only an earlier answer tells is a placeholder in angle brackets, filled in while the stand-in is asked:
`<id 2>` is the third id that the stand-in has made in this sequence (counting round), `<token 0>` the first
token it has issued, `<tag 1>` an entity tag.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.comparison.answers import DecodedAnswer
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential.people import ABSENT, TOKEN

_PLACEHOLDER = re.compile(r"<(id|token|tag) (\d+)>")
_ID = re.compile(r'"_id":"([0-9a-f]{24})"')
_ISSUED = re.compile(r'"token":"([^"]+)"')
_DEFAULTS: Final = {"id": ABSENT, "token": TOKEN, "tag": 'W/"2-nothing"'}


@dataclass(frozen=True)
class Action:
    """One request with placeholders. A body is text in latin-1 (any byte), or None for no body at all."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None

    def with_header(self, name: str, value: str | None) -> Action:
        """The same with one header set, or taken away where `value` is None."""
        others = tuple(header for header in self.headers if header[0] != name)
        return replace(self, headers=others if value is None else (*others, (name, value)))


@dataclass
class Answered:
    """What the stand-in's answers have told so far."""

    found: dict[str, list[str]] = field(default_factory=lambda: {"id": [], "token": [], "tag": []})

    def note(self, answer: DecodedAnswer) -> None:
        """Keep the ids, tokens and tag of one more answer."""
        for kind, pattern in (("id", _ID), ("token", _ISSUED)):
            known = self.found[kind]
            known += [one for one in pattern.findall(answer.text) if one not in known]
        if "etag" in answer.headers:
            self.found["tag"].append(answer.headers["etag"])

    def fill(self, action: Action) -> RecordedRequest:
        """The request that an action has become."""
        headers = tuple((name, self._filled(value)) for name, value in action.headers)
        body = None if action.body is None else self._filled(action.body).encode("latin-1")
        if body is None and action.method in ("POST", "PUT", "PATCH"):
            body = b""
        return RecordedRequest(action.method, self._filled(action.target), headers, body)

    def _filled(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        known = self.found[match[1]]
        return known[int(match[2]) % len(known)] if known else _DEFAULTS[match[1]]


def spelled(value: JSON) -> str:
    """A value as the text of a JSON body in UTF-8, a character for each byte."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.encode().decode("latin-1")
