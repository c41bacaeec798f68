"""Measure the memory of each of 200 concurrent WebSocket recordings, in the demo's legacy and in native."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from websockets.asyncio.client import connect

from bench.contenders import ServerGroup, routing, server_group
from bench.native import GATEWAY, LEGACY, SERVER
from bench.processes import await_started, resident
from demo.mongod import mongodb
from demo.ports import free_port

RECORDINGS = 200
CHUNKS = 7
"""One chunk fewer than starts a transcription, so that all chunks stay in memory."""
CHUNK = base64.b64encode(bytes(range(256)) * 128).decode()


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory growth of a process and its children, in bytes per idle connection and per recording of 229 kB."""

    contender: str
    idle: float
    recording: float


def conversations() -> list[Footprint]:
    """Measure both backends, one after the other."""
    with mongodb() as url, server_group() as contenders:
        env = {
            "MONGODB_URL": url,
            "DATABASE_NAME": "bench",
            "JWT_SECRET_KEY": "bench-secret",
            "OPENAI_API_KEY": "sk-bench",
            "OPENAI_BASE_URL": "http://127.0.0.1:9",
            "NODE_ENV": "production",
        }
        return [_measure(LEGACY, *_legacy(contenders, env)), _measure(GATEWAY, *_native(contenders, env))]


def _legacy(contenders: ServerGroup, env: dict[str, str]) -> tuple[int, int]:
    port = free_port()
    child = contenders.start("legacy", ["node", SERVER], port, {**env, "PORT": str(port)})
    assert child.pid is not None
    return port, child.pid


def _native(contenders: ServerGroup, env: dict[str, str]) -> tuple[int, int]:
    config = routing(9, routes=1, native="handlers.app:app", share="100%")
    config += "  - {name: stream, match: WS /transcription-stream, native: 100%}\n"
    port, child = contenders.gateway(config, env)
    assert child.pid is not None
    return port, child.pid


def _measure(contender: str, port: int, pid: int) -> Footprint:
    await_started(pid)  # the native app imports the model's package after it is ready
    return asyncio.run(_converse(contender, port, lambda: resident(pid)))


async def _converse(contender: str, port: int, resident: Callable[[], int]) -> Footprint:
    async with AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{port}/transcription-stream"
        await stack.enter_async_context(connect(url))  # the first one allocates memory that all share
        before = resident()
        sockets = [await stack.enter_async_context(connect(url)) for _ in range(RECORDINGS)]
        await asyncio.sleep(1)
        idle = resident() - before
        for socket in sockets:
            await socket.send(json.dumps({"type": "start_recording", "consultationId": "C"}))
        for _ in range(CHUNKS):
            for socket in sockets:
                await socket.send(json.dumps({"type": "audio_chunk", "audioData": CHUNK}))
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        return Footprint(contender, idle / RECORDINGS, (resident() - before) / RECORDINGS)
