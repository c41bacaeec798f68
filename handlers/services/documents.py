"""New documents as they are stored: every field that the product's collections have, in their order. Pure.

The legacy's models (mongoose) make the same ones, and a test holds these to them: whichever backend or dialect wrote a
document, any other reads it.
"""

import time
from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

Document = dict[str, Any]


def now() -> DatetimeMS:
    """The moment, as it is stored: in milliseconds."""
    return DatetimeMS(time.time_ns() // 1_000_000)


def new_user(username: str, email: str, password: str, role: str) -> Document:
    """A user; `email` in lower case, `password` hashed."""
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
    """A consultation that begins, and its transcript, in which nothing has been said yet; each refers to the other."""
    consultation: Document = {"clinician": clinician}
    if patient is not None:
        consultation["patient"] = patient
    consultation |= {"notes": [], "status": "active", "_id": ObjectId(), "started_at": now(), "__v": 0}
    transcript = new_transcript(clinician, consultation["_id"])
    return consultation | {"transcript": transcript["_id"]}, transcript


def new_transcript(clinician: ObjectId, consultation: ObjectId) -> Document:
    """A consultation's transcript, empty."""
    return {
        "clinician": clinician,
        "consultation": consultation,
        "transcript_text": "",
        "_id": ObjectId(),
        "created_at": now(),
        "__v": 0,
    }


def new_note(clinician: ObjectId, transcript: ObjectId, consultation: ObjectId, body: str) -> Document:
    """A note on a consultation; `body` without white space around it."""
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
    """A prompt; `name` and `text` without white space around them."""
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
