"""A neighbour's wrong answer in a pipeline is noticed."""

from __future__ import annotations

import asyncio

import pytest

from tests.hostile.pipelines import NEIGHBOUR, wrong_neighbours
from tests.hostile.request import HostileRequest
from tests.support.sockets import scripted

HOSTILE = HostileRequest("a body", "POST", "/users/login", {}, b"{}")
RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("answers", "is_wrong"),
    [
        (RIGHT + RIGHT, False),
        (b"HTTP/1.1 413 A\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
        (RIGHT, True),
        (RIGHT + RIGHT.replace(b"ok", b"no"), True),
        (RIGHT + RIGHT.replace(b"200", b"400"), True),
        (RIGHT + RIGHT + RIGHT, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", True),
        (b"", True),
    ],
    ids=range(8),
)
async def test_wrong_answer_of_a_neighbour_is_reported(answers: bytes, is_wrong: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.readuntil(b"close\r\n\r\n")
        writer.write(RIGHT if received == NEIGHBOUR else answers)

    async with scripted(answer) as port:
        assert len(await wrong_neighbours(port, [HOSTILE])) == is_wrong
