"""Fakes of outside services: real HTTP servers whose answers a test chooses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.upstreams import create_app
from proxy.recordings.model import http_files
from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_server import with_state

_RECORDINGS: Final = Path(__file__).parents[2] / "contracts" / "recordings"


@dataclass(frozen=True)
class Answer:
    """One answer: at once or when the test opens its `gate`, or never (`hang`), or cut in the middle (`cut`).

    `headers` come after the type and the length.
    """

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    gate: asyncio.Event | None = None
    hang: bool = False
    cut: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass
class Script:
    """An HTTP service with given answers in order, the last one repeated; it records the requests."""

    answers: Sequence[Answer]
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    active: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        answer = self._choose(body)
        self.bodies.append(body)
        self.paths.append(scope["raw_path"].decode() + "?" + scope["query_string"].decode())
        self.active += 1
        try:
            await self._give(answer, receive, send)
        finally:
            self.active -= 1

    def _choose(self, body: bytes) -> Answer:
        return self.answers[min(len(self.bodies), len(self.answers) - 1)]

    async def _give(self, answer: Answer, receive: Receive, send: Send) -> None:
        if answer.hang:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            return
        await (answer.gate.wait() if answer.gate else asyncio.sleep(0))
        length = len(answer.body) + (100 if answer.cut else 0)
        kind = [(b"content-type", answer.content_type.encode())] if answer.content_type else []
        headers = [*kind, (b"content-length", str(length).encode()), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": answer.cut})


class Choice(Script):
    """A script with other answers to bodies that contain certain words, none of which contains another."""

    def __init__(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        super().__init__(())
        self._answers = {word.encode(): list(sequence) for word, sequence in answers.items()}

    def times(self, word: str) -> int:
        """Return the number of requests whose body contains a word."""
        return sum(word.encode() in body for body in self.bodies)

    def _choose(self, body: bytes) -> Answer:
        word = next(word for word in self._answers if word in body)
        answers = self._answers[word]
        return answers[min(self.times(word.decode()), len(answers) - 1)]


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        body += chunk
        if not message.get("more_body", False):
            return body


@asynccontextmanager
async def lasting(app: ASGIApp) -> AsyncIterator[int]:
    """Serve a service whose idle connections outlast its clients'; yield the port.

    With the usual 5 s, which clients have as well, a client sends on a connection that is being closed.
    """
    timeouts = ListenerTimeouts(ClientTimeouts(keep_alive=HANG_TIMEOUT))
    async with serving(with_state(app, {STATE_KEY: timeouts}), lifespan="on") as port:
        yield port


@asynccontextmanager
async def outside(app: ASGIApp) -> AsyncIterator[str]:
    """Return the service's address, without a path."""
    async with lasting(app) as port:
        yield f"http://127.0.0.1:{port}"


@dataclass(frozen=True)
class Upstreams:
    """The offline OpenAI and NHS services with their calls, in the form of the recordings."""

    url: str
    app: Starlette

    @property
    def calls(self) -> list[dict[str, str | None]]:
        calls: list[dict[str, str | None]] = self.app.state.calls
        return calls


@asynccontextmanager
async def upstreams() -> AsyncIterator[Upstreams]:
    app = create_app()
    async with outside(app) as url:
        yield Upstreams(url, app)


def recorded(scenario: str) -> dict[str, Any]:
    """Return a recorded scenario as JSON."""
    entries: list[dict[str, Any]] = [item for file in http_files(_RECORDINGS) for item in json.loads(file.read_text())]
    return next(item for item in entries if item["scenario"] == scenario)


def recorded_calls(scenario: str) -> list[dict[str, str | None]]:
    """Return the outside calls of a recorded scenario."""
    calls: list[dict[str, str | None]] = recorded(scenario)["calls"]
    return calls
