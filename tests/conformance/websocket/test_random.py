"""Random frames, split anywhere: the client and Node observe the same with and without the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.websocket.case import Case, Deflater, close, reserved
from tests.conformance.websocket.echo import EchoServer, echo_server, gateway_before, native_echo
from tests.conformance.websocket.play import Observation, play
from tests.conformance.websocket.random_case import random_case
from tests.support.profile import examples
from tests.support.random_seed import seed_of
from tests.support.sockets import serving
from tests.support.websocket_client import frame

MAX_PIECES = 2000
"""Pieces of a conversation, each of which costs a write: one with a long message goes in larger ones than drawn."""


class Servers(NamedTuple):
    """The event loop, the echo servers on it, and the ports of a gateway in front of them and of a native app."""

    runner: asyncio.Runner
    echo: EchoServer
    gateway: int
    native: int

    def play(self, case: Case, pieces: tuple[int, ...], *, direct: bool) -> Observation:
        port = self.echo.port if direct else self.gateway
        return self.runner.run(play(case, port, self.echo, pieces))


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def start() -> Servers:
            echo = await stack.enter_async_context(echo_server())
            gateway = await stack.enter_async_context(gateway_before(echo.port))
            return Servers(runner, echo, gateway, await stack.enter_async_context(serving(native_echo)))

        yield runner.run(start())
        runner.run(stack.aclose())


payloads = st.binary(max_size=40) | st.sampled_from((b"x" * 126, "é".encode() * 400, b"y" * 70_000))
texts = st.text(max_size=20).map(str.encode)


@st.composite
def messages(draw: st.DrawFn, deflater: Deflater | None) -> list[bytes]:
    """Draw a valid message: whole or in fragments, compressed if that is negotiated, with pings between."""
    opcode = draw(st.sampled_from((1, 2)))
    data = draw(texts if opcode == 1 else payloads)
    parts = draw(st.integers(1, 4))
    if deflater is not None and draw(st.booleans()):
        frames = list(deflater.message(opcode, data, parts=parts))
    else:
        step = max(1, -(-len(data) // parts))
        pieces = [data[at : at + step] for at in range(0, len(data), step)] or [b""]
        frames = [frame(opcode if not at else 0, piece, fin=at == len(pieces) - 1) for at, piece in enumerate(pieces)]
    for _ in range(draw(st.integers(0, 2))):
        frames.insert(draw(st.integers(0, len(frames))), frame(draw(st.sampled_from((9, 10))), draw(texts)[:125]))
    return frames


@st.composite
def odd_frames(draw: st.DrawFn) -> list[bytes]:
    """Draw a frame of any kind, most often one that violates the protocol."""
    part = frame(draw(st.integers(0, 15)), draw(payloads), fin=draw(st.booleans()), masked=draw(st.integers(0, 9)) > 0)
    return [reserved(part, draw(st.sampled_from((0, 0, 1, 4))))]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a conversation.

    A compressed one ends with a close frame: without one, the output of `ws` at the end depends on the progress of its
    compression.
    """
    deflater = Deflater() if draw(st.booleans()) else None
    parts = [part for _ in range(draw(st.integers(0, 5))) for part in draw(messages(deflater))]
    if draw(st.integers(0, 3)) == 0:
        parts += draw(odd_frames())
    ending = draw(st.sampled_from(("close", "code") if deflater else ("close", "code", "half", "cut")))
    if ending == "code":
        parts.append(close(draw(st.sampled_from((1000, 1001, 1005, 3000, 4999))), draw(texts)[:123]))
    elif ending == "cut" and parts:
        parts[-1] = parts[-1][: draw(st.integers(0, len(parts[-1])))]
    return Case(
        "random",
        "random",
        tuple(part for part in parts if part),
        "/deflate" if deflater else "/plain",
        ("Sec-WebSocket-Extensions: permessage-deflate",) if deflater else (),
        end="close" if ending == "close" else "peer" if ending == "code" else "half",
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cases(), st.lists(st.sampled_from((1, 2, 3, 7, 50, 1000, 5000, 100_000)), min_size=1, max_size=4))
def test_random_frames_are_observed_alike(servers: Servers, case: Case, pieces: list[int]) -> None:
    direct = servers.play(case, (1 << 20,), direct=True)
    assert direct.ending != "timeout"
    least = sum(map(len, case.stream)) // MAX_PIECES
    assert servers.play(case, tuple(max(piece, least) for piece in pieces), direct=False) == direct


@pytest.mark.seeded
def test_odd_frames_and_offers_are_observed_alike_everywhere(servers: Servers) -> None:
    for seed in range(seed_of(0), seed_of(examples(100))):
        case, pieces = random_case(Random(seed))
        direct = servers.play(case, pieces, direct=True)
        assert direct.ending != "timeout", seed
        assert servers.play(case, pieces, direct=False) == direct, seed
        native = servers.runner.run(play(case, servers.native, None, pieces))
        assert native == replace(direct, peer=None), seed
