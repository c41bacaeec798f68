"""Odd answers of the model, to both backends: what they answer, store and call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import pytest

from proxy.fuzz.differential import Differential
from proxy.types import JSON
from tests.differential.documents import Documents, oid
from tests.differential.linked import SOUND
from tests.differential.outside_services import ODD_ANSWERS, name_of
from tests.differential.people import CONSULTATIONS, PROMPTS, TRANSCRIPTS, identity
from tests.support.resources import action

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMES: Final = tuple(map(name_of, range(len(ODD_ANSWERS))))
EDGES: Final = tuple(
    NAMES[number]
    for number, answer in enumerate(ODD_ANSWERS)
    if re.search(rb'ud800|by name|"content": " ?"', answer.body)
)
"""Answers that every run tries: with a lone surrogate, with no visible text, and with `choices` that are an object."""


def said_in_consultations(texts: Iterable[str]) -> Documents:
    """Return valid documents with a consultation for each text, which its transcript has."""
    consultation, transcript = SOUND["consultations"][0], SOUND["transcripts"][0]
    assert isinstance(consultation, dict)
    assert isinstance(transcript, dict)
    consultations: list[JSON] = []
    transcripts: list[JSON] = []
    for index, text in enumerate(texts):
        link: dict[str, Any] = {"transcript": oid(identity(TRANSCRIPTS, index))}
        consultations.append({**consultation, "_id": oid(identity(CONSULTATIONS, index)), **link})
        transcripts.append({**transcript, "_id": link["transcript"], "transcript_text": text})
    return {**SOUND, "consultations": consultations, "transcripts": transcripts}


async def end_all(duel: Differential, texts: Iterable[str]) -> None:
    before = said_in_consultations(texts)
    paths = (f"/api/consultation/{identity(CONSULTATIONS, n)}/end" for n in range(len(before["consultations"])))
    ends = [action("POST", path, {"prompt_used": identity(PROMPTS, 0)}) for path in paths]
    execution = await duel.run(before, ends)
    assert not execution.differing, execution.describe()


async def test_consultations_end_alike_after_edge_cases(duel: Differential) -> None:
    await end_all(duel, EDGES)


@pytest.mark.slow
@pytest.mark.parametrize("of_codes", [False, True], ids=["summary", "codes"])
async def test_consultations_end_alike_after_any_answer(duel: Differential, of_codes: bool) -> None:
    await end_all(duel, (name_of(number, of_codes=of_codes) for number in range(len(NAMES))))


@pytest.mark.slow
async def test_questions_are_answered_alike_by_any_answer(duel: Differential) -> None:
    searches = [action("POST", f"/api/ai/search?query={name}") for name in NAMES]
    analyses = [action("POST", "/api/ai/analyze", {"prompt": name, "images": []}) for name in NAMES]
    execution = await duel.run(SOUND, [*searches, *analyses])
    assert not execution.differing, execution.describe()
