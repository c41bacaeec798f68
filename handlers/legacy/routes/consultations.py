"""`/api/consultation` in the legacy dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from handlers.legacy.express import Reply, Request, Router, json, json_in_slices
from handlers.legacy.javascript import JavaScriptTypeError, JsonText
from handlers.legacy.legacy_errors import legacy_errors
from handlers.legacy.models import CONSULTATIONS, PROMPTS, TRANSCRIPTS
from handlers.legacy.mongoose import (
    Changes,
    Document,
    MongooseError,
    after,
    by_id,
    cast_filter,
    identity_of,
    now,
    to_bson,
    write_array,
    write_object,
)
from handlers.legacy.populate import Fetch, Populate, check_reference, populate
from handlers.services.assistant import Assistant
from handlers.services.consultations import Consultations
from handlers.services.prompts import Prompts
from handlers.storage.errors import LaterWriteRefusedError

CLINICIAN: Final = Populate("clinician", ("username", "email"))
NOTES: Final = Populate("notes", ("body", "clinician"), (CLINICIAN,))
PROMPT: Final = Populate("prompt_used", ("prompt_name", "prompt_text"))
LIST: Final = (CLINICIAN, NOTES, Populate("transcript"))
ONE: Final = (CLINICIAN, NOTES, Populate("transcript", populate=(PROMPT,)))


def refuse_start(_: str) -> Reply:
    """Return the answer of a failed start."""
    return json(500, {"msg": "Error starting consultation"})


def refusing(operation: str) -> Callable[[str], Reply]:
    """Return a function for the answer to other failures, which states the operation and the reason."""
    return lambda message: json(500, {"msg": f"Error {operation}", "error": message})


@dataclass(frozen=True)
class ConsultationRoutes:
    """The routes and their services; `fetch` reads the documents to populate."""

    consultations: Consultations
    prompts: Prompts
    assistant: Assistant
    fetch: Fetch

    def router(self) -> Router:
        """Return the routes below `/api/consultation`."""
        router = Router()
        router.post("/start", self.start)
        router.post("/:id/end", self.end)
        router.get("/", self.list_all)
        router.get("/:id", self.show)
        return router

    @legacy_errors(refuse_start)
    async def start(self, request: Request) -> Reply:
        """Answer `POST /start {patient_data}`: a consultation and its transcript."""
        (patient,) = request.fields("patient_data")
        consultation = Document.create(CONSULTATIONS, {"clinician": request.user_id, "patient": patient})
        consultation.validate()
        document = consultation.to_insert()
        links = {"clinician": request.user_id, "consultation": consultation.get("_id"), "transcript_text": ""}
        transcript = Document.create(TRANSCRIPTS, links)
        transcript.set("created_at", after(cast("DatetimeMS", document["started_at"])))
        transcript.validate()
        consultation.set("transcript", transcript.get("_id"))
        document["transcript"] = transcript.get("_id")
        await self.consultations.start(document, transcript.to_insert())
        data = {"consultation": consultation.to_json(), "transcript": transcript.to_json()}
        return await json_in_slices(200, {"msg": "Consultation started", "data": data})

    @legacy_errors(refusing("fetching consultations"))
    async def list_all(self, request: Request) -> Reply:
        """Answer `GET /`: the caller's own, newest first."""
        own = cast_filter(CONSULTATIONS, {"clinician": request.user_id})
        stored = await self.consultations.list_of(own["clinician"])
        shown = await populate(CONSULTATIONS, stored, LIST, self.fetch)
        return json(200, write_object({"consultations": write_array(shown)}))

    @legacy_errors(refusing("fetching consultation"))
    async def show(self, request: Request) -> Reply:
        """Answer `GET /:id`: one of the caller's own."""
        own = cast_filter(CONSULTATIONS, {"_id": request.params["id"], "clinician": request.user_id})
        stored = await self.consultations.get_own(own["_id"], own["clinician"])
        if stored is None:
            return json(404, {"msg": "Consultation not found or invalid"})
        (shown,) = await populate(CONSULTATIONS, [stored], ONE, self.fetch)
        return json(200, write_object({"consultation": JsonText(shown)}))

    @legacy_errors(refusing("ending consultation"))
    async def end(self, request: Request) -> Reply:
        """Answer `POST /:id/end {prompt_used}`: any clinician's; without a summary if the model fails."""
        (prompt_used,) = request.fields("prompt_used")
        stored = await self.consultations.get(cast_filter(CONSULTATIONS, by_id(request.params["id"]))["_id"])
        if stored is None:
            return json(404, {"msg": "Consultation not found"})
        read_at = now()
        consultation = Document.read(CONSULTATIONS, stored, at=read_at)
        transcript = await self._transcript_of(consultation)
        if transcript is None:
            return json(404, {"msg": "Transcript not found"})
        prompt = await self.prompts.get(cast_filter(PROMPTS, by_id(prompt_used))["_id"])
        if prompt is None:
            return json(404, {"msg": "Prompt not found"})
        return await self._conclude(consultation, transcript, Document.read(PROMPTS, prompt), read_at)

    async def _transcript_of(self, consultation: Document) -> Document | None:
        """Return the transcript of the consultation's populated link; without one, that with the id null, if any."""
        link = consultation.get("transcript")
        check_reference(CONSULTATIONS.paths["transcript"], link)
        identity = identity_of(link)
        stored = await self.consultations.transcript(identity) if isinstance(identity, ObjectId) else None
        if stored is None:  # `findById(undefined)`
            stored = await self.consultations.transcript(None)
        return None if stored is None else Document.read(TRANSCRIPTS, stored)

    async def _conclude(
        self, consultation: Document, transcript: Document, prompt: Document, read_at: DatetimeMS
    ) -> Reply:
        """Summarise, update the transcript without validation, then save the consultation read at `read_at` with it."""
        texts = text_of(prompt, "prompt_text"), text_of(transcript, "transcript_text")
        conclusion = await self.assistant.conclude(*texts)
        updated_at = after(read_at)
        summary = {"summary": to_bson(conclusion.summary)} if conclusion.summary else {}
        change: tuple[dict[str, object], dict[str, object]] = (
            {"_id": to_bson(transcript.get("_id"))},
            {"$set": {**summary, "updated_at": updated_at}},
        )
        consultation.set("status", "ended")
        ended_at = after(updated_at)  # the legacy reads the updated transcript at this moment, too
        consultation.set("ended_at", ended_at)
        updated = await self._save(change, consultation)
        answer: dict[str, object] = {
            "msg": "Consultation ended successfully",
            "transcript": None if updated is None else Document.read(TRANSCRIPTS, updated, at=ended_at).to_json(),
            "summary": conclusion.summary or "Summary not generated",
            "highlights": conclusion.highlights,
        }
        return await json_in_slices(200, answer)

    async def _save(
        self, transcript: tuple[dict[str, object], dict[str, object]], consultation: Document
    ) -> dict[str, Any] | None:
        """Write both documents together, or the transcript alone if the consultation is refused, as the legacy does.

        Return the updated transcript.
        """
        try:
            consultation.validate()
            ended = expect(consultation)
            updated, was_ended = await self.consultations.end(transcript, (ended.where, ended.update))
        except (MongooseError, JavaScriptTypeError, LaterWriteRefusedError):
            await self.consultations.update_transcript(*transcript)
            raise
        if not was_ended:
            raise consultation.conflict(ended)
        return updated


def text_of(document: Document, field: str) -> str | None:
    """Return a text field, None if it is absent, null or empty."""
    value = document.get(field)
    return value if isinstance(value, str) and value else None


def expect(document: Document) -> Changes:
    """Return the changes of a document that must have some."""
    changes = document.changes()
    if changes is None:
        raise TypeError("a document with a new date has not changed")
    return changes
