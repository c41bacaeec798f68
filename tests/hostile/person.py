"""A stored clinician, and the endpoints that take a body, with ids of that clinician's documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bson import ObjectId
from pymongo.database import Database

from handlers.services.documents import new_consultation, new_note, new_prompt, new_user
from tests.support.v1_client import TOKENS


@dataclass(frozen=True)
class Person:
    """A clinician with one thing of each kind, as stored."""

    headers: dict[str, str]
    consultation: ObjectId
    transcript: ObjectId
    note: ObjectId
    prompt: ObjectId

    @classmethod
    def store(cls, database: Database[dict[str, object]]) -> Person:
        """Store a new clinician."""
        user = new_user("amara", f"{ObjectId()}@clinic.example", "", "clinician")
        consultation, transcript = new_consultation(user["_id"], None)
        note = new_note(user["_id"], transcript["_id"], consultation["_id"], "text")
        prompt = new_prompt(user["_id"], "name", "text", shared=False)
        for name, document in (
            ("users", user),
            ("consultations", consultation),
            ("transcripts", transcript),
            ("notes", note),
            ("prompts", prompt),
        ):
            database[name].insert_one(document)
        headers = {"authorization": f"Bearer {TOKENS.issue(user['_id'], 'amara')}"}
        return cls(headers, consultation["_id"], transcript["_id"], note["_id"], prompt["_id"])


def endpoints(person: Person) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield every endpoint with a body: method, path and its fields."""
    yield "POST", "/users/register", ("username", "email", "password", "role")
    yield "POST", "/users/login", ("email", "password")
    yield "POST", "/api/consultation/start", ("patient_data",)
    yield "POST", f"/api/consultation/{person.consultation}/end", ("prompt_used",)
    yield "POST", "/api/transcript/update-text", ("transcript_id", "transcript_text")
    yield "POST", f"/api/notes/{person.consultation}", ("body", "transcriptId")
    yield "PATCH", f"/api/notes/{person.note}", ("body",)
    yield "POST", "/api/prompts", ("prompt_name", "prompt_text", "is_shareable")
    yield "PATCH", f"/api/prompts/{person.prompt}", ("prompt_name", "prompt_text", "is_shareable")
    yield "POST", f"/api/ai/{person.consultation}/summarise", ("usedPrompt",)
    yield "POST", "/api/ai/analyze", ("prompt", "images")
    yield "POST", "/api/v1/users/register", ("username", "email", "password", "role")
    yield "POST", "/api/v1/users/login", ("email", "password")
    yield "POST", "/api/v1/consultations/start", ("patient_data",)
    yield "POST", f"/api/v1/consultations/{person.consultation}/end", ("prompt_id",)
    yield "PUT", f"/api/v1/transcripts/{person.transcript}", ("text",)
    yield "POST", "/api/v1/notes", ("consultation_id", "body")
    yield "PATCH", f"/api/v1/notes/{person.note}", ("body",)
    yield "POST", "/api/v1/prompts", ("name", "text", "is_shareable")
    yield "PATCH", f"/api/v1/prompts/{person.prompt}", ("name", "text", "is_shareable")
    yield "POST", "/api/v1/ai/search", ("query",)
    yield "POST", "/api/v1/ai/summary", ("consultation_id", "instructions")
    yield "POST", "/api/v1/ai/images", ("images", "prompt")
