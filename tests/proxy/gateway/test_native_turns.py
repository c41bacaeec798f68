"""Requests of native take turns by client, so that one client's many requests do not delay another's."""

from __future__ import annotations

import asyncio
import time

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.config.loading import parse
from proxy.fair_queue import PASS_TIME
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot

CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
trusted_proxies: 10.0.0.1
bucketing: {key: header:x-caller, salt: test}
routes:
  - {name: new, match: GET /new, native: 100%}
"""


class SlowNative:
    """Takes longer than a pass may take for each request; records the clients in the order of their requests."""

    def __init__(self) -> None:
        self.clients: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work()
        self.clients.append(scope["client"][0])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


def work() -> None:
    time.sleep(1.5 * PASS_TIME)


def scope_of(peer: str, forwarded: str | None) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": "/new",
        "raw_path": b"/new",
        "query_string": b"",
        "headers": [(b"x-forwarded-for", forwarded.encode())] if forwarded else [],
        "client": (peer, 5000),
    }


async def unused_receive() -> Message:
    raise AssertionError("nothing is received")


async def ignore(message: Message) -> None:
    pass


@pytest.mark.parametrize(
    ("many", "one"),
    [(("10.0.0.2", None), ("10.0.0.3", None)), (("10.0.0.1", "192.0.2.2"), ("10.0.0.1", "192.0.2.3"))],
    ids=["peers", "clients behind a trusted proxy"],
)
async def test_client_of_many_requests_alternates_with_another(
    many: tuple[str, str | None], one: tuple[str, str | None]
) -> None:
    native = SlowNative()
    gateway = Gateway(RoutingSnapshot.of(parse(CONFIG, {}), native, native))
    async with asyncio.TaskGroup() as tasks:
        for client in (*[many] * 20, one):
            tasks.create_task(gateway(scope_of(*client), unused_receive, ignore))
    assert len(native.clients) == 21
    assert native.clients.index(one[1] or one[0]) == 2
