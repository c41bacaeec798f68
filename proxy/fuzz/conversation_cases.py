"""Conversations drawn from recorded ones: frames left out, repeated, moved, changed, cut, and broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from hypothesis import strategies as st

from proxy.fuzz.conversation import FuzzConversation, FuzzFrame
from proxy.recordings.model import Recordings
from proxy.types import JSON
from proxy.websocket.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

MAX_FRAMES: Final = 24
"""Maximum number of frames of a drawn conversation; each takes the service's time to answer."""

_CLOSE_CODES: Final = (0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 2999, 3000, 4999, 5000)

ODD_FRAMES: Final = (
    *(FuzzFrame(TEXT, text) for text in ("", " ", "{", "null", "1", '"x"', "[]", "{}", "true", "x", "\xff", "\xc3")),
    *(FuzzFrame(TEXT, text) for text in ("\xef\xbb\xbf{}", "{}\x00", "\xed\xa0\x80", '{"type":null}', '{"type":"x"}')),
    *(FuzzFrame(BINARY, text) for text in ("", "{", "{}", "\xff", "null")),
    *(FuzzFrame(PING, text) for text in ("", "p", "x" * 125, "x" * 126)),
    *(FuzzFrame(CLOSE, text) for text in ("", "\x03", "\x03\xe8bye", "\x03\xe8\xff")),
    *(FuzzFrame(CLOSE, f"{chr(code >> 8)}{chr(code & 0xFF)}r") for code in _CLOSE_CODES),
    *(FuzzFrame(opcode, "x") for opcode in (PONG, CONTINUATION, 3, 7, 11, 15)),
    *(FuzzFrame(opcode, "{}", fin=False) for opcode in (TEXT, BINARY, CONTINUATION, PING)),
    *(FuzzFrame(TEXT, "{}", reserved=bits) for bits in (1, 2, 4)),
    *(FuzzFrame(opcode, "", masked=False) for opcode in (TEXT, PING, CLOSE)),
    FuzzFrame(TEXT, "[" * 300 + "]" * 300),
)
HANDSHAKE_HEADERS: Final = (
    *(("sec-websocket-protocol", value) for value in ("a", "a, b", "a,b", "a, a", "a,", "a b", "", "\xe9")),
    *(("sec-websocket-extensions", value) for value in ("permessage-deflate", "x", ";", "permessage-deflate; x=")),
    *(("origin", value) for value in ("http://evil.example", "null")),
    *(("sec-websocket-version", value) for value in ("8", "013", "14", "13, 8", "")),
    *(("sec-websocket-key", value) for value in ("", "short", "AAAAAAAAAAAAAAAAAAAAAB==")),
    *(("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")),
    ("authorization", "Bearer x"),
)
_PLAIN: Final[tuple[JSON, ...]] = (None, True, False, 0, -1, 1.5, 1e21, "", "x", "é😀", [], {}, [1], {"a": {}})


def learn_conversations(recordings: Recordings) -> tuple[FuzzConversation, ...]:
    """Return recorded conversations with text frames, and handshakes that were tried alone."""
    talks = [
        FuzzConversation(one.target, tuple(FuzzFrame.text(value) for value in one.sent[:MAX_FRAMES]))
        for one in recordings.conversations
    ]
    return tuple(dict.fromkeys([*talks, *(FuzzConversation(one.target) for one in recordings.connections)]))


def changed_conversations(recorded: Sequence[FuzzConversation]) -> st.SearchStrategy[FuzzConversation]:
    """Return a strategy for recorded conversations, most of them with up to four changes."""
    values = [member for one in recorded for frame in one.frames for member in _members(frame)]
    return st.composite(_draw)(recorded, [*_PLAIN, *values])


def _draw(draw: st.DrawFn, recorded: Sequence[FuzzConversation], values: Sequence[JSON]) -> FuzzConversation:
    chosen = recorded[draw(st.integers(0, len(recorded) - 1))]
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.integers(0, 9)) == 0:
            chosen = replace(chosen, headers=(*chosen.headers, draw(st.sampled_from(HANDSHAKE_HEADERS))))
        else:
            frames = draw(st.sampled_from(_CHANGES))(draw, list(chosen.frames), values)
            chosen = replace(chosen, frames=tuple(frames[:MAX_FRAMES]))
    return chosen


Change = Callable[[st.DrawFn, list[FuzzFrame], Sequence[JSON]], list[FuzzFrame]]


def _insert(draw: st.DrawFn, frames: list[FuzzFrame], _: Sequence[JSON]) -> list[FuzzFrame]:
    at = draw(st.integers(0, len(frames)))
    return [*frames[:at], draw(st.sampled_from(ODD_FRAMES)), *frames[at:]]


def _leave_out(draw: st.DrawFn, frames: list[FuzzFrame], _: Sequence[JSON]) -> list[FuzzFrame]:
    at = _index(draw, frames)
    return frames if at is None else frames[:at] + frames[at + 1 :]


def _repeat(draw: st.DrawFn, frames: list[FuzzFrame], _: Sequence[JSON]) -> list[FuzzFrame]:
    at = _index(draw, frames)
    return frames if at is None else [*frames[:at], *[frames[at]] * draw(st.integers(2, 9)), *frames[at + 1 :]]


def _move(draw: st.DrawFn, frames: list[FuzzFrame], _: Sequence[JSON]) -> list[FuzzFrame]:
    at, to = _index(draw, frames), _index(draw, frames)
    if at is None or to is None:
        return frames
    rest = frames[:at] + frames[at + 1 :]
    return [*rest[:to], frames[at], *rest[to:]]


def _cut(draw: st.DrawFn, frames: list[FuzzFrame], _: Sequence[JSON]) -> list[FuzzFrame]:
    """Send a message in two fragments, with a control frame between them now and then."""
    at = _index(draw, frames)
    if at is None:
        return frames
    frame, middle = frames[at], draw(st.integers(0, len(frames[at].payload)))
    between = [FuzzFrame(PING, "between")] if draw(st.booleans()) else []
    first = replace(frame, payload=frame.payload[:middle], fin=False)
    return [*frames[:at], first, *between, FuzzFrame(CONTINUATION, frame.payload[middle:]), *frames[at + 1 :]]


def _as_binary(draw: st.DrawFn, frames: list[FuzzFrame], _: Sequence[JSON]) -> list[FuzzFrame]:
    at = _index(draw, frames)
    return frames if at is None else [*frames[:at], replace(frames[at], opcode=BINARY), *frames[at + 1 :]]


def _with_member(draw: st.DrawFn, frames: list[FuzzFrame], values: Sequence[JSON]) -> list[FuzzFrame]:
    """Replace a member of a JSON message by another value, or remove it."""
    at = _index(draw, frames)
    message = None if at is None else _parsed(frames[at])
    if at is None or not isinstance(message, dict) or not message:
        return frames
    name = draw(st.sampled_from(sorted(message)))
    rest = {other: value for other, value in message.items() if other != name}
    changed = rest if draw(st.integers(0, 4)) == 0 else {**rest, name: draw(st.sampled_from(list(values)))}
    return [*frames[:at], FuzzFrame.text(changed), *frames[at + 1 :]]


_CHANGES: Final[tuple[Change, ...]] = (
    *(_insert, _insert, _leave_out, _repeat, _repeat, _move),
    *(_cut, _as_binary, _with_member, _with_member, _with_member),
)


def _index(draw: st.DrawFn, frames: Sequence[FuzzFrame]) -> int | None:
    return draw(st.integers(0, len(frames) - 1)) if frames else None


def _parsed(frame: FuzzFrame) -> JSON:
    try:
        parsed: JSON = json.loads(frame.payload.encode("latin-1"))
    except (ValueError, RecursionError):
        return None
    return parsed


def _members(frame: FuzzFrame) -> list[JSON]:
    message = _parsed(frame)
    return list(message.values()) if isinstance(message, dict) else []
