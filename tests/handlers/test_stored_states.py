"""Random documents of other programs, then requests that read and write them: both backends answer and store alike."""

from __future__ import annotations

from itertools import islice
from typing import Final

import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from proxy.contract.divergences import explain
from tests.differential.stored_states import KINDS, History, edited, histories
from tests.support.backend_pair import DECLARED, BackendPair
from tests.support.profile import IS_QUICK
from tests.support.random_seed import seed_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.seeded]

COUNT: Final = 5 if IS_QUICK else 100
_RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(document_class=RawBSONDocument)


async def test_requests_on_random_documents_are_answered_alike(keeping: BackendPair) -> None:
    for history in islice(histories(seed_of(1)), COUNT):
        await _play(keeping, history)


async def _play(backends: BackendPair, history: History) -> None:
    """Assert that no answer and no document differs, until a declared difference affects what is stored."""
    stored = {name: [RawBSONDocument(each, _RAW) for each in raw] for name, raw in edited(history.edits).items()}
    backends.plant(stored)
    for request in history.requests:
        answers = await backends.send(request)
        explained = explain(DECLARED, answers.occurrence, answers.differences)
        assert explained.unexplained == (), f"{history}\n{answers}"
        if answers.legacy.outcome != "response":
            await backends.legacy.until_ready()
        if answers.legacy.status != answers.native.status:
            return
    for collection in KINDS:
        assert backends.stored(collection, typed=True)[1] == [], f"{history}\n{collection}"
