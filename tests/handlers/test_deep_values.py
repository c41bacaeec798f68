"""Deep JSON in each field of a request: native answers and stores as the legacy does, whose stack is deeper."""

from __future__ import annotations

import json
from itertools import cycle

import pytest

from proxy.recordings.model import RecordedRequest
from tests.differential.people import TOKEN
from tests.support.backend_pair import BackendPair
from tests.support.clinic import DOCUMENTS, WRITES, assert_alike
from tests.support.outside_services import Answer, Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEADERS = (("content-type", "application/json"), ("authorization", f"Bearer {TOKEN}"))
SHAPES = [("[", "]", 1), ('{"a":', "}", 1), ('[{"a":', "}]", 2)]
"""The beginning and the end of a part, and its levels."""


@pytest.mark.parametrize("depth", [700, 3_000])
async def test_deep_values_are_answered_alike(backends: BackendPair, depth: int) -> None:
    shapes = cycle(SHAPES)
    model = Script([Answer(body=b'{"choices": [{"message": {"content": "S"}}]}')])
    for (method, path), body in WRITES.items():
        for name in (*body, "unknown"):
            beginning, end, levels = next(shapes)
            deep = beginning * (depth // levels) + "0" + end * (depth // levels)
            text = json.dumps({**body, name: "DEEP"}).replace('"DEEP"', deep)
            backends.plant(DOCUMENTS)
            with backends.legacy.outside.giving(model), backends.native.outside.giving(model):
                both = await backends.send(RecordedRequest(method, path, HEADERS, text.encode()))
            assert_alike(both)
            assert both.native.status, both.request
