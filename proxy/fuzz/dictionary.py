"""The dictionary: requests, values and documents learned from recordings, and requests drawn from it.

A drawn request is a recorded one with some parts replaced: ids by ids of earlier answers, members of its JSON body by
values recorded under the same or another name, a member or header removed, the method changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hypothesis import strategies as st

from proxy.comparison.volatile import VOLATILE
from proxy.fuzz.conversation import FuzzConversation
from proxy.fuzz.conversation_cases import learn_conversations
from proxy.fuzz.execution import Documents
from proxy.fuzz.requests import FuzzRequest, encode_body
from proxy.recordings.model import Recordings
from proxy.types import JSON

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_BODY: Final = 32 * 1024
"""Maximum size in bytes of a recorded body that is sent again; larger ones only cost time."""

_MAX_VALUES: Final = 500
_MAX_IDS: Final = 30
_PLAIN: Final[tuple[JSON, ...]] = (None, True, False, 0, 1, -1, 1.5, "", " ", "x", [], {}, [None], {"a": 1})
_UNCHANGED, _METHOD, _HEADER, _MEMBER, _REMOVAL = range(5)


@dataclass(frozen=True)
class Dictionary:
    """Contents of recordings: distinct requests, values of JSON members by name, stored documents, conversations."""

    requests: tuple[FuzzRequest, ...] = ()
    values: Mapping[str, Sequence[JSON]] = field(default_factory=dict)
    documents: tuple[Documents, ...] = ()
    conversations: tuple[FuzzConversation, ...] = ()

    @classmethod
    def learn(cls, recordings: Recordings) -> Dictionary:
        """Return the dictionary of recordings."""
        steps = [step.request for scenario in recordings.scenarios for step in scenario.steps]
        small = [request for request in steps if len(request.body or b"") <= MAX_BODY]
        requests = tuple(dict.fromkeys(FuzzRequest.of(request) for request in small))
        values: dict[str, list[JSON]] = {}
        for request in requests:
            _gather(_body_of(request), values)
        stores = [scenario.store for scenario in recordings.scenarios] + [one.before for one in recordings.scenarios]
        documents = tuple(store for store in stores if store)
        return cls(requests, values, documents, learn_conversations(recordings))

    def draw_request(self, draw: st.DrawFn) -> FuzzRequest:
        """Draw a recorded request, often with parts replaced."""
        request = self.requests[draw(st.integers(0, len(self.requests) - 1))]
        if _has_ids(request) and draw(st.booleans()):
            request = _with_new_ids(request, draw(st.integers(0, _MAX_IDS - 1)))
        change = draw(st.integers(_UNCHANGED, _REMOVAL))
        if change == _METHOD:
            return replace(request, method=draw(st.sampled_from(METHODS)))
        if change == _HEADER and request.headers:
            return request.with_header(draw(st.sampled_from([name for name, _ in request.headers])), None)
        return self._with_other_member(request, draw, change) if change in (_MEMBER, _REMOVAL) else request

    def _with_other_member(self, request: FuzzRequest, draw: st.DrawFn, change: int) -> FuzzRequest:
        body = _body_of(request)
        if not isinstance(body, dict) or not body:
            return request
        name = draw(st.sampled_from(sorted(body)))
        rest = {other: value for other, value in body.items() if other != name}
        changed = rest if change == _REMOVAL else {**rest, name: self._draw_value(draw, name)}
        return replace(request, body=encode_body(changed))

    def _draw_value(self, draw: st.DrawFn, name: str) -> JSON:
        """Draw a member's value: recorded under its name, under any, or plain."""
        pools = [self.values.get(name, ()), [one for values in self.values.values() for one in values], _PLAIN]
        pool = draw(st.sampled_from([pool for pool in pools if pool]))
        return pool[draw(st.integers(0, len(pool) - 1))]


def _has_ids(request: FuzzRequest) -> bool:
    return any(match.lastgroup == "id" for match in VOLATILE.finditer(f"{request.target} {request.body or ''}"))


def _with_new_ids(request: FuzzRequest, number: int) -> FuzzRequest:
    """Replace ids in target and body by placeholders with the ids as defaults."""
    body = None if request.body is None else _renumber(request.body, number)
    return replace(request, target=_renumber(request.target, number), body=body)


def _renumber(text: str, number: int) -> str:
    return VOLATILE.sub(
        lambda match: f"<id {number}|{match.group()}>" if match.lastgroup == "id" else match.group(), text
    )


def _body_of(request: FuzzRequest) -> JSON:
    try:
        parsed: JSON = json.loads((request.body or "").encode("latin-1"))
    except (ValueError, RecursionError):
        return None
    return parsed


def _gather(value: JSON, values: dict[str, list[JSON]]) -> None:
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        known = values.setdefault(name, [])
        if item not in known and len(known) < _MAX_VALUES:
            known.append(item)
        _gather(item, values)
