"""`/api/notes` in the legacy dialect."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

from bson.datetime_ms import DatetimeMS

from handlers.legacy.express import Reply, Request, Router, json, json_in_slices
from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, Value, is_true
from handlers.legacy.legacy_errors import legacy_errors
from handlers.legacy.models import CONSULTATIONS, NOTES
from handlers.legacy.mongoose import (
    Document,
    MongooseError,
    by_id,
    cast_filter,
    now,
    write_array,
    write_object,
)
from handlers.legacy.populate import Fetch, Populate, populate
from handlers.services.consultations import Consultations
from handlers.services.notes import Notes
from handlers.storage.errors import DuplicateError, LaterWriteRefusedError

CLINICIAN: Final = Populate("clinician", ("username", "email"))
_NOT_FOUND: Final = {"msg": "Note not found."}
_NOT_YOURS: Final = {"msg": "Not authorized."}


def refuse(message: str) -> Reply:
    """Return the answer of a failure, with its message."""
    return json(500, {"msg": "Server error", "error": message})


@dataclass(frozen=True)
class NoteRoutes:
    """The routes and their services; `fetch` reads the documents to populate."""

    notes: Notes
    consultations: Consultations
    fetch: Fetch

    def router(self) -> Router:
        """Return the routes below `/api/notes`."""
        router = Router()
        router.post("/:consultationId", self.create)
        router.get("/:consultationId", self.list_all)
        router.patch("/:noteId", self.change)
        router.delete("/:noteId", self.delete)
        return router

    @legacy_errors(refuse)
    async def create(self, request: Request) -> Reply:
        """Answer `POST /:consultationId {body, transcriptId}`, on any clinician's consultation."""
        body, transcript = request.fields("body", "transcriptId")
        if not is_true(body):
            return json(400, {"msg": "Note body is required."})
        identity = request.params["consultationId"]
        stored = await self.consultations.get(cast_filter(CONSULTATIONS, by_id(identity))["_id"])
        if stored is None:
            return json(404, {"msg": "Consultation not found."})
        values = {"clinician": request.user_id, "transcript": transcript, "consultation": identity, "body": body}
        moment = now()
        note = Document.create(NOTES, values, at=moment)
        note.validate()
        await self._add(note, Document.read(CONSULTATIONS, stored, at=moment))
        return await json_in_slices(201, {"msg": "Note added successfully.", "note": note.to_json()})

    async def _add(self, note: Document, consultation: Document) -> None:
        """Store the note and its link together; if the link is refused, store the note alone, as the legacy does."""
        document = note.to_insert()
        try:
            if not isinstance(consultation.get("notes"), list):
                consultation.set("notes", [])
            consultation.push("notes", note.get("_id"))
            consultation.validate()
            changes = consultation.changes()
            if changes is None:
                raise TypeError("a pushed note is not a change")
            linked = await self.notes.add_to(document, changes.where, changes.update)
        except (MongooseError, JavaScriptTypeError, LaterWriteRefusedError):
            with contextlib.suppress(DuplicateError):  # without transactions it is stored already
                await self.notes.add(document)
            raise
        if not linked:
            raise consultation.conflict(changes)

    @legacy_errors(refuse)
    async def list_all(self, request: Request) -> Reply:
        """Answer `GET /:consultationId`: all notes on any clinician's consultation."""
        wanted = cast_filter(NOTES, {"consultation": request.params["consultationId"]})
        stored = await self.notes.of_consultation(wanted["consultation"])
        shown = await populate(NOTES, stored, [CLINICIAN], self.fetch)
        return json(200, write_object({"count": len(shown), "notes": write_array(shown)}))

    @legacy_errors(refuse)
    async def change(self, request: Request) -> Reply:
        """Answer `PATCH /:noteId {body}`: the caller's own; an empty body leaves the text unchanged."""
        moment, note = await self._find(request)
        if note is None:
            return json(404, _NOT_FOUND)
        if not is_of(note, request.user_id):
            return json(403, _NOT_YOURS)
        body = request.field("body")
        note.set("body", body if is_true(body) else note.get("body"))
        note.set("updated_at", moment)
        await self._save(note)
        return await json_in_slices(200, {"msg": "Note updated.", "note": note.to_json()})

    async def _save(self, note: Document) -> None:
        note.validate()
        changes = note.changes()
        if changes is not None and not await self.notes.change(changes.where, changes.update):
            raise note.conflict(changes)
        note.saved(changes)

    @legacy_errors(refuse)
    async def delete(self, request: Request) -> Reply:
        """Answer `DELETE /:noteId`: the caller's own."""
        _, note = await self._find(request)
        if note is None:
            return json(404, _NOT_FOUND)
        if not is_of(note, request.user_id):
            return json(403, _NOT_YOURS)
        await self.notes.remove(note.get("_id"))
        return json(200, {"msg": "Note deleted successfully."})

    async def _find(self, request: Request) -> tuple[DatetimeMS, Document | None]:
        """Return the path's note, and when it was read."""
        stored = await self.notes.get(cast_filter(NOTES, by_id(request.params["noteId"]))["_id"])
        moment = now()
        return moment, None if stored is None else Document.read(NOTES, stored, at=moment)


def is_of(note: Document, user: Value) -> bool:
    """Compare as `note.clinician.toString() === req.user.userID`, case-sensitively; raises without a clinician."""
    clinician = note.get("clinician")
    if clinician is None or clinician is UNDEFINED:
        kind = "null" if clinician is None else "undefined"
        raise JavaScriptTypeError(f"Cannot read properties of {kind} (reading 'toString')")
    if isinstance(clinician, Document):
        clinician.to_json()  # the text of a document shows its fields, which may raise
    return isinstance(user, str) and str(clinician) == user
