"""Pauses before a retry: those of openai's Node SDK, which runs beside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from handlers.services.retry_delay import IN_MILLISECONDS, IN_SECONDS, LIMIT, delay_of, state_delay
from tests.support.library_oracle import Libraries

VALUES = (
    *("0", "0.0", "-1", "1", "30", "59.999", "60", "61", "120", "121", "3600", "1e1", "1e3", "1e400", "  2", "+3"),
    *(".5", "5.", "", "x", "1x", "0x10", "NaN", "Infinity", "-Infinity", "inf", "1,5", "1_0"),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"),
)


@pytest.fixture(scope="module")
def node() -> Iterator[Libraries]:
    with Libraries() as libraries:
        yield libraries


@pytest.mark.parametrize("value", VALUES)
def test_delays_equal_nodes(node: Libraries, value: str) -> None:
    for headers in (
        {IN_SECONDS: value},
        {IN_MILLISECONDS: value},
        {IN_MILLISECONDS: value, IN_SECONDS: "7"},
        {IN_MILLISECONDS: "0", IN_SECONDS: value},
        {IN_MILLISECONDS: "x", IN_SECONDS: value},
    ):
        assert delay_of(headers) == node.call("retryDelay", headers), headers


def test_delay_until_a_date_is_its_distance() -> None:
    delay = delay_of({IN_SECONDS: formatdate(time.time() + 40, usegmt=True)})
    assert delay is not None
    assert 0 < delay < LIMIT


@pytest.mark.parametrize(
    ("stated", "expected"), [("61", {}), ("30", {IN_MILLISECONDS: "30000.0"}), ("0.25", {IN_MILLISECONDS: "250.0"})]
)
def test_only_an_obeyed_delay_remains(stated: str, expected: dict[str, str]) -> None:
    headers = {IN_SECONDS: stated, "x-request-id": "1"}
    state_delay(headers)
    assert headers == {"x-request-id": "1", **expected}
