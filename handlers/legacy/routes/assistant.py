"""`/api/ai` in the legacy dialect: research, clinical codes, SOAP summaries, images.

Calls to the model or to the terminology server are cancelled when the client disconnects. The application answers for
an unavailable database, the same way for all endpoints.
"""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, cast

from bson import ObjectId

from handlers.disconnect import cancel_on_disconnect
from handlers.legacy.express import Reply, Request, Router, json
from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, JSONSyntaxError, Value
from handlers.legacy.legacy_errors import legacy_errors
from handlers.legacy.model_errors import content_of, describe
from handlers.legacy.models import CONSULTATIONS
from handlers.legacy.mongoose import Document, by_id, cast_filter
from handlers.services.assistant import Assistant, is_given
from handlers.services.consultations import Consultations
from handlers.services.model import InvalidResponseError, ModelError
from handlers.services.summaries import NoTranscriptsError, Summaries
from handlers.services.terminology import Code, Finder, TerminologyError

FAILURES: Final = (ModelError, JavaScriptTypeError, JSONSyntaxError)


def refuse_summary(reason: str) -> Reply:
    """Return the answer of a failed summary, with the reason."""
    return json(500, {"msg": "Error generating SOAP summary", "error": reason})


@dataclass(frozen=True)
class AssistantRoutes:
    """The routes and their services. `codes_as_list`: return every matching code, not only the first."""

    assistant: Assistant
    terminology: Finder
    consultations: Consultations
    summaries: Summaries
    codes_as_list: bool

    def router(self) -> Router:
        """Return the routes below `/api/ai`, in the legacy's order."""
        router = Router()
        router.post("/search", self.search)
        router.get("/search/clinicalcodes", self.find_codes)
        router.post("/:consultationId/summarise", self.summarise)
        router.post("/analyze", self.analyze)
        return router

    async def search(self, request: Request) -> Reply:
        """Answer `POST /search?query=`: a researched answer; a repeated query is sent as a list."""
        query = cast(Value, request.query.get("query"))
        if not is_given(query):
            return json(400, {"error": "Query is required"})
        try:
            answer = await _content(request, self.assistant.search(query))
        except FAILURES as error:
            request.report_failure(error)
            return json(500, {"error": "Something went wrong", "msg": describe(error).message})
        return json(200, {"query": query, "answer": answer})

    async def find_codes(self, request: Request) -> Reply:
        """Answer `GET /search/clinicalcodes?name=`: the first code alone."""
        try:
            codes = await cancel_on_disconnect(
                request.wait_for_disconnect(), self.terminology.find(request.query.get("name"))
            )
        except TerminologyError as error:
            request.report_failure(error)
            return json(500, {"msg": "Error fetching clinical codes", "error": str(error)})
        if self.codes_as_list:
            return json(200, [_shown(code) for code in codes])
        return json(200, _shown(codes[0])) if codes else json(404, {"msg": "No clinical codes found"})

    @legacy_errors(refuse_summary)
    async def summarise(self, request: Request) -> Reply:
        """Answer `POST /:consultationId/summarise {usedPrompt}`: a SOAP summary, which is not stored."""
        (used_prompt,) = request.fields("usedPrompt")
        identity = cast(ObjectId, cast_filter(CONSULTATIONS, by_id(request.params["consultationId"]))["_id"])
        stored = await self.consultations.get(identity)
        if stored is None:
            return json(404, {"msg": "Consultation not found"})
        Document.read(CONSULTATIONS, stored)  # raises where the legacy cannot read it
        try:
            summary = await _content(request, self.summaries.summarise(identity, used_prompt))
        except NoTranscriptsError:
            return json(404, {"msg": "No transcripts found for this consultation"})
        except FAILURES as error:
            request.report_failure(error)
            return refuse_summary(describe(error).message)
        return json(200, {"msg": "SOAP summary generated", "summary": summary})

    async def analyze(self, request: Request) -> Reply:
        """Answer `POST /analyze {prompt, images}`: an analysis of the images, or an answer to the text alone."""
        try:
            prompt, images = request.fields("prompt", "images")
            response = await _content(request, self.assistant.analyze(prompt, images))
        except FAILURES as error:
            request.report_failure(error)
            fault = describe(error)
            details: Value = {
                "name": fault.name,
                "type": fault.type,
                "message": fault.message,
                "stackExcerpt": fault.stack_excerpt(),
            }
            return json(500, {"status": "error", "error": details})
        return json(200, {"status": "ok", "response": response})


async def _content(request: Request, work: Coroutine[Any, Any, str]) -> Value:
    """Return the model's text, or the value in its position; raises one of `FAILURES`."""
    try:
        return await cancel_on_disconnect(request.wait_for_disconnect(), work)
    except InvalidResponseError as error:
        return content_of(error)


def _shown(code: Code) -> dict[str, Value]:
    fields = {"name": code.name, "code": code.code, "url": code.url}
    return {name: UNDEFINED if value is ... else cast(Value, value) for name, value in fields.items()}
