"""A legacy on Node's real `ws` that reports its events; its clients' commands make it misbehave."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.waiting import HANG_TIMEOUT

_numbers = itertools.count()

HOME = Path(__file__).parents[2] / "demo" / "legacy"

SERVER = """
const http = require('node:http')
const { WebSocketServer } = require('ws')
const tell = (event) => process.stdout.write(JSON.stringify(event) + '\\n')
const server = http.createServer((request, response) => {
  response.writeHead(404, { 'X-Powered-By': 'Express' })
  response.end('Cannot GET ' + request.url)
})
const sockets = new WebSocketServer({ server, path: '/transcription-stream' })
const obey = {
  close: (socket, code, reason) => socket.close(code, reason),
  end: (socket) => socket.close(),
  terminate: (socket) => socket.terminate(),
  rude: (socket) => socket._socket.write(Buffer.from([0x83, 0x00])),
  fragments: (socket, ...parts) => parts.forEach((part, i) => socket.send(part, { fin: i === parts.length - 1 })),
  flood: async (socket, count, size) => {
    const data = Buffer.alloc(size)
    for (let i = 0; i < count; i++) {
      data.writeUInt32BE(i)
      await new Promise((resolve) => socket.send(Buffer.from(data), resolve))
    }
  },
  pause: (socket, ms) => { socket.pause(); setTimeout(() => socket.resume(), ms) },
  count: (socket) => { socket.counting = 0 },
  counted: (socket) => { socket.send(String(socket.counting)); socket.counting = undefined },
}
sockets.on('connection', (socket, request) => {
  const url = request.url
  tell({ event: 'open', url, headers: request.rawHeaders, protocol: socket.protocol })
  socket.on('close', (code, reason) => tell({ event: 'close', url, code, reason: reason.toString() }))
  socket.on('error', (error) => tell({ event: 'error', url, message: error.message }))
  socket.on('ping', () => tell({ event: 'ping', url }))
  socket.on('message', (data, binary) => {
    const command = binary ? null : data.toString()
    if (command?.startsWith('!')) {
      const [name, ...rest] = JSON.parse(command.slice(1))
      obey[name](socket, ...rest)
    } else if (socket.counting !== undefined) {
      socket.counting += data.length
    } else {
      socket.send(data, { binary })
    }
  })
})
server.listen(0, '127.0.0.1', () => tell({ port: server.address().port }))
"""


def new_target() -> str:
    """Return a target that only one connection of the test run requests."""
    return f"/transcription-stream?number={next(_numbers)}"


class Legacy:
    """The running server: its `port`, and its events."""

    def __init__(self, process: asyncio.subprocess.Process, output: asyncio.StreamReader, port: int) -> None:
        self.port = port
        self.gateway = 0
        """The port of a gateway in front of it, if a test has started one."""
        self._process, self._output = process, output
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listen(self) -> None:
        """Read its events, because the server stops when its output is full."""
        async for line in self._output:
            self._events.put_nowait(json.loads(line))

    async def event(self, kind: str, target: str, seconds: float = HANG_TIMEOUT) -> dict[str, Any]:
        """Return the next event of a kind on the connection for `target`; events of other connections are dropped."""
        async with asyncio.timeout(seconds):
            while True:
                event = await self._events.get()
                if (event["event"], event["url"]) == (kind, target):
                    return event

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)


@asynccontextmanager
async def legacy_server() -> AsyncIterator[Legacy]:
    process = await asyncio.create_subprocess_exec(
        "node", "-e", SERVER, cwd=HOME, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    output = process.stdout
    assert output is not None
    legacy = Legacy(process, output, json.loads(await output.readline())["port"])
    listening = asyncio.create_task(legacy.listen())
    try:
        yield legacy
    finally:
        if process.returncode is None:
            process.kill()
        await listening
        await process.wait()
