"""`/api/v1/prompts`: a clinician's own prompts, and shared ones, which are read-only."""

from datetime import datetime

from bson import ObjectId

from handlers.services.documents import new_prompt, now
from handlers.v1 import document_readers
from handlers.v1.dependencies import CurrentClinician, ServicesDep
from handlers.v1.document_readers import Document
from handlers.v1.errors import error_responses, not_found
from handlers.v1.routing import create_router
from handlers.v1.schemas import Identity, Line, Page, Paging, Prose, RequestModel, ResponseModel
from handlers.v1.transcripts import Transcript

router = create_router("prompts", "/prompts")


class NewPrompt(RequestModel):
    """A prompt to store."""

    name: Line
    text: Prose
    is_shareable: bool = False


class PromptChanges(RequestModel):
    """Changes to a prompt; omitted and null fields are unchanged."""

    name: Line | None = None
    text: Prose | None = None
    is_shareable: bool | None = None

    def stored(self) -> dict[str, object]:
        """Return the changes as stored fields."""
        fields = {"prompt_name": self.name, "prompt_text": self.text, "is_shareable": self.is_shareable}
        return {name: value for name, value in fields.items() if value is not None}


class Prompt(ResponseModel):
    """A prompt; `is_own` says whether it may be changed."""

    id: Identity
    name: str
    text: str
    is_shareable: bool
    is_own: bool
    created_at: datetime
    updated_at: datetime | None

    @classmethod
    def of(cls, document: Document, clinician: ObjectId) -> "Prompt":
        """Return the response for a stored prompt, as seen by a clinician."""
        return cls(
            id=document["_id"],
            name=document_readers.text(document, "prompt_name"),
            text=document_readers.text(document, "prompt_text"),
            is_shareable=document_readers.flag(document, "is_shareable"),
            is_own=document.get("clinician") == clinician,
            created_at=document_readers.birth(document, "created_at"),
            updated_at=document_readers.moment(document, "updated_at"),
        )


@router.post("", status_code=201, responses=error_responses(401, 403, body=True))
async def create(new: NewPrompt, clinician: CurrentClinician, services: ServicesDep) -> Prompt:
    """Create a prompt."""
    prompt = new_prompt(clinician, new.name, new.text, shared=new.is_shareable)
    await services.prompts.add(prompt)
    return Prompt.of(prompt, clinician)


@router.get("", responses=error_responses(401, 403, 422))
async def list_visible(page: Paging, clinician: CurrentClinician, services: ServicesDep) -> Page[Prompt]:
    """List one's own prompts and the shared ones, newest first."""
    prompts, total = await services.prompts.page_for(clinician, limit=page.limit, skip=page.offset)
    items = [Prompt.of(each, clinician) for each in prompts]
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


@router.patch("/{prompt_id:id}", responses=error_responses(401, 403, 404, body=True))
async def change(
    prompt_id: Identity, changes: PromptChanges, clinician: CurrentClinician, services: ServicesDep
) -> Prompt:
    """Change a prompt of one's own."""
    update = {"$set": {**changes.stored(), "updated_at": now()}}
    changed = await services.prompts.change(prompt_id, clinician, update)
    if changed is None:
        raise not_found("Prompt")
    return Prompt.of(changed, clinician)


@router.delete("/{prompt_id:id}", status_code=204, responses=error_responses(401, 403, 404, 422))
async def delete(prompt_id: Identity, clinician: CurrentClinician, services: ServicesDep) -> None:
    """Delete a prompt of one's own."""
    update = {"$set": {"is_deleted": True, "updated_at": now()}}
    if await services.prompts.change(prompt_id, clinician, update) is None:
        raise not_found("Prompt")


@router.put("/{prompt_id:id}/transcripts/{transcript_id:id}", responses=error_responses(401, 403, 404, 422))
async def tie(
    prompt_id: Identity, transcript_id: Identity, clinician: CurrentClinician, services: ServicesDep
) -> Transcript:
    """Link a prompt to a transcript."""
    if await services.prompts.get_visible(prompt_id, clinician) is None:
        raise not_found("Prompt")
    update = {"$set": {"prompt_used": prompt_id, "updated_at": now()}}
    changed = await services.transcripts.change_own(transcript_id, clinician, update)
    if changed is None:
        raise not_found("Transcript")
    return Transcript.of(changed)
