"""The app of express_app.js in the native dialect, and raw requests to both."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from handlers.legacy.express import Application, Handler, HttpError, Reply, Request, Router, json
from handlers.legacy.express.bodies import json_parser
from handlers.legacy.express.cors import Cors
from handlers.legacy.javascript import UNDEFINED, Value
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT

HERE = Path(__file__).parent
ORIGINS = (
    "https://scribe-project-nextjs.vercel.app",
    "http://localhost:3000",
    "http://localhost:3001",
)
SERVERS_OWN = {"date", "connection", "keep-alive", "server", "transfer-encoding"}


def echo(name: str) -> Handler:
    async def answer(request: Request) -> Reply:
        shown: dict[str, Value] = {
            "name": name,
            "params": dict(request.params),
            "query": {key: value if isinstance(value, str) else list(value) for key, value in request.query.items()},
            "path": request.path,
            "url": request.target,
            "body": "no body" if request.body is UNDEFINED else request.body,
        }
        return json(200, shown)

    return answer


async def require_authorization(request: Request) -> Reply | None:
    return None if request.headers.get("authorization") else json(401, {"msg": "no"})


async def show_headers(request: Request) -> Reply:
    names = sorted(name.decode() for name in request.headers.raw if name not in (b"host", b"connection"))
    return json(200, {name: request.headers.get(name) for name in names})


async def show_status(request: Request) -> Reply:
    return json(int(request.params["code"]), {"code": request.params["code"]})


async def fail(request: Request) -> Reply:
    raise HttpError(int(request.params["code"]), "boom", ((b"retry-after", b"5"),))


async def take(request: Request) -> Reply:
    a, b = request.fields("a", "b")
    return json(200, {"a": a, "b": b})


async def welcome(_: Request) -> Reply:
    return json(200, {"msg": "welcome to the server"})


def things() -> Router:
    router = Router()
    router.get("/", echo("list"))
    router.post("/", echo("create"))
    router.get("/fixed", echo("fixed"))
    router.get("/:id", echo("one"))
    router.patch("/:id/add/:other", echo("add"))
    router.post("/:id/end", echo("end"))
    router.delete("/:id", echo("remove"))
    return router


def build() -> Application:
    router = Router()
    router.get("/", welcome)
    router.use("/", json_parser(2048))
    router.use("/echo", echo("echo"))
    router.use("/things", things())
    router.use("/api/things", require_authorization, things())
    router.get("/headers", show_headers)
    router.get("/status/:code", show_status)
    router.get("/fail/:code", fail)
    router.post("/take", take)
    cors = Cors(ORIGINS, "GET,POST,PUT,DELETE,PATCH,OPTIONS", "Content-Type,Authorization")
    return Application(router, cors)


def native() -> AbstractAsyncContextManager[int]:
    """Serve the native app behind the gateway's listener; yield the port."""
    return serving(build())


@contextlib.contextmanager
def real() -> Iterator[int]:
    """Run the real express under Node; yield the port."""
    process = subprocess.Popen(
        ["node", HERE / "express_app.js"],
        env={**os.environ, "NODE_ENV": "production"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass(frozen=True)
class Answer:
    """An answer without the headers that a server adds itself."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def request(method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None) -> bytes:
    """Return a raw request with `Connection: close`, and with `Content-Length` if it has a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None and not any(name.lower() == "transfer-encoding" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + (body or b"")


async def send(port: int, raw: bytes) -> Answer:
    """Send a raw request and read the complete answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(HANG_TIMEOUT):
            return parse(await reader.read())
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def parse(raw: bytes) -> Answer:
    """Parse an answer: chunks are joined, and an earlier `100 Continue` is removed."""
    raw = raw.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [(line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in lines]
    if ("transfer-encoding", "chunked") in pairs:
        body = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", body, re.DOTALL))
    retained = tuple(pair for pair in pairs if pair[0] not in SERVERS_OWN)
    return Answer(int(first.split(" ")[1]), retained, body)


async def differences(native: int, express: int, requests: Mapping[str, bytes]) -> dict[str, tuple[Answer, Answer]]:
    """Return both answers (native, express) to each named request that are different."""
    names = list(requests)
    limit = asyncio.Semaphore(8)

    async def both(name: str) -> tuple[Answer, Answer]:
        async with limit:
            return await send(native, requests[name]), await send(express, requests[name])

    answers = await asyncio.gather(*map(both, names))
    return {name: pair for name, pair in zip(names, answers, strict=True) if pair[0] != pair[1]}
