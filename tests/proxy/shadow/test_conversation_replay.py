"""Replays of a conversation on ASGI apps: causal, bounded, and without the pace of the original."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.comparison.conversation import ClientMessage, Conversation, Ending, ServerMessage
from proxy.comparison.verdicts import Reason
from proxy.shadow.conversation_replay import ConversationBounds, ConversationReplay, supports_conversations
from proxy.shadow.messages import RequestSnapshot
from tests.support.exchanges import exchange
from tests.support.shadowed_requests import CONNECTION
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT

REQUEST = RequestSnapshot("GET", b"/stream?a=b", ((b"sec-websocket-protocol", b"one, two"),), b"", CONNECTION)
END = Ending("client", 1001, "bye")
Answer = Callable[["Session", str], Awaitable[None]]


@dataclass
class Session:
    """An app's side of one conversation: its scope, what it has received, and how it sends."""

    scope: Scope
    receive: Receive
    send: Send
    received: list[Any]

    async def say(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    async def close(self, code: int) -> None:
        await self.send({"type": "websocket.close", "code": code})

    @property
    def extension(self) -> dict[str, Any]:
        extension: dict[str, Any] = self.scope["extensions"]["proxy.dry_run"]
        return extension


class App:
    """Greets with `hello`, and calls `answer` with each message."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.session: Session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.session = session = Session(scope, receive, send, [])
        session.extension["report"]([])
        session.received.append(await receive())
        await send({"type": "websocket.accept"})
        await session.say("hello")
        while True:
            session.received.append(await receive())
            if session.received[-1]["type"] != "websocket.receive":
                return
            await self._answer(session, session.received[-1].get("text", "bytes"))


def conversation(
    sent: Sequence[tuple[str | bytes, int]], received: Sequence[tuple[str, int]], ending: Ending | None = END
) -> Conversation:
    """Return what was served: the client's messages with the number received before, the server's with that sent."""
    return Conversation(
        exchange(b"", "", status=101, target="/stream"),
        tuple(ClientMessage(data, number) for data, number in sent),
        tuple(ServerMessage(data, number) for data, number in received),
        ending,
    )


ECHOED = conversation([("a", 1), (b"b", 2)], [("hello", 0), ("a", 1), ("bytes", 2)])


def bounds(seconds: float = HANG_TIMEOUT, frame_timeout: float = PROMPT_TIMEOUT) -> ConversationBounds:
    """Return bounds that only a test of a timeout reaches."""
    return ConversationBounds(time.monotonic() + seconds, frame_timeout, 10, 100)


async def replay(
    served: Conversation,
    app: Callable[[Scope, Receive, Send], Awaitable[None]],
    limits: ConversationBounds | None = None,
) -> Conversation | Reason:
    return await ConversationReplay(served, REQUEST, limits or bounds()).run(app)


async def opened(served: Conversation, app: App, limits: ConversationBounds | None = None) -> list[tuple[object, int]]:
    """Replay and return the app's messages with their positions."""
    result = await replay(served, app, limits)
    assert isinstance(result, Conversation)
    return [(each.data, each.after) for each in result.received]


async def echo(session: Session, text: str) -> None:
    await session.say(text)


async def test_messages_keep_their_positions() -> None:
    app = App(echo)
    assert await opened(ECHOED, app) == [("hello", 0), ("a", 1), ("bytes", 2)]
    types = [message["type"] for message in app.session.received]
    assert types == ["websocket.connect", "websocket.receive", "websocket.receive", "websocket.disconnect"]
    assert (app.session.received[2]["bytes"], app.session.received[3]["code"]) == (b"b", 1001)


async def test_scope_is_that_of_the_original_websocket() -> None:
    app = App(echo)
    await replay(ECHOED, app)
    scope, extension = app.session.scope, app.session.extension
    assert (scope["type"], scope["path"], scope["query_string"]) == ("websocket", "/stream", b"a=b")
    assert (scope["scheme"], scope["subprotocols"], "method" in scope) == ("wss", ["one", "two"], False)
    assert extension["served"][1] == {"after": 1, "message": "a"}
    assert 0 < extension["deadline"] <= HANG_TIMEOUT


async def test_app_learns_where_packets_ended() -> None:
    async def answer(session: Session, text: str) -> None:
        over.append((text, await session.scope["extensions"]["proxy.packet"]["is_over"]()))

    over: list[tuple[str, bool]] = []
    sent = tuple(ClientMessage(text, 1, ends_packet=text in "bd") for text in "abcd")
    await opened(replace(conversation([], [("hello", 0)]), sent=sent), App(answer))
    assert over == [("a", False), ("b", True), ("c", False), ("d", True)]


async def test_app_answers_after_the_recorded_model_call() -> None:
    async def answer(session: Session, text: str) -> None:
        async def later() -> None:
            await session.extension["until"](3)
            await session.say("model")

        if text == "a":
            tasks.append(asyncio.ensure_future(later()))

    tasks: list[asyncio.Future[None]] = []
    served = conversation([("a", 1), ("b", 1), ("c", 1), ("d", 2)], [("hello", 0), ("model", 3)])
    assert await opened(served, App(answer)) == [("hello", 0), ("model", 3)]


async def test_message_waits_for_an_app_that_is_busy() -> None:
    async def answer(session: Session, text: str) -> None:
        await session.say("one")
        await asyncio.sleep(0.02)
        await session.say("two")

    served = conversation([("a", 1), ("b", 2)], [("hello", 0), ("one", 1), ("one", 2), ("two", 2)])
    assert await opened(served, App(answer)) == [("hello", 0), ("one", 1), ("two", 1), ("one", 2), ("two", 2)]


async def test_missing_messages_delay_a_replay_once() -> None:
    async def answer(session: Session, text: str) -> None:
        if text != "0":
            await session.say(text)

    sent: list[tuple[str | bytes, int]] = [(str(number), number + 1) for number in range(50)]
    served = conversation(sent, [("hello", 0), *((str(number), number + 1) for number in range(50))])
    limits = ConversationBounds(time.monotonic() + PROMPT_TIMEOUT, PROMPT_TIMEOUT / 50, 100, 100)
    assert await opened(served, App(answer), limits) == [
        ("hello", 0),
        *((str(number), number + 1) for number in range(1, 50)),
    ]


@pytest.mark.parametrize(
    ("code", "raises", "expected"),
    [(4000, False, Ending("server", 4000, "", 1)), (None, True, Ending("server", 1011, "", 1))],
    ids=["close", "failure"],
)
async def test_close_by_the_app_is_recorded(code: int | None, raises: bool, expected: Ending) -> None:
    async def answer(session: Session, text: str) -> None:
        if raises:
            raise RuntimeError("secret")
        await session.close(code or 0)

    result = await replay(ECHOED, App(answer))
    assert isinstance(result, Conversation)
    assert (result.ending, len(result.sent)) == (expected, 1)


async def test_app_that_returns_closes_normally() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"]["proxy.dry_run"]["report"]([])
        await send({"type": "websocket.accept"})

    result = await replay(ECHOED, app)
    assert isinstance(result, Conversation)
    assert result.ending == Ending("server", 1000, "", 0)


async def test_client_that_breaks_the_protocol_is_closed() -> None:
    served = Conversation(ECHOED.handshake, ECHOED.sent, ECHOED.received, Ending("server", 1007), violation=1007)
    result = await replay(served, App(echo))
    assert isinstance(result, Conversation)
    assert result.ending == Ending("server", 1007, "", 2)


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [("decline", "write_not_allowed"), ("hang", "timeout"), ("flood", "body_too_large"), ("raise", "reset")],
)
async def test_incomparable_app_is_skipped(behaviour: str, expected: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if behaviour == "decline":
            scope["extensions"]["proxy.dry_run"]["report"](None)
            await send({"type": "websocket.close"})
        elif behaviour == "hang":
            await asyncio.Event().wait()
        elif behaviour == "raise":
            raise RuntimeError("secret")
        else:
            await send({"type": "websocket.accept"})
            for _ in range(20):
                await send({"type": "websocket.send", "text": "a"})

    result = await replay(ECHOED, app, bounds(seconds=0.2) if behaviour == "hang" else bounds())
    assert (result if isinstance(result, str) else result.handshake.outcome) == expected


async def test_refusal_of_either_side_ends_a_replay() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    refused = await replay(ECHOED, refuse)
    assert isinstance(refused, Conversation)
    assert (refused.handshake.status, refused.is_open) == (403, False)
    served = Conversation(exchange(b"no", status=401, target="/stream"))
    accepted = await replay(served, App(echo))
    assert isinstance(accepted, Conversation)
    assert (accepted.handshake.status, accepted.sent) == (101, ())


def test_support_is_declared() -> None:
    assert supports_conversations({"proxy.dry_run.websocket": True})
    assert not any(supports_conversations(state) for state in ({}, {"proxy.dry_run": True}))
