"""Replay of a conversation on a native app: the client's messages, each at its position among the app's messages.

    original   C1 ── S1 S2 ── C2 C3 ── S3 ── close
    replay     C1 ─ wait for two ─ C2 ─ C3 ─ wait for one ─ close

A message is sent once the app has sent as many messages as the client had originally received at that point and waits
for the next, or after a timeout, which is halved while the app sends nothing. The original times are not reproduced.

The app runs dry (the ASGI extension `proxy.dry_run`, see `dry_run.py`): it stores nothing and calls no outside service.
It declares support for WebSockets in its lifespan's state: `state["proxy.dry_run.websocket"] = True`. Its scope has

    scope["extensions"]["proxy.dry_run"] = {
        "deadline": seconds, "report": callable,
        "served": [{"after": 2, "message": "…"}, …],    # legacy's messages; after: number of client messages before it
        "sent": ["…", …],                               # the client's messages
        "until": async callable,                        # waits until the client has sent that number of messages
    }

so that the app can replay the model's original answers at the same positions. It calls `report` as for a write, before
it accepts. The extension `proxy.packet` (`proxy/server/websocket.py`) says which messages reached legacy together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message, Scope

from proxy.comparison.conversation import (
    ABNORMAL,
    ClientMessage,
    Conversation,
    Ending,
    HandshakeRecorder,
    ServerMessage,
)
from proxy.comparison.verdicts import Reason
from proxy.shadow.dry_run import EXTENSION, Writes
from proxy.shadow.messages import RequestSnapshot
from proxy.shadow.replay import end_app, scope_of

logger = logging.getLogger("scribe_proxy.shadow")

DECLARATION: Final = "proxy.dry_run.websocket"
"""The key of the lifespan's state with which an app declares support."""
GRACE: Final = 0.05
"""Seconds after the last message in which surplus messages are detected."""
SHORTEST_TIMEOUT: Final = 0.05
_NORMAL: Final = 1000
_INTERNAL_ERROR: Final = 1011


def supports_conversations(state: Mapping[str, Any]) -> bool:
    """Return True if an app's lifespan state declares support for dry runs of WebSockets."""
    return state.get(DECLARATION) is True


@dataclass(frozen=True, slots=True)
class ConversationBounds:
    """Limits of one replay.

    `deadline` is in monotonic seconds, `frame_timeout` in seconds for one message. `max_messages` are the app's,
    `max_body` bytes of a refusal.
    """

    deadline: float
    frame_timeout: float
    max_messages: int
    max_body: int


class ConversationReplay:
    """One replay; `writes` are those that the app has reported."""

    def __init__(self, served: Conversation, request: RequestSnapshot, bounds: ConversationBounds) -> None:
        self.writes: Writes = ()
        self._served, self._bounds = served, bounds
        self._scope = _scope(request, {EXTENSION: self._extension(), "proxy.packet": {"is_over": self._is_packet_over}})
        self._handshake = HandshakeRecorder(self._scope, bounds.max_body)
        self._inbox: deque[Message] = deque([{"type": "websocket.connect"}])
        self._sent = self._taken = 0
        self._received: list[ServerMessage] = []
        self._ending: Ending | None = None
        self._declined = self._is_disconnected = self._too_many = False
        self._idle = 0
        self._missing = 0
        self._timeout = bounds.frame_timeout
        self._changed = asyncio.Event()

    async def run(self, app: ASGIApp) -> Conversation | Reason:
        """Return the conversation with the app, or the reason why there is nothing to compare.

        Raises:
            UncancellableAppError: the app ignores its cancellation.
        """
        task = asyncio.ensure_future(app(self._scope, self._receive, self._send))
        task.add_done_callback(lambda _: self._changed.set())
        try:
            async with asyncio.timeout(max(0.0, self._bounds.deadline - time.monotonic())):
                await self._converse(task)
        except TimeoutError:
            return "timeout"
        finally:
            await end_app(task)
        if self._declined:
            return "write_not_allowed"
        if self._too_many:
            return "body_too_large"
        return self._conversation(task)

    def _conversation(self, task: asyncio.Future[None]) -> Conversation:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("the app raised %s in a conversation", type(error).__name__)
        failure = "native_failed" if not self._handshake.answered else None
        handshake = self._handshake.exchange(failure)
        return Conversation(handshake, self._served.sent[: self._sent], tuple(self._received), self._ending)

    async def _converse(self, task: asyncio.Future[None]) -> None:
        await self._wait(lambda: self._handshake.answered or task.done(), None)
        if self._handshake.opened and self._served.is_open:
            for message in self._served.sent:
                await self._await_messages(message.received, task)
                if self._is_over(task):
                    break
                self._pass(message)
            await self._await_end(task)
        self._disconnect()
        await asyncio.wait((task,), timeout=self._bounds.frame_timeout)

    async def _await_end(self, task: asyncio.Future[None]) -> None:
        """Wait for the remaining messages, for surplus ones, and for a close by the app."""
        served = self._served
        await self._await_messages(len(served.received), task)
        if served.violation is not None and not self._is_over(task):
            self._ending = Ending("server", served.violation, after=self._sent)
        elif served.ending is not None and served.ending.by == "server":
            await self._wait(lambda: self._is_over(task), self._bounds.frame_timeout)
        else:
            await self._wait(lambda: self._is_over(task), GRACE)
        self._record_return(task)

    async def _await_messages(self, number: int, task: asyncio.Future[None]) -> None:
        """Wait until the app has sent that number of messages and waits for the client's next one."""
        if len(self._received) >= number:
            self._missing = 0
        expected = number - self._missing

        def has_answered() -> bool:
            return self._is_over(task) or (len(self._received) >= expected and self._is_idle)

        before = len(self._received)
        if await self._wait(has_answered, self._timeout):
            self._timeout = self._bounds.frame_timeout
            return
        self._missing = max(self._missing, number - len(self._received))
        progressed = len(self._received) > before
        self._timeout = self._bounds.frame_timeout if progressed else max(SHORTEST_TIMEOUT, self._timeout / 2)

    async def _wait(self, condition: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until a condition holds; return False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    @property
    def _is_idle(self) -> bool:
        """Return whether the app waits for the client."""
        return self._idle > 0 and not self._inbox

    def _is_over(self, task: asyncio.Future[None]) -> bool:
        return self._ending is not None or self._declined or self._too_many or task.done()

    def _pass(self, message: ClientMessage) -> None:
        """Send one of the client's messages."""
        self._sent += 1
        kind = "text" if isinstance(message.data, str) else "bytes"
        self._inbox.append({"type": "websocket.receive", kind: message.data})
        self._changed.set()

    def _disconnect(self) -> None:
        ending = self._ending or self._served.ending
        closed = (ending.code, ending.reason) if ending is not None else (ABNORMAL, "")
        self._inbox.append({"type": "websocket.disconnect", "code": closed[0], "reason": closed[1]})
        self._is_disconnected = True
        self._changed.set()

    def _record_return(self, task: asyncio.Future[None]) -> None:
        """Record the close that a server sends if the app has ended without one (ASGI: 1000, or 1011 for an error).

        After the client's disconnect, nothing is sent.
        """
        if self._ending is None and task.done() and not self._is_disconnected and self._handshake.opened:
            failed = task.cancelled() or task.exception() is not None
            self._ending = Ending("server", _INTERNAL_ERROR if failed else _NORMAL, after=self._sent)

    # -- ASGI

    async def _receive(self) -> Message:
        await self._be_idle(lambda: bool(self._inbox))
        message = self._inbox[0]
        if message["type"] != "websocket.disconnect":  # a repeated call gets the same message
            self._inbox.popleft()
            self._taken += message["type"] == "websocket.receive"
        return message

    async def _is_packet_over(self) -> bool:
        """Return whether the app has received all messages that arrived together with the last one."""
        return self._taken == 0 or self._served.sent[self._taken - 1].ends_packet

    async def _until(self, number: int) -> None:
        """Wait until the client has sent `number` messages."""
        await self._be_idle(lambda: self._sent >= number)

    async def _be_idle(self, condition: Callable[[], bool]) -> None:
        if condition():
            return
        self._idle += 1
        self._changed.set()
        try:
            await self._wait(condition, None)
        finally:
            self._idle -= 1

    async def _send(self, message: Message) -> None:
        self._handshake.sent(message)
        if self._is_disconnected or self._ending is not None:
            return
        if message["type"] == "websocket.send":
            text = message.get("text")
            data = text if text is not None else message["bytes"]
            self._received.append(ServerMessage(data, self._sent))
            self._too_many = len(self._received) > self._bounds.max_messages
        elif message["type"] == "websocket.close" and self._handshake.opened:
            code = message.get("code", _NORMAL)
            reason = message.get("reason") or ""
            self._ending = Ending("server", code, reason, self._sent)
        self._changed.set()

    def _extension(self) -> dict[str, Any]:
        return {
            "deadline": max(0.0, self._bounds.deadline - time.monotonic()),
            "report": self._report,
            "served": [{"after": each.after, "message": each.data} for each in self._served.received],
            "sent": [each.data for each in self._served.sent],
            "until": self._until,
        }

    def _report(self, writes: Writes | None) -> None:
        self._declined = writes is None
        self.writes = writes or ()


def _scope(request: RequestSnapshot, extensions: dict[str, Any]) -> Scope:
    """Return the scope of a WebSocket."""
    scope = scope_of(request, {**extensions, "websocket.http.response": {}})
    del scope["method"]
    offered = b", ".join(value for name, value in request.headers if name.lower() == b"sec-websocket-protocol")
    subprotocols = [name.strip() for name in offered.decode("latin-1").split(",")] if offered else []
    return {
        **scope,
        "type": "websocket",
        "scheme": scope["scheme"].replace("http", "ws"),
        "subprotocols": subprotocols,
    }
