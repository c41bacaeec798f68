"""Cases of a contract become requests without what the client adds, and with ids of the sequence in their paths."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract.reading import load
from proxy.fuzz.contract_cases import OWN_HEADERS, case_strategies, read_schema, request_of

CONTRACT = Path(__file__).parents[3] / "contracts" / "openapi.yaml"


@functools.cache
def strategies() -> dict[str, st.SearchStrategy[Any]]:
    """Return the strategies by operation; reading the contract takes longer than the tests of most files."""
    return dict(case_strategies(read_schema(CONTRACT)))


def test_every_operation_but_websockets_has_cases() -> None:
    operations = {operation.name for operation in load(CONTRACT).operations}
    assert operations - set(strategies()) == {"WS /transcription-stream"}
    assert set(strategies()) <= operations


@settings(max_examples=30)
@given(st.data(), st.deferred(lambda: st.sampled_from(sorted(strategies()))))
def test_cases_become_requests(data: st.DataObject, operation: str) -> None:
    request = request_of(data.draw(strategies()[operation]), (("authorization", "x"),))
    names = [name for name, _ in request.headers]
    assert not OWN_HEADERS & set(names)
    assert names.count("authorization") == 1
    (request.body or "").encode("latin-1")


@pytest.mark.seeded
def test_paths_take_ids_of_the_sequence() -> None:
    operation = "PATCH /api/prompts/{promptId}/add-prompt/{transcriptId}"

    @settings(max_examples=5)
    @given(strategies()[operation])
    def check(case: object) -> None:
        target = request_of(case, (), 4).target  # type: ignore[arg-type]
        assert re.match(r"/api/prompts/<id 4\|[^<>]+>/add-prompt/<id 4\|[^<>]+>", target), target

    check()
