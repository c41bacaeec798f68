"""The legacy's models: the fields of its documents, in the order in which it writes them.

Logged-out tokens have none here: `handlers.services.token_blocklist` stores them.
"""

from __future__ import annotations

from typing import Final

from handlers.legacy.mongoose.moments import now
from handlers.legacy.mongoose.path_types import BooleanPath, DatePath, IdListPath, IdPath, MixedPath, StringPath
from handlers.legacy.mongoose.schema import Schema

USERS: Final = Schema(
    "users",
    [
        StringPath("username", required=True, trim=True),
        StringPath("email", required=True, lowercase=True),
        StringPath("password", required=True),
        StringPath("role", required=True, enum=("patient", "clinician")),
        IdListPath("prompts", ref="prompts"),
        IdListPath("notes", ref="notes"),
        IdListPath("transcripts", ref="transcripts"),
        DatePath("createdAt", default=now, early=False),
    ],
)

CONSULTATIONS: Final = Schema(
    "consultations",
    [
        IdPath("clinician", required=True, ref="users"),
        MixedPath("patient"),
        IdPath("transcript", ref="transcripts"),
        IdListPath("notes", ref="notes"),
        DatePath("started_at", default=now, early=False),
        DatePath("ended_at"),
        StringPath("status", enum=("active", "ended"), default="active"),
    ],
)

TRANSCRIPTS: Final = Schema(
    "transcripts",
    [
        IdPath("clinician", required=True, ref="users"),
        IdPath("consultation", required=True, ref="consultations"),
        StringPath("transcript_text"),
        MixedPath("summary"),
        IdPath("prompt_used", ref="prompts"),
        DatePath("created_at", default=now, early=False),
        DatePath("updated_at"),
    ],
)

NOTES: Final = Schema(
    "notes",
    [
        IdPath("clinician", required=True, ref="users"),
        IdPath("transcript", required=True, ref="transcripts"),
        IdPath("consultation", required=True, ref="consultations"),
        StringPath("body", required=True, trim=True),
        DatePath("created_at", default=now, early=False),
        DatePath("updated_at", default=now, early=False),
    ],
    versioned=False,
)

PROMPTS: Final = Schema(
    "prompts",
    [
        StringPath("prompt_name", required=True, trim=True),
        StringPath("prompt_text", required=True, trim=True),
        BooleanPath("is_shareable", default=False),
        BooleanPath("is_deleted", default=False),
        IdPath("clinician", required=True, ref="users"),
        IdListPath("transcript_ids", ref="transcripts"),
        DatePath("created_at", default=now, early=False),
        DatePath("updated_at"),
    ],
)
