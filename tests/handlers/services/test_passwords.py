"""Passwords against node's bcrypt: hashes and verdicts are the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.services.passwords import Passwords, encode
from handlers.services.users import Users
from handlers.storage.store import Store
from tests.support.library_oracle import Libraries
from tests.support.profile import examples

SALT = "$2b$04$abcdefghijklmnopqrstuu"


@pytest.fixture(scope="module")
def node() -> Iterator[Libraries]:
    with Libraries() as libraries:
        yield libraries


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(ThreadPoolExecutor(2), cost=4)
    yield made
    made.close()


ODD = [
    "",
    "p",
    "a\0b",
    "\0",
    "a" * 71 + "é",
    "a" * 72,
    "a" * 73,
    "a" * 300,
    "é" * 50,
    "😀" * 30,
    "a\ud800b",
    "\udc00",
    "\ud83d\ude00",
]


@pytest.mark.parametrize("password", ODD)
async def test_hashes_equal_nodes(node: Libraries, passwords: Passwords, password: str) -> None:
    hashed = node.call("hash", password, SALT)
    assert await passwords.matches(password, hashed)
    assert await passwords.matches(password, node.call("hash", password, SALT.replace("2b", "2a")))
    assert not await passwords.matches(password + "x", hashed) or len(encode(password)) == 72
    assert node.call("compare", password, await passwords.hash(password))


@settings(max_examples=examples(60), deadline=None)
@given(password=st.text(st.characters(codec=None), max_size=30))
def test_password_bytes_equal_nodes(node: Libraries, password: str) -> None:
    assert bcrypt.hashpw(encode(password), SALT.encode()).decode() == node.call("hash", password, SALT)


HASH = "$2b$04$abcdefghijklmnopqrstuuo18IGPhAd/HzW4M2PTaBFRFTK9llj.O"


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "plain",
        HASH,
        HASH + "x",
        HASH + "\n",
        HASH + "\0",
        HASH + "\0x",
        HASH[:-1] + "\0",
        HASH[:-1],
        HASH.replace("$04", "$03"),
        HASH.replace("$04", "$32"),
        HASH.replace("$04", "$xx"),
        HASH.replace("2b", "2y"),
        HASH.replace("2b", "2x"),
        HASH.replace("2b", "2a"),
        HASH.replace("$2b$", "$3b$"),
        HASH.replace("a", "é", 1),
    ],
)
async def test_hashes_verify_as_in_node(node: Libraries, passwords: Passwords, hashed: str) -> None:
    for password in ("ab\0cd", "x"):
        assert await passwords.matches(password, hashed) == node.call("compare", password, hashed)


async def test_writes_hashes_of_cost_eight() -> None:
    passwords = Passwords()
    try:
        assert (await passwords.hash("p")).startswith("$2b$08$")
    finally:
        passwords.close()


class CountingPool(ThreadPoolExecutor):
    """Records the algorithm and cost of each hash."""

    def __init__(self) -> None:
        super().__init__(1)
        self.hashed: list[bytes] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.hashed.append(args[1][:7])
        return super().submit(work, *args, **kwargs)


@pytest.mark.parametrize("hashed", [HASH.replace("$04", "$08"), None], ids=["wrong password", "unknown account"])
async def test_refused_login_computes_one_hash_of_cost_eight(hashed: str | None) -> None:
    pool = CountingPool()
    passwords, store = Passwords(pool), Store("mongodb://127.0.0.1:1", "unused")
    try:
        assert not await Users(store.users, passwords).verify_password("wrong", hashed)
    finally:
        passwords.close()
        await store.close()
    assert pool.hashed == [b"$2b$08$"]


async def test_hashing_does_not_block_the_event_loop() -> None:
    passwords = Passwords()
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    watching = asyncio.create_task(watch())
    try:
        await asyncio.gather(*(passwords.dummy_verify("x") for _ in range(60)))
    finally:
        watching.cancel()
        passwords.close()
    assert turns > 20
