"""The demo's outside services, which answer oddly if a request names an odd answer (`odd-answer-7.`).

A text of a request to a backend thereby decides what the model or the terminology server answers to either backend.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.types import JSON

_NAME: Final = re.compile(rb"odd-(answer|codes)-(\d+)\.")
_CODING: Final = b"SNOMED"


@dataclass(frozen=True)
class OddAnswer:
    """An answer of an outside service. `missing` bytes are announced, and never come."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    missing: int = 0

    async def give(self, send: Send) -> None:
        """Send the answer. No client repeats a request for it, since the two clients repeat requests differently."""
        length = str(len(self.body) + self.missing)
        kind = (("content-type", self.content_type),) if self.content_type else ()
        headers = (*kind, ("content-length", length), ("x-should-retry", "false"), *self.headers)
        if self.status in (204, 304):
            headers = headers[:-1]
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": self.status, "headers": encoded})
        await send({"type": "http.response.body", "body": self.body, "more_body": bool(self.missing)})


def _json(value: JSON, status: int = 200, content_type: str = "application/json") -> OddAnswer:
    return OddAnswer(json.dumps(value).encode(), status, content_type)


def _content(value: JSON) -> JSON:
    return {"choices": [{"message": {"content": value}}]}


def _expanded(value: JSON) -> JSON:
    return {"expansion": {"contains": value}}


_TEXT: Final = json.dumps(_content("A plain answer.")).encode()
_CONTENTS: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1.5, 1e21, "", " ", "\x1c x \ufeff", "\ud800", "[]", "null", "{", "[1,]", "1e400"),
    *(
        [],
        ["a"],
        [5],
        [["[1]"]],
        [None],
        [True],
        {},
        {"a": {}},
        {"trim": 1},
        {"length": 1},
        "x" * 100_000,
        '"text"',
        '[{"term":1}]',
    ),
    '{"__proto__":1,"2":1,"1":2}',
)
_STATUSES: Final = (
    *(201, 202, 203, 205, 206, 299, 300, 304, 305, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 418, 422, 429),
    *(500, 501, 502, 503, 504, 507, 529, 599),
)
_ERRORS: Final[tuple[Any, ...]] = (
    *({"error": {"message": "m", "type": "t"}}, {"error": {"message": ""}}, {"error": {"message": 5}}, {"error": {}}),
    *({"error": {"message": {"a": [1]}}}, {"error": {"message": None, "type": None}}, {"error": "text"}, {"error": 0}),
    *({"error": {"type": {"a": 1}, "message": "m\nn"}}, {"error": []}, {"error": None}, {"message": "m"}),
    *({}, [], "text", 5),
)
_FORMS: Final[tuple[Any, ...]] = (
    *(None, 5, "text", [], {}, {"choices": None}, {"choices": []}, {"choices": [None]}, {"choices": "text"}),
    *({"choices": {"0": {"message": {"content": "by name"}}}}, {"choices": [{}]}, {"choices": [{"message": None}]}),
    *({"choices": [{"message": "text"}]}, {"choices": [{"message": []}]}, {"choices": [{"message": {}}]}),
    *([{"message": {"content": "x"}}], {"choices": [5]}, {"choices": [[]]}, {"error": {"message": "m"}}),
    *({"expansion": None}, {"expansion": []}, {"expansion": "text"}, {"contains": []}),
)
_CONCEPTS: Final[tuple[Any, ...]] = (
    *([], [None], [{}], [5], ["text"], [[]], [{"display": None, "code": 5, "system": {"a": {}}}], {}, "text", 5, None),
    *([{"display": "d", "code": "c", "system": "s", "extra": 1}, None], [{}, {"code": "2"}], [{"code": ["x"]}], [True]),
    *([{"display": "\ud800 \u2028", "code": -0.0, "system": 1e21}], [{"contains": [{"code": "nested"}]}]),
)
_BODIES: Final = (
    *(b"", b" ", b"{", _TEXT[:-3], b"\xef\xbb\xbf" + _TEXT, b"<html>", b"\xff\xfe", b"nul\0", b"undefined", b"{}x"),
    *(_TEXT[:-1] + b',"n":%b}' % number for number in (b"NaN", b"-Infinity", b"1" * 5000)),
)
_EDGES: Final = ("\ufeff", "\xa0", "\u2028", "\x1c", "\x85", "\u200b")
"""White space of JavaScript or of Python alone, or of both, at the edges of a transcription."""
_TYPES: Final = (
    *("", "text/plain", "text/html; charset=utf-8", "application/problem+json", "APPLICATION/JSON", "*/*", "x"),
    *("application/json; charset=utf-16", "application/json;charset=latin1", "application/fhir+json"),
    "application/jsonx",
)

ODD_ANSWERS: Final[tuple[OddAnswer, ...]] = (
    *(_json(_content(each)) for each in _CONTENTS),
    *map(_json, _FORMS),
    *(_json(_expanded(each)) for each in _CONCEPTS),
    *(OddAnswer(body, content_type=kind) for body in _BODIES for kind in ("application/json", "text/plain")),
    *(OddAnswer(_TEXT, content_type=kind) for kind in _TYPES),
    *(OddAnswer(_TEXT, status) for status in _STATUSES),
    *(_json(error, 400) for error in _ERRORS),
    *(_json(error, 500, "text/plain") for error in _ERRORS[:4]),
    *(OddAnswer(body, 503, kind) for body in _BODIES for kind in ("application/json", "text/html")),
    *(OddAnswer(_TEXT, status, missing=missing) for status in (200, 400) for missing in (1, 1000)),
    OddAnswer(gzip.compress(_TEXT), headers=(("content-encoding", "gzip"),)),
    OddAnswer(_TEXT, headers=(("content-encoding", "unknown"),)),
    *(OddAnswer(f"{edge}{edge}spoken{edge}".encode(), content_type="text/plain") for edge in _EDGES),
    OddAnswer(status=204),
    OddAnswer(status=301),
    OddAnswer(status=302, headers=(("location", "/elsewhere"),)),
)


def name_of(number: int, *, of_codes: bool = False) -> str:
    """Return the text that names an odd answer; `of_codes`: the model's to the coding instruction, and no other."""
    return f"odd-{'codes' if of_codes else 'answer'}-{number}."


class OddServices:
    """The outside services `services`, whose list of calls has the requests with odd answers too.

    Requests whose answer breaks off count once, if they come in a row: one of the backends repeats them.
    """

    def __init__(self, services: ASGIApp) -> None:
        self._services = services
        self._broken_off: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._services(scope, receive, send)
            return
        body = await _read(receive)
        answer = _named_in(scope, body)
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def repeat() -> Message:
            return messages.pop(0) if messages else await receive()

        async def discard(_: Message) -> None:
            return

        is_repeated = self._broken_off == body
        self._broken_off = body if answer is not None and answer.missing else None
        if not is_repeated:
            await self._services(scope, repeat, send if answer is None else discard)
        if answer is not None:
            await answer.give(send)


def _named_in(scope: Scope, body: bytes) -> OddAnswer | None:
    match = _NAME.search(body + scope["query_string"])
    if match is None or (match[1] == b"codes" and _CODING not in body):
        return None
    return ODD_ANSWERS[int(match[2]) % len(ODD_ANSWERS)]


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
