"""Bodies of any kind, handled as in the legacy; and many logins at once."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import bcrypt
import pytest
import pytest_asyncio

from proxy.types import JSON
from tests.differential.people import AMARA, PASSWORD
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import (
    BackendPair,
    RunningBackend,
    native_backend,
    post,
    read,
    replaces_hang_of_login,
)
from tests.support.clinic import DOCUMENTS, WRITES, assert_alike
from tests.support.profile import IS_QUICK

pytestmark = pytest.mark.asyncio(loop_scope="session")
VALUES: list[JSON] = [
    None,
    True,
    0,
    -1.5,
    "",
    "text",
    "nul\0",
    "\ud800",
    [],
    [[AMARA]],
    {},
    {"$gt": ""},
    {"toString": 1},
]


def bodies(sound: dict[str, JSON]) -> Iterator[JSON]:
    """Yield bodies with each field of each kind or missing, and bodies that are not objects."""
    for name in sound:
        yield {other: value for other, value in sound.items() if other != name}
        for value in VALUES:
            yield {**sound, name: value}
    yield from VALUES


@pytest.mark.parametrize(("method", "path"), WRITES, ids=lambda part: part.replace("0" * 18, ""))
async def test_bodies_of_any_kind_are_answered_alike(keeping: BackendPair, method: str, path: str) -> None:
    # The settings that retain the legacy's behaviour are on, so that declared differences do not occur.
    keeping.plant(DOCUMENTS)
    every = [post(path, body, FOREVER, method) for body in bodies(WRITES[method, path])]
    requests = every[::3] if IS_QUICK else every  # each field, and each kind in some field
    if path == "/users/login":  # hangs, which are not to be waited for one by one
        results = await asyncio.gather(
            *(keeping.send_native_first(request, replaces_hang_of_login) for request in requests)
        )
    else:
        results = [await keeping.send(request) for request in requests]
    for answers in results:
        assert_alike(answers)


async def test_registration_of_any_kind_is_answered(backends: BackendPair) -> None:
    # Native only: most of these end the legacy's process.
    sound: dict[str, JSON] = {"username": "b", "email": "b@x", "password": "p", "role": "patient"}
    for body in bodies(sound):
        answer = await backends.native.send(post("/users/register", body))
        page = not isinstance(body, dict | list)
        assert answer.status == 400 if page else answer.status in (200, 400, 401), (body, answer)
        assert answer.headers["content-type"].startswith("text/html" if page else "application/json")


@pytest_asyncio.fixture(loop_scope="session")
async def native_with_user(mongodb_url: str) -> AsyncIterator[RunningBackend]:
    async with native_backend(mongodb_url) as native:
        user = {**DOCUMENTS["users"][0], "password": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}
        native.database.users.insert_one(user)
        yield native


async def greet(native: RunningBackend, until: asyncio.Event) -> int:
    """Return how often `GET /` is answered on one connection, one after the other."""
    reader, writer = await asyncio.open_connection(native.origin.host, native.origin.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    greeted = 0
    while not until.is_set():
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"msg":"welcome to the server"}'))
        greeted += 1
        await asyncio.sleep(0.005)
    writer.close()
    return greeted


@pytest.mark.slow  # test_passwords.py: the event loop runs while many passwords are hashed
async def test_two_hundred_logins_do_not_delay_others(native_with_user: RunningBackend) -> None:
    over = asyncio.Event()
    greeting = asyncio.create_task(greet(native_with_user, over))
    logins = [post("/users/login", {"email": email, "password": PASSWORD}) for email in ("amara@x", "nobody@x")] * 100
    answers = await asyncio.gather(*map(native_with_user.send, logins))
    hashing = [thread for thread in threading.enumerate() if thread.name.startswith("bcrypt")]
    over.set()
    greeted = await greeting
    assert Counter("token" in read(answer) for answer in answers) == {True: 100, False: 100}
    assert 1 <= len(hashing) <= 3 * (os.cpu_count() or 1), "a pool for each native app that is open here"
    assert greeted > 20
