"""`/api/v1/consultations`: a clinician's own consultations."""

from datetime import datetime
from typing import Annotated, Literal

from bson import ObjectId
from fastapi import HTTPException, Request
from pydantic import Field

from handlers.container import Services
from handlers.disconnect import cancel_on_disconnect, wait_for_disconnect
from handlers.services.documents import new_consultation
from handlers.storage.errors import RefusedError, UnstorableError
from handlers.surrogates import well_formed
from handlers.v1 import document_readers
from handlers.v1.dependencies import CurrentClinician, ServicesDep
from handlers.v1.document_readers import Document
from handlers.v1.errors import error_responses, not_found
from handlers.v1.routing import create_router
from handlers.v1.schemas import Identity, Json, Key, OutsideText, Page, Paging, RequestModel, ResponseModel

router = create_router("consultations", "/consultations")

PatientData = Annotated[dict[Key, Json], Field(max_length=100)]


class NewConsultation(RequestModel):
    """A consultation to start, with patient data in fields of the client's choice."""

    patient_data: PatientData | None = None


class EndConsultationRequest(RequestModel):
    """The prompt for the summary; without one, a SOAP summary."""

    prompt_id: Identity | None = None


class Consultation(ResponseModel):
    """A consultation; its transcript and notes are read by their ids."""

    id: Identity
    status: Literal["active", "ended"]
    patient_data: dict[str, object] | None
    transcript_id: Identity | None
    note_ids: list[Identity]
    started_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, document: Document) -> "Consultation":
        """Return the response for a stored consultation."""
        return cls(
            id=document["_id"],
            status="ended" if document.get("status") == "ended" else "active",
            patient_data=document_readers.mapping(document, "patient"),
            transcript_id=document_readers.reference(document, "transcript"),
            note_ids=document_readers.references(document, "notes"),
            started_at=document_readers.birth(document, "started_at"),
            ended_at=document_readers.moment(document, "ended_at"),
        )


class Highlight(ResponseModel):
    """A term to code, and a SNOMED CT concept that may fit it."""

    term: OutsideText
    possible_snomed: OutsideText


class Ended(Consultation):
    """An ended consultation, its summary (null if the model failed) and the terms to code."""

    summary: OutsideText | None
    highlights: list[Highlight]


@router.post("/start", responses=error_responses(401, 403, body=True))
async def start(new: NewConsultation, clinician: CurrentClinician, services: ServicesDep) -> Consultation:
    """Start a consultation."""
    consultation, transcript = new_consultation(clinician, new.patient_data)
    try:
        await services.consultations.start(consultation, transcript)
    except RefusedError as error:
        raise UnstorableError(str(error)) from error
    return Consultation.of(consultation)


@router.get("", responses=error_responses(401, 403, 422))
async def list_own(page: Paging, clinician: CurrentClinician, services: ServicesDep) -> Page[Consultation]:
    """List consultations, newest first."""
    consultations, total = await services.consultations.page_of(clinician, limit=page.limit, skip=page.offset)
    return Page(
        items=[Consultation.of(each) for each in consultations], total=total, limit=page.limit, offset=page.offset
    )


@router.get("/{consultation_id:id}", responses=error_responses(401, 403, 404, 422))
async def show(consultation_id: Identity, clinician: CurrentClinician, services: ServicesDep) -> Consultation:
    """Read a consultation."""
    return Consultation.of(await get_own_consultation(services, consultation_id, clinician))


@router.post("/{consultation_id:id}/end", responses=error_responses(401, 403, 404, 409, body=True))
async def end(
    consultation_id: Identity,
    ending: EndConsultationRequest,
    request: Request,
    clinician: CurrentClinician,
    services: ServicesDep,
) -> Ended:
    """End a consultation. Its transcript is summarised and coded as far as the model answers."""
    consultation = await get_own_consultation(services, consultation_id, clinician)
    if consultation.get("status") == "ended":
        raise HTTPException(409, "Consultation already ended")
    instructions = await _instructions(services, ending.prompt_id, clinician)
    transcript = await services.transcripts.get_own(document_readers.reference(consultation, "transcript"), clinician)
    if transcript is None:
        raise not_found("Transcript")
    conclusion = await cancel_on_disconnect(
        wait_for_disconnect(request.receive),
        services.assistant.conclude(instructions, document_readers.text(transcript, "transcript_text")),
    )
    summary = None if conclusion.summary is None else well_formed(conclusion.summary)
    ended = await services.consultations.finish(consultation_id, clinician, summary)
    if ended is None:
        raise HTTPException(409, "Consultation already ended")
    highlights = highlights_of(conclusion.highlights)
    return Ended(**dict(Consultation.of(ended)), summary=summary, highlights=highlights)


async def get_own_consultation(services: Services, identity: ObjectId, clinician: ObjectId) -> Document:
    """Return the caller's own stored consultation; raises a 404."""
    consultation = await services.consultations.get_own(identity, clinician)
    if consultation is None:
        raise not_found("Consultation")
    return consultation


async def _instructions(services: Services, prompt: ObjectId | None, clinician: ObjectId) -> str | None:
    """Return the text of a prompt that the clinician may use, None without a prompt; raises a 404."""
    if prompt is None:
        return None
    document = await services.prompts.get_visible(prompt, clinician)
    if document is None:
        raise not_found("Prompt")
    return document_readers.text(document, "prompt_text")


def highlights_of(answer: object) -> list[Highlight]:
    """Return the terms to code, as far as the model's answer has the expected format."""
    items = answer if isinstance(answer, list) else []
    pairs = [(each.get("term"), each.get("possible_snomed")) for each in items if isinstance(each, dict)]
    return [
        Highlight(term=term, possible_snomed=code)
        for term, code in pairs
        if isinstance(term, str) and isinstance(code, str)
    ]
