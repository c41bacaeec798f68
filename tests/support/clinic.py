"""Documents of one clinician, requests that change them, and the comparison of both backends' answers."""

from __future__ import annotations

from datetime import datetime

from bson import ObjectId

from proxy.contract.divergences import explain
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential.people import AMARA, CONSULTATIONS, HASH, NOTES, PASSWORD, PROMPTS, TRANSCRIPTS, identity
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import DECLARED, AnswerPair, get, post

CONSULTATION, TRANSCRIPT, NOTE, PROMPT = (identity(kind, 0) for kind in (CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS))
MINE = {"clinician": ObjectId(AMARA), "created_at": datetime(2026, 1, 2)}
DOCUMENTS = {
    "users": [{"_id": ObjectId(AMARA), "username": "a", "email": "amara@x", "password": HASH, "role": "clinician"}],
    "consultations": [
        {**MINE, "_id": ObjectId(CONSULTATION), "transcript": ObjectId(TRANSCRIPT), "notes": [], "__v": 0}
    ],
    "transcripts": [
        {**MINE, "_id": ObjectId(TRANSCRIPT), "consultation": ObjectId(CONSULTATION), "transcript_text": "T", "__v": 0}
    ],
    "notes": [
        {
            **MINE,
            "_id": ObjectId(NOTE),
            "consultation": ObjectId(CONSULTATION),
            "transcript": ObjectId(TRANSCRIPT),
            "body": "N",
        }
    ],
    "prompts": [
        {**MINE, "_id": ObjectId(PROMPT), "prompt_name": "P", "prompt_text": "Sum up.", "is_deleted": False, "__v": 0}
    ],
}


def assert_alike(answers: AnswerPair) -> None:
    """Assert that both answers are equal or the difference is declared, and that native's names no implementation."""
    explained = explain(DECLARED, answers.occurrence, answers.differences)
    assert explained.unexplained == (), (answers.request, answers.legacy, answers.native)
    for trace in (b"Traceback", b".py", b'File "', b"handlers"):
        assert trace not in answers.native.body


WRITES: dict[tuple[str, str], dict[str, JSON]] = {
    ("POST", "/users/login"): {"email": "amara@x", "password": PASSWORD},
    ("POST", "/api/consultation/start"): {"patient_data": "p"},
    ("POST", f"/api/consultation/{CONSULTATION}/end"): {"prompt_used": PROMPT},
    ("POST", "/api/transcript/update-text"): {"transcript_id": TRANSCRIPT, "transcript_text": "text"},
    ("POST", f"/api/notes/{CONSULTATION}"): {"body": "b", "transcriptId": TRANSCRIPT},
    ("PATCH", f"/api/notes/{NOTE}"): {"body": "b"},
    ("POST", "/api/prompts"): {"prompt_name": "n", "prompt_text": "t", "is_shareable": True},
    ("PATCH", f"/api/prompts/{PROMPT}"): {"prompt_name": "n", "prompt_text": "t", "is_shareable": True},
    ("PATCH", f"/api/prompts/{PROMPT}/add-prompt/{TRANSCRIPT}"): {},
    ("POST", f"/api/ai/{CONSULTATION}/summarise"): {"usedPrompt": "u"},
    ("POST", "/api/ai/analyze"): {"prompt": "p", "images": ["https://x"]},
}


READS = [
    "/users/users/checkEmail?email=a@b",
    "/users/profile",
    "/api/consultation",
    f"/api/consultation/{CONSULTATION}",
    f"/api/transcript/{CONSULTATION}",
    f"/api/notes/{CONSULTATION}",
    "/api/prompts",
    "/api/ai/search/clinicalcodes?name=x",
]


def everything() -> list[RecordedRequest]:
    """Return a valid request to every endpoint that uses the database; none of them makes a later one fail."""
    requests = [post("/users/register", {"username": "b", "email": "b@x", "password": "p", "role": "patient"})]
    requests += [get(path, FOREVER, method) for path in READS for method in ("GET", "HEAD")]
    requests += [post("/api/ai/search?query=q", token=FOREVER)]
    requests += [post(path, body, FOREVER, method) for (method, path), body in WRITES.items()]
    requests += [get(path, FOREVER, "DELETE") for path in (f"/api/notes/{NOTE}", f"/api/prompts/{PROMPT}")]
    return [*requests, post("/users/logout", token=FOREVER)]
