"""The legacy's six models: what its documents hold, in the order it writes them."""

from __future__ import annotations

import time
from typing import Final

from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import Value
from handlers.legacy.mongoose.schema import Boolean, Date, Id, Ids, Mixed, Schema, String


def now() -> DatetimeMS:
    """`Date.now()` as it is stored."""
    return DatetimeMS(time.time_ns() // 1_000_000)


def after(moment: Value) -> DatetimeMS:
    """Now, but later than a moment: the legacy has written something in between."""
    current = now()
    return DatetimeMS(int(moment) + 1) if isinstance(moment, DatetimeMS) and moment >= current else current


USERS: Final = Schema(
    "users",
    [
        String("username", required=True, trim=True),
        String("email", required=True, lowercase=True),
        String("password", required=True),
        String("role", required=True, enum=("patient", "clinician")),
        Ids("prompts", ref="prompts"),
        Ids("notes", ref="notes"),
        Ids("transcripts", ref="transcripts"),
        Date("createdAt", default=now, early=False),
    ],
)

BLACKTOKENS: Final = Schema("blacktokens", [String("blackToken", required=True)], versioned=False)

CONSULTATIONS: Final = Schema(
    "consultations",
    [
        Id("clinician", required=True, ref="users"),
        Mixed("patient"),
        Id("transcript", ref="transcripts"),
        Ids("notes", ref="notes"),
        Date("started_at", default=now, early=False),
        Date("ended_at"),
        String("status", enum=("active", "ended"), default="active"),
    ],
)

TRANSCRIPTS: Final = Schema(
    "transcripts",
    [
        Id("clinician", required=True, ref="users"),
        Id("consultation", required=True, ref="consultations"),
        String("transcript_text"),
        Mixed("summary"),
        Id("prompt_used", ref="prompts"),
        Date("created_at", default=now, early=False),
        Date("updated_at"),
    ],
)

NOTES: Final = Schema(
    "notes",
    [
        Id("clinician", required=True, ref="users"),
        Id("transcript", required=True, ref="transcripts"),
        Id("consultation", required=True, ref="consultations"),
        String("body", required=True, trim=True),
        Date("created_at", default=now, early=False),
        Date("updated_at", default=now, early=False),
    ],
    versioned=False,
)

PROMPTS: Final = Schema(
    "prompts",
    [
        String("prompt_name", required=True, trim=True),
        String("prompt_text", required=True, trim=True),
        Boolean("is_shareable", default=False),
        Boolean("is_deleted", default=False),
        Id("clinician", required=True, ref="users"),
        Ids("transcript_ids", ref="transcripts"),
        Date("created_at", default=now, early=False),
        Date("updated_at"),
    ],
)
