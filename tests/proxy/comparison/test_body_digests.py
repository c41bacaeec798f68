"""Bodies too large to be parsed: digests of their content, compressed or not, by value or by role."""

from __future__ import annotations

import functools
import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import brotli  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.comparison.body_digests import MAX_CONTENT, MAX_IDS, BodyDigests, content_digests
from proxy.comparison.content_encoding import CodingError, OversizeError, decode
from proxy.comparison.exchange import Exchange, ExchangeRecorder
from proxy.comparison.exchanges import compare
from proxy.comparison.modes import DRY_RUN, READ, Mode
from proxy.types import JSON

NOW: Final = float(int(time.time()))
ENCODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + b"\0\0",
    "deflate": zlib.compress,
    "Deflate": lambda data: zlib.compress(data)[2:-4],
    "br": functools.partial(brotli.compress, quality=1),
    "gzip, br": lambda data: bytes(brotli.compress(gzip.compress(data))),
}


def fed(data: bytes, sizes: Iterable[int], codings: str = "", now: float | None = None) -> BodyDigests:
    """Return the digests of data that came in chunks of some sizes."""
    digests = BodyDigests(codings, now)
    for size in sizes:
        digests.update(data[:size])
        data = data[size:]
    digests.update(data)
    return digests


def new_id(age: int, number: int) -> str:
    return f"{int(NOW) - age:08x}{number:016x}"


def moment(age: int, fraction: str = "") -> str:
    return f"{datetime.fromtimestamp(NOW - age, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def items(first: int = 0, age: int = 0, count: int = 900) -> list[dict[str, JSON]]:
    """Return documents with a fresh id and date and the id of a stored one."""
    return [
        {"_id": new_id(age, first + number), "of": new_id(9_000_000, number % 7), "at": moment(age)}
        for number in range(count)
    ]


def answer(value: object, coding: str = "", by_role: bool = False, limit: int = 64 * 1024) -> Exchange:
    """Return the exchange that a recorder makes of an answer in chunks."""
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": []}
    recorder = ExchangeRecorder(scope, limit, by_role=by_role)
    headers = [(b"content-type", b"application/json"), *([(b"content-encoding", coding.encode())] if coding else [])]
    recorder.sent({"type": "http.response.start", "status": 200, "headers": headers})
    body = ENCODERS[coding](json.dumps(value).encode())
    for start in range(0, len(body), 50_000):
        recorder.sent({"type": "http.response.body", "body": body[start : start + 50_000], "more_body": True})
    recorder.sent({"type": "http.response.body", "body": b""})
    recorded = recorder.exchange()
    return Exchange(**{name: getattr(recorded, name) for name in Exchange._fields if name != "started"}, started=NOW)


@given(st.binary(max_size=3000), st.sampled_from(list(ENCODERS)), st.lists(st.integers(0, 700), max_size=6))
def test_digests_do_not_depend_on_chunks(data: bytes, coding: str, sizes: list[int]) -> None:
    digests = fed(ENCODERS[coding](data), sizes, coding)
    assert (digests.finish().blocks(), digests.is_content) == (content_digests(data, None).blocks(), True)
    assert decode(ENCODERS[coding](data), coding) == data


@settings(max_examples=15)
@given(st.lists(st.integers(0, 90_000), max_size=8))
def test_masked_digests_do_not_depend_on_chunks(sizes: list[int]) -> None:
    data = json.dumps(items()).encode() + b"x" * 150_000
    assert fed(data, sizes, now=NOW).finish().blocks() == content_digests(data, NOW).blocks()


def test_ids_beyond_the_limit_are_all_alike() -> None:
    known, (one, other) = [new_id(0, number) for number in range(MAX_IDS)], (new_id(0, MAX_IDS + n) for n in range(2))
    twice, each_once = (content_digests(" ".join([*known, *more]).encode(), NOW) for more in ((one, one), (one, other)))
    assert twice.blocks() == each_once.blocks()


@pytest.mark.parametrize("coding", [name for name in ENCODERS if name not in ("", "identity")])
def test_broken_coding_has_digests_of_the_coded_bytes(coding: str) -> None:
    whole = ENCODERS[coding](b"some content, again and again" * 50)
    for broken in (whole[: len(whole) // 3], b"\xff" + whole):
        digests = fed(broken, [7], coding)
        assert digests.finish().blocks() == content_digests(broken, None).blocks()
        assert not digests.is_content
        with pytest.raises(CodingError):
            decode(broken, coding)


def test_bomb_is_decoded_up_to_the_limit() -> None:
    bomb = gzip.compress(b"0" * (MAX_CONTENT + 1))
    digests = fed(bomb, [], "gzip")
    digests.finish()
    assert not digests.is_content
    with pytest.raises(OversizeError):
        decode(bomb, "gzip", 1000)


@pytest.mark.parametrize("coding", ["", "gzip", "br"])
@pytest.mark.parametrize(("mode", "by_role"), [(READ, False), (DRY_RUN, True)])
def test_large_body_is_compared_in_any_coding(coding: str, mode: Mode, by_role: bool) -> None:
    served = answer(items(), by_role=by_role)
    assert served.body.truncated
    changed = [*items()[:-1], {"_id": new_id(0, 899), "of": "x"}]
    for limit in (1000, 10_000_000):
        same = answer(items(), coding, by_role, limit)
        assert compare(served, same, mode=mode).unexplained == same_coding(coding)
        verdict = compare(served, answer(changed, coding, by_role, limit), mode=mode)
        assert ("body", "value") in [(one.field, one.kind) for one in verdict.unexplained]


def same_coding(coding: str) -> tuple[Any, ...]:
    """Return the differences of equal contents: that of the coding alone."""
    differences = compare(answer(1), answer(1, coding)).unexplained
    assert bool(differences) is bool(coding)
    return differences


STORED: Final = new_id(9_000_000, 0)


@pytest.mark.parametrize(
    ("native", "is_match"),
    [
        (items(5), True),
        (items(100, age=2), True),
        ([*items()[:-1], {**items()[-1], "_id": items()[0]["_id"]}], False),
        ([{**one, "of": STORED} for one in items()], False),
        ([{**one, "at": moment(9_000_000)} for one in items()], False),
        ([{**one, "at": moment(0, ".000")} for one in items()], False),
        (items(count=899), False),
    ],
    ids=["other ids", "later", "id twice", "stored ids", "stored date", "format", "short"],
)
def test_answers_to_writes_are_compared_by_role(native: list[JSON], is_match: bool) -> None:
    served = answer(items(), by_role=True)
    for limit in (1000, 10_000_000):
        verdict = compare(served, answer(native, by_role=True, limit=limit), mode=DRY_RUN)
        assert verdict.name == ("match" if is_match else "mismatch")
