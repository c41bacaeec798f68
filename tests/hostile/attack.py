"""Play hostile requests to a native app behind a gateway, and measure how long each holds the event loop."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.config.loading import parse
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from tests.hostile.bodies import hostile_bodies
from tests.hostile.frames import HostileFrames, hostile_frames
from tests.hostile.heads import hostile_heads
from tests.hostile.loop_watch import LoopWatch, slowness
from tests.hostile.person import Person
from tests.hostile.pipelines import wrong_neighbours
from tests.hostile.request import HostileRequest
from tests.support.profile import spread
from tests.support.random_seed import seed_of
from tests.support.websocket_client import frame, handshake, raw_client

MAX_ATTEMPTS: Final = 6
"""How often a request that holds the loop is sent."""


def behind_gateway(app: ASGIApp) -> ASGIApp:
    """Return the app behind a gateway that buckets callers by token, cookie and header."""
    gateway = Gateway(RoutingSnapshot.of(parse(ROUTING, {}), app, app))

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["type"] == "lifespan" else gateway)(scope, receive, send)

    return respond


ROUTING: Final = """
legacy: {url: http://127.0.0.1:9}
native: tests.nowhere:app
bucketing: {key: [jwt:userID, cookie:session, header:x-caller]}
limits: {per_client: 10000}
routes:
  - {name: reads, match: "GET /*", native: 100%, guard: {}}
  - {name: notes, match: "* /api/notes/{id}", native: 100%, guard: {}}
  - {name: all, match: "* /*", native: 100%}
  - {name: streams, match: WS /*, native: 100%}
"""


@dataclass(frozen=True)
class Lag:
    """The longest time that one request held the loop, and the status and bytes of its answer.

    `seconds`: CPU time; that of an idle machine for a suspect request.
    """

    request: str
    seconds: float
    culprit: str
    status: str
    size: int = 0


class Attack:
    """Sends requests and frames to one server, and takes the loop's longest callback of each from `watch`.

    A request that holds the loop longer than `suspect` (seconds) is sent again, and the shortest time counts: garbage
    collections and the load of the machine lengthen some of the attempts, the cost of the request lengthens all. A
    machine that is slow now lengthens all as well, by a factor that is measured beside them.
    """

    def __init__(self, url: str, watch: LoopWatch, person: Person, suspect: float = math.inf) -> None:
        self._url = url
        self._watch = watch
        self._person = person
        self._suspect = suspect
        self.lags: list[Lag] = []

    async def run(self, size: int, seeds: Sequence[int] = (0,)) -> None:
        """Play one round for each seed, with bodies of at most `size` bytes, and every hostile head."""
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=120) as client:
            rounds = (hostile_bodies(self._person, size, seed) for seed in seeds)
            for request in itertools.chain(hostile_heads(self._person), *rounds):
                self.lags.append(await self._shortest(partial(self._send_request, client, request)))
        for seed in seeds:
            for frames in hostile_frames(self._person, size, seed):
                self.lags.append(await self._shortest(partial(self._send_frames, frames)))

    async def wrong_neighbours(self, size: int) -> list[str]:
        """Return the requests of one round whose neighbours in a pipeline are answered wrongly; a sixth if quick."""
        requests = [*hostile_heads(self._person), *hostile_bodies(self._person, size, seed_of(0))]
        return await wrong_neighbours(self._port, spread(requests, 0, 6))

    async def _shortest(self, send: Callable[[], Awaitable[Lag]]) -> Lag:
        """Return the shortest lag of what is sent, of as many attempts as are suspect."""
        shortest = await self._lag_when_idle(send)
        for _ in range(MAX_ATTEMPTS - 1):
            if shortest.seconds <= self._suspect:
                break
            shortest = min(shortest, await self._lag_when_idle(send), key=lambda lag: lag.seconds)
        return shortest

    async def _lag_when_idle(self, send: Callable[[], Awaitable[Lag]]) -> Lag:
        lag = await send()
        return lag if lag.seconds <= self._suspect else replace(lag, seconds=lag.seconds / slowness())

    @property
    def _port(self) -> int:
        port = urlsplit(self._url).port
        assert port is not None
        return port

    async def _send_request(self, client: httpx.AsyncClient, request: HostileRequest) -> Lag:
        self._watch.reset()
        size = 0
        try:
            response = await client.request(
                request.method, self._url + request.path, headers=request.headers, content=request.content
            )
            status, size = str(response.status_code), len(response.content)
        except httpx.TransportError as error:
            status = type(error).__name__
        return self._lag(str(request), status, size)

    async def _send_frames(self, frames: HostileFrames) -> Lag:
        async with raw_client(self._port, handshake(frames.target)) as socket:
            await socket.read_frame()
            socket.writer.write(frame(1, b'{"type":"start_recording","consultationId":"0123456789abcdef01234567"}'))
            await socket.read_frame()
            self._watch.reset()
            socket.writer.write(frames.content + frame(1, b'"done'))
            status = "closed"
            try:
                async with asyncio.timeout(30):
                    while b"Invalid message format" not in (received := await socket.read_frame())[1]:
                        status = str(received[0])
                    await socket.writer.drain()
            except TimeoutError:
                status = "timeout"
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            return self._lag(str(frames), status)

    def _lag(self, request: str, status: str, size: int = 0) -> Lag:
        return Lag(request, self._watch.seconds, self._watch.culprit, status, size)

    def worst(self, number: int) -> list[Lag]:
        """Return those that held the loop longest."""
        return sorted(self.lags, key=lambda lag: -lag.seconds)[:number]

    def longest_refusals(self, number: int) -> list[Lag]:
        """Return those with the longest answers of status 4xx or 5xx."""
        refused = [lag for lag in self.lags if lag.status[:1] in "45"]
        return sorted(refused, key=lambda lag: -lag.size)[:number]
