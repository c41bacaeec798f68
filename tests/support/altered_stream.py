"""The native app whose transcription misspells the message that a recording of `ALTERED` has started with."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope, Send

from handlers.app import app as sound

ALTERED = "altered-consultation"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request by the native app, and alter the message."""

    async def change(message: Message) -> None:
        if ALTERED in message.get("text", ""):
            message = {**message, "text": message["text"].replace("Speak now!", "Speak up!")}
        await send(message)

    await sound(scope, receive, change if scope["type"] == "websocket" else send)
