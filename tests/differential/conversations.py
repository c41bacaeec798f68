"""Strategies for recordings over the WebSocket: audio of every type, in any number and order of messages."""

from __future__ import annotations

import base64
from typing import Final

from hypothesis import strategies as st

from proxy.fuzz.conversation import FuzzConversation, FuzzFrame
from proxy.fuzz.conversation_cases import changed_conversations
from proxy.types import JSON
from proxy.websocket.frames import TEXT
from tests.differential.values import Strategy, anything, mostly, odd_answers

TARGET: Final = "/transcription-stream"
TARGETS: Final = (
    f"{TARGET}?token=x",
    f"{TARGET}?",
    f"{TARGET}/",
    "/Transcription-Stream",
    "/transcription%2Dstream",
    "/",
)

_audio: Final[Strategy[JSON]] = st.sampled_from(
    [
        *("QUJD", "QUJDRA==", "QU-_", "QU+/", "Q", "QQ", "Q=UJD", "QU JD", "!!", "", "\ud800", "\xe9QUJD", "A" * 4000),
        *([], [65, 300, -1, "7", None], {"length": 2, "0": 65, "1": "66"}, {"type": "Buffer", "data": [1, 2]}),
        *({"length": "2"}, {"length": 1.5, "0": 1}, {"valueOf": ""}, {"valueOf": "x"}, {"valueOf": None, "length": 1}),
        *("RkFJTC1BVURJTw==", "SEFSRC1GQUlM", "RkFJTC1BVURJTyBIQVJELUZBSUw="),
    ]
)
"""Base64 in both alphabets and broken, what `Buffer.from` takes besides, and what the offline model refuses."""


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_START: Final = mostly(
    st.just(FuzzFrame.text({"type": "start_recording", "consultationId": "C-1"})),
    anything.map(lambda value: FuzzFrame.text({"type": "start_recording", "consultationId": value})),
)
_STOP: Final = st.just(FuzzFrame.text({"type": "stop_recording"}))
_CHUNK: Final = mostly(
    st.just(FuzzFrame.text({"type": "audio_chunk", "audioData": "QUJD"})),
    mostly(_audio, anything, odd_answers.map(_encode)).map(
        lambda value: FuzzFrame.text({"type": "audio_chunk", "audioData": value})
    ),
)
_OTHER: Final = anything.map(
    lambda value: FuzzFrame.text(value) if not isinstance(value, str) else FuzzFrame(TEXT, "x")
)


@st.composite
def _recordings(draw: st.DrawFn) -> FuzzConversation:
    """Draw one or two recordings of up to 18 chunks, mostly from start to stop."""
    frames: list[FuzzFrame] = []
    for _ in range(draw(st.integers(1, 2))):
        frames += [draw(_START)] if draw(st.integers(0, 5)) else []
        frames += draw(st.lists(_CHUNK, max_size=4))
        frames += [draw(_CHUNK)] * draw(st.sampled_from([0, 0, 0, 8, 16]))
        frames += [draw(_OTHER)] if draw(st.integers(0, 3)) == 0 else []
        frames += [draw(_STOP)] * draw(st.sampled_from([1, 1, 1, 1, 0, 2]))
    target = draw(mostly(st.just(TARGET), st.sampled_from(TARGETS)))
    return FuzzConversation(target, tuple(frames[:24]))


def recordings() -> Strategy[FuzzConversation]:
    """Return a strategy for recordings, half of them changed as any conversation."""
    return _recordings() | _recordings().flatmap(lambda one: changed_conversations([one]))
