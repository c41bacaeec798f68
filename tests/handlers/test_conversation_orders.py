"""Recordings and requests of one user at once: native's frames, answers, documents and calls in any order of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

import pytest

from proxy.recordings.comparing import compare_frames
from tests.differential.people import AMARA, TOKEN, claims, sign
from tests.support.backend_pair import AnswerPair, BackendPair, RunningBackend, names
from tests.support.clinic import DOCUMENTS, assert_alike
from tests.support.conversation_orders import Outcomes, Step, playing, random_order
from tests.support.profile import examples
from tests.support.random_seed import seed_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXPIRED: Final = sign({**claims(AMARA), "exp": 1})


async def play(
    backend: RunningBackend, recordings: int, order: Sequence[tuple[int, Step]], *, is_concurrent: bool
) -> Outcomes:
    async with playing(backend, recordings, is_concurrent=is_concurrent) as started:
        return await started.run(order)


async def assert_equal(backends: BackendPair, recordings: int, order: Sequence[tuple[int, Step]]) -> None:
    backends.plant(DOCUMENTS)
    legacy, native = await asyncio.gather(
        play(backends.legacy, recordings, order, is_concurrent=True),
        play(backends.native, recordings, order, is_concurrent=False),
    )
    for expected, actual in zip(legacy.frames, native.frames, strict=True):
        assert compare_frames(expected, actual, names()) == []
    assert native.endings == legacy.endings
    for (request, expected_answer), (_, actual_answer) in zip(legacy.answers, native.answers, strict=True):
        assert_alike(AnswerPair(request, expected_answer, actual_answer))
    for collection in DOCUMENTS:
        assert backends.stored(collection)[1] == []
    assert native.calls.keys() <= legacy.calls.keys()
    for actor, made in legacy.calls.items():
        has_left = actor != "requests" and legacy.endings[int(actor.removeprefix("socket-"))] is not None
        own = native.calls.get(actor, [])
        assert own == (made[: len(own)] if has_left else made)  # `model-client-gone`


@pytest.mark.seeded
async def test_any_order_of_calls_is_observed_alike(backends: BackendPair) -> None:
    for seed in range(seed_of(0), seed_of(examples(60))):
        recordings, order = random_order(Random(seed), TOKEN, EXPIRED)
        try:
            await assert_equal(backends, recordings, order)
        except (AssertionError, TimeoutError) as error:
            error.add_note(f"seed {seed}: {order}")
            raise
