"""`/api/v1/notes`: a clinician's own notes on their own consultations."""

from datetime import datetime
from typing import Annotated

from fastapi import Query

from handlers.services.documents import new_note, now
from handlers.v1 import document_readers
from handlers.v1.consultations import get_own_consultation
from handlers.v1.dependencies import CurrentClinician, ServicesDep
from handlers.v1.document_readers import Document
from handlers.v1.errors import error_responses, not_found
from handlers.v1.routing import create_router
from handlers.v1.schemas import Identity, Page, Paging, Prose, RequestModel, ResponseModel

router = create_router("notes", "/notes")


class NewNote(RequestModel):
    """A note to add to a consultation."""

    consultation_id: Identity
    body: Prose


class NoteText(RequestModel):
    """A note's new text."""

    body: Prose


class Note(ResponseModel):
    """A note."""

    id: Identity
    consultation_id: Identity | None
    transcript_id: Identity | None
    body: str
    created_at: datetime
    updated_at: datetime | None

    @classmethod
    def of(cls, document: Document) -> "Note":
        """Return the response for a stored note."""
        return cls(
            id=document["_id"],
            consultation_id=document_readers.reference(document, "consultation"),
            transcript_id=document_readers.reference(document, "transcript"),
            body=document_readers.text(document, "body"),
            created_at=document_readers.birth(document, "created_at"),
            updated_at=document_readers.moment(document, "updated_at"),
        )


@router.post("", status_code=201, responses=error_responses(401, 403, 404, body=True))
async def create(new: NewNote, clinician: CurrentClinician, services: ServicesDep) -> Note:
    """Write a note on a consultation."""
    consultation = await get_own_consultation(services, new.consultation_id, clinician)
    transcript = document_readers.reference(consultation, "transcript")
    if transcript is None:
        raise not_found("Transcript")
    note = new_note(clinician, transcript, new.consultation_id, new.body)
    link = {"$push": {"notes": note["_id"]}, "$inc": {"__v": 1}}
    await services.notes.add_to(note, {"_id": new.consultation_id, "clinician": clinician}, link)
    return Note.of(note)


@router.get("", responses=error_responses(401, 403, 404, 422))
async def list_own(
    consultation_id: Annotated[Identity, Query()], page: Paging, clinician: CurrentClinician, services: ServicesDep
) -> Page[Note]:
    """List one's own notes on a consultation, newest first."""
    await get_own_consultation(services, consultation_id, clinician)
    notes, total = await services.notes.page_of(consultation_id, clinician, limit=page.limit, skip=page.offset)
    return Page(items=[Note.of(each) for each in notes], total=total, limit=page.limit, offset=page.offset)


@router.patch("/{note_id:id}", responses=error_responses(401, 403, 404, body=True))
async def change(note_id: Identity, text: NoteText, clinician: CurrentClinician, services: ServicesDep) -> Note:
    """Change a note."""
    update = {"$set": {"body": text.body, "updated_at": now()}}
    changed = await services.notes.change_own(note_id, clinician, update)
    if changed is None:
        raise not_found("Note")
    return Note.of(changed)


@router.delete("/{note_id:id}", status_code=204, responses=error_responses(401, 403, 404, 422))
async def delete(note_id: Identity, clinician: CurrentClinician, services: ServicesDep) -> None:
    """Delete a note."""
    if not await services.notes.remove_own(note_id, clinician):
        raise not_found("Note")
