"""One delivery of a case: its bytes through a proxy, a well-formed request after them, and the observations."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from tests.conformance.answers import Answer, Malformed
from tests.conformance.case import Case, personal
from tests.conformance.client import Client, connect
from tests.conformance.delivery import WHOLE, Delivery
from tests.conformance.entrances import Entrance
from tests.conformance.upstream import POISON, Script

MANY: Final = 99
"""Outcomes without an answer; all other answers are waited for."""
LEAVING: Final = 0.02
"""Seconds for a proxy to notice a client that has left."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The answers that a client received to one delivery.

    `answers`: those to the case. `follower`: the answer to the innocent request on the same connection, None if the
    connection had ended. `fresh`: the one on a new connection. `timely`: something came within the time. `malformed`:
    the reason if the client could not read the answer.
    """

    case: Case
    token: bytes
    sending: Delivery
    answering: Delivery
    answers: tuple[Answer, ...]
    follower: Answer | None
    fresh: Answer | None
    timely: bool
    malformed: str = ""


def innocent(token: bytes) -> bytes:
    """Return the request that follows a case, of the same token."""
    return b"GET /innocent-%b HTTP/1.1\r\nHost: innocent\r\n\r\n" % token


async def converse(
    entrance: Entrance,
    case: Case,
    token: bytes,
    sending: Delivery = WHOLE,
    answering: Delivery = WHOLE,
    timeout: float | None = None,
) -> Conversation:
    """Deliver a case, then an innocent request on the same connection if it stands, and one on a new connection.

    `timeout`: seconds to wait for each answer, by default the entrance's.
    """
    if case.answer is not None:
        entrance.upstream.scripts[token] = _script(case, token, answering)
    timeout = entrance.timeout if timeout is None else timeout
    client = await connect(entrance.port)
    try:
        timely = await _send(entrance, client, case, token, sending, timeout)
        answers, follower, malformed = _split(client, case)
    finally:
        client.transport.abort()
    fresh = await _send_on_new_connection(entrance, token)
    entrance.upstream.scripts.pop(token, None)
    return Conversation(case, token, sending, answering, answers, follower, fresh, timely, malformed)


def _script(case: Case, token: bytes, answering: Delivery) -> Script:
    assert case.answer is not None
    pieces = answering.pieces(personal(case.answer, token), POISON % token)
    return Script(tuple(pieces), case.closes, case.early)


async def _send(
    entrance: Entrance, client: Client, case: Case, token: bytes, sending: Delivery, timeout: float
) -> bool:
    expected = len(case.returns)
    following = innocent(token)
    await client.write(sending.pieces(personal(case.sent, token), following), entrance.pause)
    if case.leaves:
        await asyncio.sleep(LEAVING)
        return True
    if case.is_open:
        return await client.wait_for(len(case.returns) or MANY, case.methods, timeout)
    if case.half_closes:
        client.transport.write_eof()
    if sending.glues:
        return await client.wait_for(expected + 1, case.methods, timeout)
    timely = await client.wait_for(expected, case.methods, timeout)
    if timely and not (client.closed or case.half_closes or case.unfinished):
        await asyncio.sleep(0)
        await client.write([following], 0)
        timely = await client.wait_for(expected + 1, case.methods, timeout)
    return timely


def _split(client: Client, case: Case) -> tuple[tuple[Answer, ...], Answer | None, str]:
    """Return the answers to the case, and the one after them if there is one."""
    try:
        answers = client.answers(case.methods)
    except Malformed as error:
        return (), None, str(error)
    if case.leaves or case.is_open:
        return tuple(answers), None, ""
    expected = len(case.returns)
    follower = answers[expected] if len(answers) == expected + 1 else None
    counted = answers if len(answers) > expected + 1 else answers[:expected]
    return tuple(counted), follower, ""


async def _send_on_new_connection(entrance: Entrance, token: bytes) -> Answer | None:
    client = await connect(entrance.port)
    try:
        await client.write([innocent(b"fresh-" + token)], 0)
        await client.wait_for(1, (), entrance.timeout)
        answers = client.answers(())
    except Malformed:
        return None
    finally:
        client.transport.abort()
    return answers[0] if answers else None
