"""A recording from start to stop, with a model that the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.white_space import WHITESPACE
from handlers.services.model import ModelError, ModelRefusedError, ModelUnreachableError
from handlers.services.transcription import (
    MAX_WAITING,
    AudioLimitReached,
    Event,
    FinalFailed,
    Interrupted,
    Memory,
    Recorder,
    Stopped,
    Transcribed,
    is_undecodable,
)

UNDECODABLE = ModelRefusedError(400, '{"error": {"message": "audio could not be decoded"}}')
COST = 64


class Ear:
    """A model that returns set texts when the test allows it, and retains the files that it got."""

    def __init__(self, *outcomes: str | Exception, open_: bool = True) -> None:
        self.outcomes = list(outcomes)
        self.files: list[tuple[str, bytes]] = []
        self.gate = asyncio.Event()
        self.cancelled = False
        self.at_once = self.most_at_once = 0
        if open_:
            self.gate.set()

    async def __call__(self, audio: bytes, name: str) -> str:
        self.files.append((name, audio))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.at_once -= 1
        outcome = self.outcomes.pop(0) if self.outcomes else f" heard {len(self.files)} \n"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Room:
    """A recorder and its messages."""

    def __init__(self, ear: Ear, *, limit: int = 10_000, memory: Memory | None = None) -> None:
        self.events: list[Event] = []
        self.ear = ear
        self.recorder = Recorder("conn-1", ear, self.receive, limit=limit, clock=lambda: 7, memory=memory)

    async def receive(self, event: Event) -> None:
        self.events.append(event)

    async def add(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            await self.recorder.add(piece)

    async def settle(self) -> list[Event]:
        """Wait until nothing changes any more, and return the messages until then."""
        for _ in range(200):
            await asyncio.sleep(0)
        return self.events


def pieces(count: int, start: int = 0) -> list[bytes]:
    return [b"<%d>" % number for number in range(start, start + count)]


def joined(*groups: list[bytes]) -> bytes:
    return b"".join(b"".join(group) for group in groups)


@pytest.mark.parametrize("blank", [*WHITESPACE, "\ufeff \t"])
async def test_texts_lose_javascripts_white_space_only(blank: str) -> None:
    room = Room(Ear(f"{blank}\x1cone\x85{blank}", blank, f"{blank}\x1call\x85{blank}"))
    room.recorder.start()
    await room.add([b"H", *pieces(16)])
    await room.recorder.stop()
    assert await room.settle() == [
        Transcribed("\x1cone\x85", final=False),
        Transcribed("\x1call\x85", final=True),
        Stopped(),
    ]


async def test_audio_before_the_start_is_ignored() -> None:
    room = Room(Ear())
    await room.add(pieces(20))
    await room.recorder.stop()
    assert await room.settle() == [Stopped()]
    assert room.ear.files == []


async def test_header_without_audio_is_not_transcribed() -> None:
    room = Room(Ear())
    room.recorder.start()
    await room.add([b"header"])
    await room.recorder.stop()
    assert await room.settle() == [Stopped()]


async def test_every_eight_pieces_are_sent_with_header_and_text_grows() -> None:
    room = Room(Ear("one", "two", "all"))
    room.recorder.start()
    await room.add([b"H", *pieces(17)])
    await room.recorder.stop()
    assert await room.settle() == [
        Transcribed("one", final=False),
        Transcribed("one two", final=False),
        Transcribed("all", final=True),
        Stopped(),
    ]
    assert room.ear.files == [
        ("temp-conn-1-7.webm", joined([b"H"], pieces(8))),
        ("temp-conn-1-7.webm", joined([b"H"], pieces(8, 8))),
        ("final-conn-1-7.webm", joined([b"H"], pieces(17))),
    ]


async def test_silent_portion_has_no_text() -> None:
    room = Room(Ear(" \n", "two", "  "))
    room.recorder.start()
    await room.add([b"H", *pieces(16)])
    await room.recorder.stop()
    assert await room.settle() == [Transcribed("two", final=False), Transcribed("", final=True), Stopped()]


async def test_calls_are_sequential_without_blocking_frames() -> None:
    room = Room(Ear("part", "all", "next part", "next all", open_=False))
    room.recorder.start()
    await room.add([b"H", *pieces(8)])
    await room.recorder.stop()
    room.recorder.start()
    await room.add([b"J", *pieces(8, 8)])
    await room.recorder.stop()
    assert await room.settle() == []
    assert len(room.ear.files) == 1
    room.ear.gate.set()
    assert await room.settle() == [
        Transcribed("part", final=False),
        Transcribed("all", final=True),
        Stopped(),
        Transcribed("next part", final=False),
        Transcribed("next all", final=True),
        Stopped(),
    ]
    assert room.ear.most_at_once == 1
    assert room.ear.files[2][1] == joined([b"J"], pieces(8, 8))


async def test_second_stop_sends_the_recording_again() -> None:
    room = Room(Ear("all", "all"))
    room.recorder.start()
    await room.add([b"H", b"1"])
    await room.recorder.stop()
    await room.add([b"2"])
    await room.recorder.stop()
    assert await room.settle() == [Transcribed("all", final=True), Stopped()] * 2
    assert {audio for _, audio in room.ear.files} == {b"H1"}


async def test_failing_portions_are_reported_once_per_recording() -> None:
    unreachable = ModelUnreachableError()
    room = Room(Ear(unreachable, unreachable, "final", unreachable, "final"))
    room.recorder.start()
    await room.add([b"H", *pieces(16)])
    await room.recorder.stop()
    room.recorder.start()
    await room.add([b"H", *pieces(8)])
    await room.recorder.stop()
    assert await room.settle() == [
        Interrupted(),
        Transcribed("final", final=True),
        Stopped(),
        Interrupted(),
        Transcribed("final", final=True),
        Stopped(),
    ]


async def test_undecodable_portions_are_skipped() -> None:
    room = Room(Ear(UNDECODABLE, UNDECODABLE))
    room.recorder.start()
    await room.add([b"H", *pieces(8)])
    await room.recorder.stop()
    assert await room.settle() == [FinalFailed(), Stopped()]


async def test_unexpected_failure_ends_only_its_call(caplog: pytest.LogCaptureFixture) -> None:
    room = Room(Ear(ZeroDivisionError("odd"), "all"))
    room.recorder.start()
    await room.add([b"H", *pieces(8)])
    await room.recorder.stop()
    assert await room.settle() == [Transcribed("all", final=True), Stopped()]
    assert "a transcription failed unexpectedly" in caplog.text


async def test_audio_over_the_limit_is_refused_once() -> None:
    room = Room(Ear("all"), limit=3 * (COST + 10))
    room.recorder.start()
    await room.add([b"H" * 10, b"1" * 10, b"2" * 10, b"3", b"4"])
    assert await room.settle() == [AudioLimitReached()]
    await room.recorder.stop()
    assert await room.settle() == [AudioLimitReached(), Transcribed("all", final=True), Stopped()]
    assert room.ear.files[0][1] == b"H" * 10 + b"1" * 10 + b"2" * 10


async def test_new_recording_has_room_once_the_previous_call_ended() -> None:
    room = Room(Ear("all", "all", open_=False), limit=4 * (COST + 10))
    room.recorder.start()
    await room.add([b"H" * 10, b"1" * 10, b"2" * 10])
    await room.recorder.stop()
    room.recorder.start()
    await room.add([b"J" * 10, b"1" * 10])
    assert await room.settle() == [AudioLimitReached()]
    room.ear.gate.set()
    await room.settle()
    room.recorder.start()
    await room.add([b"J" * 10, b"1" * 10, b"2" * 10])
    await room.recorder.stop()
    assert await room.settle() == [
        AudioLimitReached(),
        Transcribed("all", final=True),
        Stopped(),
        Transcribed("all", final=True),
        Stopped(),
    ]


async def test_unresponsive_model_has_a_bounded_queue() -> None:
    room = Room(Ear(open_=False))
    room.recorder.start()
    await room.add([b"H", *pieces(8)])
    for _ in range(MAX_WAITING + 5):
        await room.recorder.stop()
    assert await room.settle() == [FinalFailed(), Stopped()] * 6
    room.recorder.start()
    await room.add([b"H", *pieces(16)])
    assert (await room.settle())[12:] == [Interrupted()]
    await room.recorder.close()


async def test_close_cancels_the_call_and_drops_the_queue() -> None:
    room = Room(Ear(open_=False))
    room.recorder.start()
    await room.add([b"H", *pieces(16)])
    await room.settle()
    await room.recorder.close()
    assert room.ear.cancelled
    room.ear.gate.set()
    assert await room.settle() == []
    assert len(room.ear.files) == 1
    assert not room.recorder.is_recording
    await room.recorder.close()


async def test_idle_recorders_have_no_tasks() -> None:
    before = len(asyncio.all_tasks())
    rooms = [Room(Ear()) for _ in range(10)]
    rooms[0].recorder.start()
    await rooms[0].add([b"H", *pieces(8)])
    await rooms[0].settle()
    assert len(asyncio.all_tasks()) == before


def test_only_a_decode_refusal_is_undecodable() -> None:
    assert is_undecodable(UNDECODABLE)
    others: list[ModelError] = [ModelRefusedError(400, "quota"), ModelUnreachableError("could not be decoded")]
    assert not any(map(is_undecodable, others))


ACTIONS = st.lists(st.sampled_from(["start", "stop", "add", "add", "add", "add", "yield"]), max_size=120)


@given(ACTIONS)
def test_random_actions_answer_each_stop_in_order(actions: list[str]) -> None:
    async def live() -> None:
        room = Room(Ear())
        for action in actions:
            if action == "add":
                await room.add([b"x"])
            elif action == "stop":
                await room.recorder.stop()
            elif action == "start":
                room.recorder.start()
            else:
                await asyncio.sleep(0)
        await room.settle()
        assert sum(isinstance(event, Stopped) for event in room.events) == actions.count("stop")
        assert room.ear.most_at_once <= 1
        for before, event in zip([None, *room.events], room.events, strict=False):
            if isinstance(before, Transcribed) and before.final:
                assert isinstance(event, Stopped)

    asyncio.run(live())


class Budget:
    """A memory budget of so many bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def retain(self, size: int) -> bool:
        self.used += size
        return self.used <= self.limit

    def release(self, size: int) -> None:
        self.used -= size


async def test_audio_counts_in_the_memory_budget_until_the_end() -> None:
    budget = Budget(10_000)
    room = Room(Ear(), memory=budget)
    room.recorder.start()
    await room.add([bytes(1000), bytes(1000)])
    assert budget.used >= 2000
    room.recorder.start()
    assert budget.used == 0
    await room.add(pieces(20))
    await room.recorder.stop()
    await room.settle()
    assert budget.used > 0
    await room.recorder.close()
    assert budget.used == 0


async def test_audio_of_an_ended_call_leaves_the_memory_budget() -> None:
    budget = Budget(10_000)
    room = Room(Ear(open_=False), memory=budget)
    room.recorder.start()
    await room.add([bytes(1000), bytes(1000)])
    await room.recorder.stop()
    room.recorder.start()
    assert budget.used >= 2000
    room.ear.gate.set()
    assert await room.settle()
    assert budget.used == 0


async def test_audio_beyond_the_memory_budget_is_dropped() -> None:
    budget = Budget(2_500)
    room = Room(Ear(), memory=budget)
    room.recorder.start()
    await room.add([bytes(1000) for _ in range(9)])
    assert budget.used < 4_000
