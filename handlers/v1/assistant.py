"""`/api/v1/ai`: requests to the model and the terminology server."""

from typing import Annotated

from fastapi import HTTPException, Query, Request
from pydantic import Field, StringConstraints

from handlers.disconnect import cancel_on_disconnect, wait_for_disconnect
from handlers.services.summaries import NoTranscriptsError
from handlers.services.terminology import Code
from handlers.v1.consultations import get_own_consultation
from handlers.v1.dependencies import CurrentClinician, ServicesDep
from handlers.v1.errors import error_responses
from handlers.v1.routing import create_router
from handlers.v1.schemas import Identity, Line, OutsideText, Prose, RequestModel, ResponseModel

router = create_router("ai", "/ai")


Image = Annotated[str, StringConstraints(pattern=r"^(https?://.+|data:image/.+|[A-Za-z0-9+/]+={0,2})$")]
"""A URL or a base64 image, in a format that `handlers.services.images` accepts."""


class SearchRequest(RequestModel):
    """A question to search for."""

    query: Annotated[Prose, Field(max_length=4000)]


class Answer(ResponseModel):
    """The question and the model's answer."""

    query: str
    answer: OutsideText


class SummaryRequest(RequestModel):
    """The consultation to summarise, with instructions in place of a SOAP summary."""

    consultation_id: Identity
    instructions: Prose | None = None


class Summary(ResponseModel):
    """A summary, which is not stored."""

    summary: OutsideText


class ImageAnalysisRequest(RequestModel):
    """Images, as URLs or in base64, with a prompt. Without a prompt, the model describes them."""

    images: Annotated[list[Image], Field(min_length=1, max_length=10)]
    prompt: Prose | None = None


class Analysis(ResponseModel):
    """The model's analysis of images, in markdown."""

    response: OutsideText


class ClinicalCode(ResponseModel):
    """A concept of a code system; values that the terminology server does not state are null."""

    name: OutsideText | None
    code: OutsideText | None
    url: OutsideText | None

    @classmethod
    def of(cls, code: Code) -> "ClinicalCode":
        """Return the response for a code."""
        values = (value if isinstance(value, str) else None for value in (code.name, code.code, code.url))
        return cls(**dict(zip(("name", "code", "url"), values, strict=True)))


@router.post("/search", responses=error_responses(401, 403, 502, 504, body=True))
async def search(body: SearchRequest, request: Request, clinician: CurrentClinician, services: ServicesDep) -> Answer:
    """Ask for medical information. No personal diagnosis is given."""
    answer = await cancel_on_disconnect(wait_for_disconnect(request.receive), services.assistant.search(body.query))
    return Answer(query=body.query, answer=answer)


@router.post("/summary", responses=error_responses(401, 403, 404, 409, 502, 504, body=True))
async def summarise(
    body: SummaryRequest, request: Request, clinician: CurrentClinician, services: ServicesDep
) -> Summary:
    """Summarise a consultation. The default format is SOAP."""
    await get_own_consultation(services, body.consultation_id, clinician)
    try:
        work = services.summaries.summarise(body.consultation_id, body.instructions)
        return Summary(summary=await cancel_on_disconnect(wait_for_disconnect(request.receive), work))
    except NoTranscriptsError:
        raise HTTPException(409, "Nothing has been said in this consultation yet") from None


@router.post("/images", responses=error_responses(401, 403, 502, 504, body=True))
async def analyze(
    body: ImageAnalysisRequest, request: Request, clinician: CurrentClinician, services: ServicesDep
) -> Analysis:
    """Explain images."""
    work = services.assistant.analyze(body.prompt, body.images)
    return Analysis(response=await cancel_on_disconnect(wait_for_disconnect(request.receive), work))


@router.get("/codes", responses=error_responses(401, 403, 422, 502, 504))
async def find_codes(
    name: Annotated[Line, Query(description="a term, as in `diabetes`")],
    request: Request,
    clinician: CurrentClinician,
    services: ServicesDep,
) -> list[ClinicalCode]:
    """Find clinical codes (SNOMED CT, UK) for a term, best first."""
    codes = await cancel_on_disconnect(wait_for_disconnect(request.receive), services.terminology.find(name))
    return [ClinicalCode.of(code) for code in codes]
