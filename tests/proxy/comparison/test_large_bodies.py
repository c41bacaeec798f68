"""Verdicts on bodies that are too large to be parsed."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from proxy.comparison.body_digests import DIGEST_BLOCK
from proxy.comparison.exchange import Body, Exchange
from proxy.comparison.exchanges import compare
from proxy.contract.model import DeclaredAnswer, DeclaredHeader, Operation
from proxy.contract.schemas import Schema
from proxy.types import JSON
from tests.support.exchanges import answered, exchange, fields, object_id, operation, properties
from tests.support.volatile_content import digests_of

CONTRACT = operation(properties(_id={"type": "string", "format": "objectid"}, body={"type": "string"}))
NOTE: JSON = {"_id": object_id(1), "body": "Rest and fluids."}


def truncated(data: bytes, **more: Any) -> Exchange:
    plain, digests = exchange(**more), digests_of(data)
    return Exchange(
        **{name: getattr(plain, name) for name in Exchange._fields if name != "body"},
        body=Body(b"", digests.length, digests.blocks(), digests.length),
    )


LARGE = b"0" * 300_000
GZIP = [("content-encoding", "gzip")]


@pytest.mark.parametrize(
    ("native", "equal_until"),
    [
        (b"1" + LARGE[1:], 0),
        (LARGE[:200_000] + b"1" + LARGE[200_001:], 3 * DIGEST_BLOCK),
        (LARGE + b"0", 4 * DIGEST_BLOCK),
        (LARGE[:-1], 4 * DIGEST_BLOCK),
    ],
)
def test_large_bodies_differ_by_blocks(native: bytes, equal_until: int) -> None:
    for other in (truncated(native), exchange(native)):
        verdict = compare(truncated(LARGE), other, CONTRACT)
        assert fields(verdict) == [("body", "value")]
        assert verdict.differences[0].legacy is not None
        assert verdict.differences[0].legacy.value == {"length": len(LARGE), "equal_until": equal_until}


def test_equal_large_bodies_match() -> None:
    assert compare(truncated(LARGE), truncated(LARGE), CONTRACT).name == "match"
    assert compare(truncated(LARGE), exchange(LARGE)).name == "match"
    assert fields(compare(truncated(LARGE), truncated(b"", status=500))) == [("status", "status")]


def test_body_decoding_to_a_large_one_compares_by_digests() -> None:
    packed, other, bomb = (
        exchange(gzip.compress(data), headers=GZIP) for data in (LARGE * 7, LARGE * 7 + b"1", b"0" * 50_000_000)
    )
    assert fields(compare(packed, other)) == [("body", "value")]
    assert compare(packed, exchange(gzip.compress(LARGE * 7, 1), headers=GZIP)).name == "match"
    assert compare(bomb, answered(NOTE)).reason == "body_too_large"


def test_large_body_in_a_broken_coding_equals_no_plain_one() -> None:
    coded = truncated(LARGE, headers=GZIP)
    coded = coded._replace(body=coded.body._replace(content_length=None))
    ignored = DeclaredAnswer({"content-encoding": DeclaredHeader(Schema({"x-compare": "ignore"}))})
    contract = Operation("notes", "GET", "/api/notes", {"200": ignored})
    assert compare(coded, coded, contract).name == "match"
    for plain in (truncated(LARGE), exchange(LARGE)):
        for pair, kind in (((coded, plain), "missing"), ((plain, coded), "extra")):
            assert compare(*pair, contract).reason == "body_too_large"
            assert fields(compare(*pair)) == [("header.content-encoding", kind)]
