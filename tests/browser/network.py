"""Record the exchanges between a browser and a service, and compare two such logs.

The log is Chromium's (DevTools protocol). It contains parts that a page cannot read: preflights, headers as sent, and a
304 whose page gets the cached copy.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from playwright.async_api import CDPSession, Page

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.headers import entity_tag
from proxy.comparison.modes import TRANSPORT_HEADERS
from proxy.comparison.verdicts import Difference
from proxy.recordings.comparing import compare_answers, compare_recorded_values
from proxy.types import JSON

_Event = dict[str, Any]

_TRANSCRIBED = re.compile(r"heard \d+k")
_TRANSCRIBED_IN_PARTS = re.compile(r"heard #k partial(?: heard #k partial)+")
_REQUEST_HEADERS = (
    "origin",
    "authorization",
    "content-type",
    "access-control-request-method",
    "access-control-request-headers",
)
_OF_THE_HANDSHAKE = TRANSPORT_HEADERS | {"sec-websocket-accept", "upgrade"}


@dataclass(frozen=True)
class Exchange:
    """One request of the page and its answer, with its `preflight` if the browser sent one."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: JSON
    answer: DecodedAnswer
    preflight: DecodedAnswer | None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def sides(self) -> set[str]:
        """Return the backends that the answers name."""
        answers = [self.answer, *([self.preflight] if self.preflight else [])]
        return {answer.headers.get("x-served-by", "") for answer in answers}


@dataclass
class Conversation:
    """One WebSocket: the handshake's answer, and the frames in both directions."""

    target: str
    handshake: DecodedAnswer = field(default_factory=lambda: DecodedAnswer("hang"))
    sent: list[JSON] = field(default_factory=list)
    received: list[JSON] = field(default_factory=list)


@dataclass(frozen=True)
class Log:
    """All exchanges between a page and one service; `at` is the time in ms since the epoch."""

    exchanges: tuple[Exchange, ...]
    conversations: tuple[Conversation, ...]
    at: int

    @property
    def targets(self) -> list[str]:
        requests = [f"{exchange.method} {exchange.target}" for exchange in self.exchanges]
        return requests + [f"WS {conversation.target}" for conversation in self.conversations]


def compare_logs(one: Log, other: Log, names: Correspondence) -> list[str]:
    """Return the differences of two logs, with ids, dates and tokens replaced by names."""
    if len(one.exchanges) != len(other.exchanges) or len(one.conversations) != len(other.conversations):
        return [f"other requests: {one.targets} and {other.targets}"]
    differences: list[str] = []
    for first, second in zip(one.exchanges, other.exchanges, strict=True):
        names.step += 1
        differences += [f"{first.method} {first.target}: {text}" for text in _compare(first, second, names)]
    for conversation, repeated in zip(one.conversations, other.conversations, strict=True):
        compared = _compare_conversations(conversation, repeated, names)
        differences += [f"WS {conversation.target}: {text}" for text in compared]
    return differences


def _compare(first: Exchange, second: Exchange, names: Correspondence) -> list[Difference]:
    one, other = (cast(JSON, {"method": it.method, "asked": {**it.headers}, "body": it.body}) for it in (first, second))
    differences = compare_recorded_values(first.target, second.target, names, "target")
    differences += compare_recorded_values(one, other, names, "request")
    if first.preflight and second.preflight:
        differences += compare_answers(first.preflight, second.preflight, names)
    elif first.preflight is not second.preflight:
        differences += compare_recorded_values(str(first.preflight), str(second.preflight), names, "preflight")
    return differences + compare_answers(first.answer, second.answer, names)


def _compare_conversations(first: Conversation, second: Conversation, names: Correspondence) -> list[Difference]:
    differences = compare_recorded_values(first.target, second.target, names, "target")
    differences += compare_answers(first.handshake, second.handshake, names, ignored=_OF_THE_HANDSHAKE)
    differences += compare_recorded_values(_condense(first.sent), _condense(second.sent), names, "sent")
    return differences + compare_recorded_values(
        _condense(first.received), _condense(second.received), names, "received"
    )


def _condense(frames: Sequence[JSON]) -> JSON:
    """Replace a run of audio frames, or of partial texts, by one: the number of a microphone's frames varies."""
    condensed: list[JSON] = []
    for frame in map(_without_audio, frames):
        if not (condensed and _run(frame) and _run(frame) == _run(condensed[-1])):
            condensed.append(frame)
    return condensed


def _without_audio(frame: JSON) -> JSON:
    if not isinstance(frame, dict) or "audioData" not in frame:
        return frame
    audio = base64.b64decode(str(frame["audioData"]), validate=True)
    return {**frame, "audioData": "some audio" if audio else "no audio"}


def _run(frame: JSON) -> str:
    """Return the key of frames whose number may differ; empty if each frame counts."""
    if not isinstance(frame, dict):
        return ""
    return "audio" if "audioData" in frame else "partial" if frame.get("isPartial") is True else ""


def settle(text: str) -> str:
    """Return `text` without the amount of audio and the number of parts, which the offline transcription states."""
    return _TRANSCRIBED_IN_PARTS.sub("heard #k partial", _TRANSCRIBED.sub("heard #k", text))


class Recording:
    """A listener on the network log of a page; `finish` returns the exchanges with one origin."""

    def __init__(self, session: CDPSession) -> None:
        self._session = session
        self._requests: dict[str, _Event] = {}
        self._answers: dict[str, _Event] = {}
        self._on_the_wire: dict[str, _Event] = {}
        self._request_headers: dict[str, _Event] = {}
        self._sockets: dict[str, Conversation] = {}
        for name, events in {
            "requestWillBeSent": self._requests,
            "requestWillBeSentExtraInfo": self._request_headers,
            "responseReceived": self._answers,
            "responseReceivedExtraInfo": self._on_the_wire,
        }.items():
            session.on(f"Network.{name}", partial(_store, events))
        session.on("Network.webSocketCreated", self._open)
        session.on("Network.webSocketHandshakeResponseReceived", self._shake)
        session.on("Network.webSocketFrameSent", lambda event: self._socket(event).sent.append(_frame(event)))
        session.on("Network.webSocketFrameReceived", lambda event: self._socket(event).received.append(_frame(event)))

    @classmethod
    async def begin(cls, page: Page) -> Recording:
        session = await page.context.new_cdp_session(page)
        recording = cls(session)
        await session.send("Network.enable")
        return recording

    async def finish(self, origin: str) -> Log:
        selected = [event for event in self._requests.values() if event["request"]["url"].startswith(f"{origin}/")]
        preflights = {event["initiator"]["requestId"]: event for event in selected if _is_preflight(event)}
        sent = sorted((event for event in selected if not _is_preflight(event)), key=_sort_key)
        urls: set[str] = set()
        exchanges = [await self._exchange(event, preflights, urls) for event in sent]
        return Log(tuple(exchanges), tuple(self._sockets.values()), int(time.time() * 1000))

    async def _exchange(self, event: _Event, preflights: Mapping[str, _Event], urls: set[str]) -> Exchange:
        """Return a request with its answer and preflight.

        A browser caches a preflight for five seconds, so only the first one for each URL counts.
        """
        request = event["request"]
        preflight = None if request["url"] in urls else preflights.get(event["requestId"])
        urls.add(request["url"])
        headers = {name.lower(): value for name, value in self._request_headers[event["requestId"]]["headers"].items()}
        return Exchange(
            method=request["method"],
            target=_target(request["url"]),
            headers={name: headers[name] for name in _REQUEST_HEADERS if name in headers},
            body=json.loads(settle(request["postData"])) if request.get("hasPostData") else None,
            answer=await self._answer(event["requestId"], with_body=True),
            preflight=await self._answer(preflight["requestId"], with_body=False) if preflight else None,
        )

    async def _answer(self, request: str, *, with_body: bool) -> DecodedAnswer:
        if request not in self._answers:
            return DecodedAnswer("reset")
        wire = self._on_the_wire[request]
        body = await self._body(request) if with_body else b""
        headers = {name.lower(): value for name, value in wire["headers"].items()}
        settled = settle(body.decode()).encode()
        if settled != body and headers.get("etag") == entity_tag(body):
            headers["etag"] = entity_tag(settled)
        return DecodedAnswer("response", wire["statusCode"], headers, settled)

    async def _body(self, request: str) -> bytes:
        response = await self._session.send("Network.getResponseBody", {"requestId": request})
        return base64.b64decode(response["body"]) if response["base64Encoded"] else response["body"].encode()

    def _open(self, event: _Event) -> None:
        self._sockets[event["requestId"]] = Conversation(_target(event["url"]))

    def _shake(self, event: _Event) -> None:
        response = event["response"]
        headers = {name.lower(): value for name, value in response["headers"].items()}
        self._socket(event).handshake = DecodedAnswer("response", response["status"], headers)

    def _socket(self, event: _Event) -> Conversation:
        return self._sockets[event["requestId"]]


def _store(events: dict[str, _Event], event: _Event) -> None:
    events.setdefault(event["requestId"], event)


def _frame(event: _Event) -> JSON:
    parsed: JSON = json.loads(settle(event["response"]["payloadData"]))
    return parsed


def _is_preflight(event: _Event) -> bool:
    return bool(event["initiator"]["type"] == "preflight")


def _sort_key(event: _Event) -> tuple[int, ...]:
    """Return a sort key: requests in the order in which the page makes them, not in that of the log."""
    return tuple(int(part) for part in event["requestId"].split("."))


def _target(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")
