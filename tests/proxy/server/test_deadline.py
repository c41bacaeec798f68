"""Time limits of clients whose bytes wait unread, because the process was stopped or starved."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from proxy.gateway.client_address import TrustedProxies
from proxy.server.proxy_protocol import STATE_KEY, ProxyProtocolPolicy
from proxy.server.timeouts import ClientTimeouts
from tests.support.http_app import BODY, GET, LAST, OK, limit, with_timeouts
from tests.support.sockets import serving

LOOPS = {"uvloop": uvloop.new_event_loop}  # it runs its timers after some of the reads

LIMIT = 2.0
"""Seconds of the limit, and of the stop."""
UPLOAD = b"POST /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
HEADER = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"


async def answer_upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer once the body is complete."""
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    await send(dict(OK))
    await send(dict(BODY))


@contextmanager
def stop(send: Callable[[], object]) -> Iterator[None]:
    """Stop the loop while it handles the sockets that are ready; a client sends after it has asked which ones are."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()

    def block() -> None:
        loop.remove_reader(near)
        send()
        time.sleep(LIMIT + 0.5)

    with near, far:
        loop.add_reader(near, block)
        far.send(b"now")
        yield


@pytest.mark.parametrize(
    ("timeouts", "before", "after"),
    [
        (ClientTimeouts(keep_alive=LIMIT), GET, LAST),
        (ClientTimeouts(header=LIMIT), b"", LAST),
        (ClientTimeouts(header=LIMIT), LAST[:9], LAST[9:]),
        (ClientTimeouts(request=LIMIT), UPLOAD[:-2], UPLOAD[-2:]),
    ],
)
async def test_client_that_was_in_time_is_answered_after_a_stop(
    timeouts: ClientTimeouts, before: bytes, after: bytes
) -> None:
    app, _ = with_timeouts(answer_upload, timeouts)
    async with serving(app, lifespan="on") as port, limit():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(before)
        if before == GET:
            await reader.readuntil(b"\r\n\r\nok")
        else:
            await asyncio.sleep(0.2)
        client = writer.get_extra_info("socket").fileno()
        with stop(lambda: os.write(client, after)):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\nok")


async def test_proxy_header_that_was_in_time_is_read_after_a_stop() -> None:
    policy = ProxyProtocolPolicy(TrustedProxies(["127.0.0.1"]), header_timeout=LIMIT)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"][STATE_KEY] = policy
        await with_timeouts(answer_upload, ClientTimeouts())[0](scope, receive, send)

    async with serving(app, lifespan="on") as port, limit():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.2)
        client = writer.get_extra_info("socket").fileno()
        with stop(lambda: os.write(client, HEADER + LAST)):
            assert (await reader.read()).endswith(b"\r\n\r\nok")
        writer.close()
