"""`/api/transcript` in the legacy dialect."""

from __future__ import annotations

from dataclasses import dataclass

from handlers.legacy.express import Reply, Request, Router, json, json_in_slices
from handlers.legacy.javascript import JsonText, is_true
from handlers.legacy.legacy_errors import legacy_errors
from handlers.legacy.models import TRANSCRIPTS
from handlers.legacy.mongoose import Document, after, arrange, cast_filter, cast_update, now, write
from handlers.services.transcripts import Transcripts


def refuse_update(_: str) -> Reply:
    """Return the answer of a failed update."""
    return json(500, {"msg": "Internal server error"})


def refuse_fetch(_: str) -> Reply:
    """Return the answer of a failed read."""
    return json(500, {"msg": "Error fetching transcripts"})


@dataclass(frozen=True)
class TranscriptRoutes:
    """The routes and their services."""

    transcripts: Transcripts

    def router(self) -> Router:
        """Return the routes below `/api/transcript`."""
        router = Router()
        router.post("/update-text", self.update_text)
        router.get("/:consultation_id", self.show)
        return router

    @legacy_errors(refuse_update)
    async def update_text(self, request: Request) -> Reply:
        """Answer `POST /update-text {transcript_id, transcript_text}`: the caller's own; null if there is none."""
        identity, text = request.fields("transcript_id", "transcript_text")
        if not (is_true(identity) and is_true(text)):
            return json(400, {"msg": "Missing data"})
        own = cast_filter(TRANSCRIPTS, {"_id": identity, "clinician": request.user_id})
        updated_at = now()
        update = cast_update(TRANSCRIPTS, {"transcript_text": text, "updated_at": updated_at})
        changed = await self.transcripts.change_own(own["_id"], own["clinician"], update)
        data = None if changed is None else Document.read(TRANSCRIPTS, changed, at=after(updated_at)).to_json()
        return await json_in_slices(200, {"msg": "Transcript updated", "data": data})

    @legacy_errors(refuse_fetch)
    async def show(self, request: Request) -> Reply:
        """Answer `GET /:consultation_id`: the caller's own transcript of a consultation, or null."""
        wanted = {"consultation": request.params["consultation_id"], "clinician": request.user_id}
        own = cast_filter(TRANSCRIPTS, wanted)
        stored = await self.transcripts.of_consultation(own["consultation"], own["clinician"])
        return json(200, None if stored is None else JsonText(write(arrange(TRANSCRIPTS, [stored]), alone=True)[0]))
