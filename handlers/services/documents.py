"""New documents as they are stored: all fields of the product's collections, in their order. Pure.

The legacy's models (mongoose) produce the same documents, which a test verifies. Each backend and dialect can
therefore read the documents of the others.
"""

import time
from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

Document = dict[str, Any]


def now() -> DatetimeMS:
    """Return the current time as it is stored, in milliseconds."""
    return DatetimeMS(time.time_ns() // 1_000_000)


def new_user(username: str, email: str, password: str, role: str) -> Document:
    """Return a user; `email` is in lower case, `password` hashed."""
    return {
        "username": username,
        "email": email,
        "password": password,
        "role": role,
        "prompts": [],
        "notes": [],
        "transcripts": [],
        "_id": ObjectId(),
        "createdAt": now(),
        "__v": 0,
    }


def new_consultation(clinician: ObjectId, patient: Mapping[str, object] | None) -> tuple[Document, Document]:
    """Return a new consultation and its empty transcript; each refers to the other."""
    consultation: Document = {"clinician": clinician}
    if patient is not None:
        consultation["patient"] = patient
    consultation |= {"notes": [], "status": "active", "_id": ObjectId(), "started_at": now(), "__v": 0}
    transcript = new_transcript(clinician, consultation["_id"])
    return consultation | {"transcript": transcript["_id"]}, transcript


def new_transcript(clinician: ObjectId, consultation: ObjectId) -> Document:
    """Return a consultation's transcript, empty."""
    return {
        "clinician": clinician,
        "consultation": consultation,
        "transcript_text": "",
        "_id": ObjectId(),
        "created_at": now(),
        "__v": 0,
    }


def new_note(clinician: ObjectId, transcript: ObjectId, consultation: ObjectId, body: str) -> Document:
    """Return a note on a consultation; `body` has no surrounding white space."""
    moment = now()
    return {
        "clinician": clinician,
        "transcript": transcript,
        "consultation": consultation,
        "body": body,
        "_id": ObjectId(),
        "created_at": moment,
        "updated_at": moment,
    }


def new_prompt(clinician: ObjectId, name: str, text: str, *, shared: bool) -> Document:
    """Return a prompt; `name` and `text` have no surrounding white space."""
    return {
        "prompt_name": name,
        "prompt_text": text,
        "is_shareable": shared,
        "is_deleted": False,
        "clinician": clinician,
        "transcript_ids": [],
        "_id": ObjectId(),
        "created_at": now(),
        "__v": 0,
    }
