"""A frame of audio is released before the next one is received."""

from __future__ import annotations

import json
import weakref

import pytest
from starlette.types import Message

from handlers.legacy.routes.transcription import PATH, TranscriptionStream


class Frame(str):
    """A text that can be referenced weakly."""


async def transcribe(audio: bytes, name: str) -> str:
    return ""


@pytest.mark.parametrize("size", [8, 400_000])
async def test_frame_is_released_before_the_next_is_awaited(size: int) -> None:
    frames: list[weakref.ref[Frame]] = []
    texts = [json.dumps({"type": "start_recording"})]
    texts += [json.dumps({"type": "audio_chunk", "audioData": "QUJD" * (size // 4)})] * 2
    held: list[bool] = []
    connected: list[bool] = []

    async def receive() -> Message:
        if not connected:
            connected.append(True)
            return {"type": "websocket.connect"}
        held.extend(frame() is not None for frame in frames)
        if len(frames) == len(texts):
            return {"type": "websocket.disconnect", "code": 1000}
        frame = Frame(texts[len(frames)])
        frames.append(weakref.ref(frame))
        return {"type": "websocket.receive", "text": frame}

    async def send(message: Message) -> None:
        pass

    scope = {"type": "websocket", "path": PATH, "raw_path": PATH.encode(), "headers": []}
    await TranscriptionStream(transcribe)(scope, receive, send)
    assert len(held) == 6
    assert not any(held)
