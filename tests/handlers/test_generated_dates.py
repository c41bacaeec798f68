"""Which of the dates that a request generates are equal: in the answer, in stored documents, and in both.

The legacy's dates between two awaits are equal, unless the clock advances there. Native's always are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from bson import json_util

from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential.linked import SOUND
from tests.differential.people import CONSULTATIONS, NOTES, PROMPTS, TOKEN, TRANSCRIPTS, identity
from tests.support.backend_pair import BackendPair, RunningBackend, get, post, read

pytestmark = pytest.mark.asyncio(loop_scope="session")

DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ATTEMPTS: Final = 60
"""Requests to the legacy, one of which must not have a tick of its clock between two dates: most have not."""

CONSULTATION, TRANSCRIPT = identity(CONSULTATIONS, 0), identity(TRANSCRIPTS, 0)
NOTE, PROMPT = identity(NOTES, 0), identity(PROMPTS, 0)
ADDED: Final[JSON] = {"body": "New.", "transcriptId": TRANSCRIPT}
UNDATED: Final = {
    "consultations": ("started_at",),
    "transcripts": ("created_at",),
    "notes": ("created_at", "updated_at"),
}

END: Final = post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, TOKEN)
START: Final = post("/api/consultation/start", {}, TOKEN)
ADD: Final = post(f"/api/notes/{CONSULTATION}", ADDED, TOKEN)
CASES: Final[Mapping[str, tuple[RecordedRequest, Mapping[str, tuple[str, ...]], list[str]]]] = {
    "start": (
        START,
        {},
        [
            "answer.consultation.started_at = consultations.started_at",
            "answer.transcript.created_at = transcripts.created_at",
        ],
    ),
    "end": (
        END,
        {},
        ["answer.transcript.updated_at = transcripts.updated_at", "consultations.ended_at"],
    ),
    "end, undated": (
        END,
        UNDATED,
        [
            "consultations.started_at",
            "answer.transcript.updated_at = transcripts.updated_at",
            "answer.transcript.created_at = consultations.ended_at",
        ],
    ),
    "add a note": (
        ADD,
        {},
        ["answer.note.created_at = answer.note.updated_at = notes.created_at = notes.updated_at"],
    ),
    "add a note, undated": (
        ADD,
        {"consultations": ("started_at",)},
        [
            "answer.note.created_at = answer.note.updated_at = consultations.started_at"
            " = notes.created_at = notes.updated_at"
        ],
    ),
    "change a note, undated": (
        post(f"/api/notes/{NOTE}", {"body": "New."}, TOKEN, "PATCH"),
        UNDATED,
        ["answer.note.created_at = answer.note.updated_at = notes.created_at = notes.updated_at"],
    ),
    "change a prompt, undated": (
        post(f"/api/prompts/{PROMPT}", {"prompt_name": "New."}, TOKEN, "PATCH"),
        {"prompts": ("created_at",)},
        ["answer.updated_at = prompts.updated_at", "answer.created_at"],
    ),
    "link a prompt, undated": (
        post(f"/api/prompts/{PROMPT}/add-prompt/{TRANSCRIPT}", ..., TOKEN, "PATCH"),
        UNDATED,
        ["answer.updated_at = transcripts.updated_at", "answer.created_at"],
    ),
    "change a text, undated": (
        post("/api/transcript/update-text", {"transcript_id": TRANSCRIPT, "transcript_text": "New."}, TOKEN),
        UNDATED,
        ["answer.updated_at = transcripts.updated_at", "answer.created_at"],
    ),
    "list consultations, undated": (
        get("/api/consultation", TOKEN),
        UNDATED,
        ["answer.consultations.started_at", "answer.consultations.transcript.created_at"],
    ),
    "show a consultation, undated": (
        get(f"/api/consultation/{CONSULTATION}", TOKEN),
        UNDATED,
        ["answer.consultation.started_at", "answer.consultation.transcript.created_at"],
    ),
    "list notes, undated": (
        get(f"/api/notes/{CONSULTATION}", TOKEN),
        UNDATED,
        ["answer.notes.created_at = answer.notes.updated_at"],
    ),
    "list prompts, undated": (
        get("/api/prompts", TOKEN),
        {"prompts": ("created_at",)},
        ["answer.prompts.created_at"],
    ),
}
"""A request, the fields that stored documents lack, and the generated dates in order: those of a line are equal."""


@pytest.mark.parametrize("case", CASES)
async def test_generated_dates_are_equal_where_those_of_legacy_are(backends: BackendPair, case: str) -> None:
    request, lacking, expected = CASES[case]
    assert await _generated(backends, backends.native, request, lacking) == expected
    for _ in range(ATTEMPTS):
        generated = await _generated(backends, backends.legacy, request, lacking)
        if generated == expected:
            return
    assert generated == expected


async def _generated(
    backends: BackendPair, backend: RunningBackend, request: RecordedRequest, lacking: Mapping[str, tuple[str, ...]]
) -> list[str]:
    """Return the paths of the dates that a request generates, in the dates' order; equal ones are one text."""
    documents = {name: [_without(each, lacking.get(name, ())) for each in several] for name, several in SOUND.items()}
    backends.plant(documents)
    known = {date for _, date in _dates_in(json.loads(json_util.dumps(documents)), "")}
    answer = read(await backend.send(request))
    dates = list(_dates_in(answer.get("data", answer), "answer"))
    for name in documents:
        dates += _dates_in(backend.documents(name), name)
    paths: dict[str, dict[str, None]] = {}
    for path, date in dates:
        if date not in known:
            paths.setdefault(date, {})[path] = None
    return [" = ".join(sorted(paths[date])) for date in sorted(paths)]


def _without(document: JSON, fields: tuple[str, ...]) -> dict[str, Any]:
    decoded: dict[str, Any] = json_util.loads(json.dumps(document))
    return {name: value for name, value in decoded.items() if name not in fields}


def _dates_in(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the dates of a JSON value and their paths, without the positions in arrays."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _dates_in(member, path if name == "$date" else f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _dates_in(item, path)
    elif isinstance(value, str) and DATE.fullmatch(_whole(value)):
        yield path, _whole(value)


def _whole(date: str) -> str:
    """Return a date with its milliseconds, which extended JSON omits if there are none."""
    return re.sub(r"(?<=:\d\d)Z$", ".000Z", date)
