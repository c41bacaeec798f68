"""`/api/prompts` in the legacy dialect.

A change may set only a prompt's name, text and shareable flag. `sets_any_field` restores the legacy's behaviour: the
body is passed to MongoDB, operators included (contracts/divergences.yaml).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from handlers.legacy.express import Reply, Request, Router, json, json_in_slices
from handlers.legacy.javascript import Value
from handlers.legacy.legacy_errors import legacy_errors
from handlers.legacy.models import PROMPTS, TRANSCRIPTS
from handlers.legacy.mongoose import (
    Document,
    after,
    arrange,
    by_id,
    cast_filter,
    cast_update,
    now,
    write,
    write_array,
    write_object,
)
from handlers.services.prompts import Prompts
from handlers.services.transcripts import Transcripts

CHANGEABLE: Final = ("prompt_name", "prompt_text", "is_shareable")
_NOT_FOUND: Final = {"msg": "Prompt not found or not accessible"}


def refuse(_: str) -> Reply:
    """Return the answer of a failure, without its message."""
    return json(500, {"error": "Internal Server Error"})


@dataclass(frozen=True)
class PromptRoutes:
    """The routes and their services."""

    prompts: Prompts
    transcripts: Transcripts
    sets_any_field: bool

    def router(self) -> Router:
        """Return the routes below `/api/prompts`."""
        router = Router()
        router.post("/", self.create)
        router.get("/", self.list_all)
        router.patch("/:promptId", self.change)
        router.patch("/:promptId/add-prompt/:transcriptId", self.use)
        router.delete("/:promptId", self.delete)
        return router

    @legacy_errors(refuse)
    async def create(self, request: Request) -> Reply:
        """Answer `POST / {prompt_name, prompt_text, is_shareable}`."""
        values = dict(zip(CHANGEABLE, request.fields(*CHANGEABLE), strict=True))
        prompt = Document.create(PROMPTS, {**values, "clinician": request.user_id})
        prompt.validate()
        await self.prompts.add(prompt.to_insert())
        return await json_in_slices(201, {"msg": "Prompt created successfully", "data": prompt.to_json()})

    @legacy_errors(refuse)
    async def list_all(self, request: Request) -> Reply:
        """Answer `GET /`: the caller's own and the shared ones."""
        own = cast_filter(PROMPTS, {"clinician": request.user_id})
        stored = await self.prompts.list_for(own["clinician"])
        shown = write(arrange(PROMPTS, stored), alone=True)
        return json(200, write_object({"prompts": write_array(shown)}))

    @legacy_errors(refuse)
    async def change(self, request: Request) -> Reply:
        """Answer `PATCH /:promptId`, with the fields to set."""
        own = self._own(request)
        updated_at = now()
        update = cast_update(PROMPTS, {**self._changes(request.body), "updated_at": updated_at})
        changed = await self.prompts.change(own["_id"], own["clinician"], update)
        if changed is None:
            return json(404, _NOT_FOUND)
        data = Document.read(PROMPTS, changed, at=after(updated_at)).to_json()
        return await json_in_slices(200, {"msg": "Prompt updated", "data": data})

    def _changes(self, body: Value) -> dict[str, Value]:
        if isinstance(body, list):  # `{...array}`
            body = {str(index): item for index, item in enumerate(body)}
        if not isinstance(body, dict):
            return {}
        return body if self.sets_any_field else {name: body[name] for name in CHANGEABLE if name in body}

    @legacy_errors(refuse)
    async def use(self, request: Request) -> Reply:
        """Answer `PATCH /:promptId/add-prompt/:transcriptId`: link a prompt to a transcript."""
        own = self._own(request)
        prompt = await self.prompts.get_own(own["_id"], own["clinician"])
        if prompt is None:
            return json(404, _NOT_FOUND)
        identity = cast_filter(TRANSCRIPTS, by_id(request.params["transcriptId"]))["_id"]
        used = Document.read(PROMPTS, prompt).get("_id")
        updated_at = now()
        update = cast_update(TRANSCRIPTS, {"prompt_used": used, "updated_at": updated_at})
        changed = await self.transcripts.change(identity, update)
        if changed is None:
            return json(404, {"msg": "Transcript not found"})
        data = Document.read(TRANSCRIPTS, changed, at=after(updated_at)).to_json()
        return await json_in_slices(200, {"msg": "Prompt linked to transcript successfully", "data": data})

    @legacy_errors(refuse)
    async def delete(self, request: Request) -> Reply:
        """Answer `DELETE /:promptId`: a soft deletion."""
        own = self._own(request)
        update = cast_update(PROMPTS, {"is_deleted": True, "updated_at": now()})
        retired = await self.prompts.retire(own["_id"], own["clinician"], update)
        if retired is None:
            return json(404, _NOT_FOUND)
        Document.read(PROMPTS, retired)  # raises where the legacy cannot read it
        return json(200, {"msg": "Prompt deleted successfully"})

    def _own(self, request: Request) -> dict[str, object]:
        """Return the filter for the path's prompt, if it is the caller's own."""
        return cast_filter(PROMPTS, {"_id": request.params["promptId"], "clinician": request.user_id})
