"""`/api/v1/transcripts`: the transcripts of a clinician's own consultations."""

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from handlers.services.documents import now
from handlers.v1 import document_readers
from handlers.v1.dependencies import CurrentClinician, ServicesDep
from handlers.v1.document_readers import Document
from handlers.v1.errors import error_responses, not_found
from handlers.v1.routing import create_router
from handlers.v1.schemas import Identity, RequestModel, ResponseModel

router = create_router("transcripts", "/transcripts")


class Text(RequestModel):
    """A transcript's new text."""

    text: Annotated[str, StringConstraints(max_length=200_000)]


class Transcript(ResponseModel):
    """A transcript with its summary."""

    id: Identity
    consultation_id: Identity | None
    text: str
    summary: str | None
    prompt_id: Identity | None
    created_at: datetime
    updated_at: datetime | None

    @classmethod
    def of(cls, document: Document) -> "Transcript":
        """Return the response for a stored transcript."""
        return cls(
            id=document["_id"],
            consultation_id=document_readers.reference(document, "consultation"),
            text=document_readers.text(document, "transcript_text"),
            summary=document_readers.optional_text(document, "summary"),
            prompt_id=document_readers.reference(document, "prompt_used"),
            created_at=document_readers.birth(document, "created_at"),
            updated_at=document_readers.moment(document, "updated_at"),
        )


@router.get("/{transcript_id:id}", responses=error_responses(401, 403, 404, 422))
async def show(transcript_id: Identity, clinician: CurrentClinician, services: ServicesDep) -> Transcript:
    """Read a transcript."""
    document = await services.transcripts.get_own(transcript_id, clinician)
    if document is None:
        raise not_found("Transcript")
    return Transcript.of(document)


@router.put("/{transcript_id:id}", responses=error_responses(401, 403, 404, body=True))
async def replace(
    transcript_id: Identity, body: Text, clinician: CurrentClinician, services: ServicesDep
) -> Transcript:
    """Replace the text of a transcript."""
    update = {"$set": {"transcript_text": body.text, "updated_at": now()}}
    changed = await services.transcripts.change_own(transcript_id, clinician, update)
    if changed is None:
        raise not_found("Transcript")
    return Transcript.of(changed)
