"""Long answers are written and tagged in slices, between which the event loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from handlers.json_structure import SLICE as TEXT_SLICE
from handlers.legacy.express import json, json_in_slices
from handlers.legacy.express.etag import weak_tag
from handlers.legacy.express.long_tag import SLICE, weak_tag_in_slices

T = TypeVar("T")


async def counting_passes(work: Awaitable[T]) -> tuple[T, int]:
    """Return the result of `work`, and the passes of the loop in which it did not finish."""
    task, passes = asyncio.ensure_future(work), 0
    while not task.done():
        await asyncio.sleep(0)
        passes += 1
    return task.result(), passes


@pytest.mark.parametrize("size", [1, SLICE - 1, SLICE, SLICE + 1, 9 * SLICE])
def test_tag_in_slices_is_the_tag(size: int) -> None:
    body = bytes(index % 251 for index in range(size))
    tag, passes = asyncio.run(counting_passes(weak_tag_in_slices(body)))
    assert tag == weak_tag(body)
    assert passes >= size / SLICE


LONG = TEXT_SLICE + 7


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"_id": ObjectId(b"0123456789ab"), "created_at": DatetimeMS(0), "text": "short"},
        {"msg": "a", "data": {"patient": "a" * LONG, "list": ["b" * LONG, ["c", {"d": '"\\\n' * LONG}]]}},
        {"2": "\ud800" * LONG, "1": "\U0001f600" * LONG, "float": 1e21},
    ],
)
def test_json_in_slices_is_the_json(value: object) -> None:
    reply = asyncio.run(json_in_slices(200, value))
    assert (reply.status, reply.headers, reply.body) == (200, json(200, value).headers, json(200, value).body)


def test_long_strings_of_an_answer_are_written_in_slices() -> None:
    _, passes = asyncio.run(counting_passes(json_in_slices(200, {"patient": {"note": "a" * (20 * TEXT_SLICE)}})))
    assert passes >= 20
