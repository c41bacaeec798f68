from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from handlers.v1.app import create_v1
from handlers.v1.openapi import WrittenOpenAPI


class CountedApp(FastAPI):
    """An app that counts how often its OpenAPI is created."""

    created = 0

    def openapi(self) -> dict[str, Any]:
        self.created += 1
        return super().openapi()


async def test_concurrent_first_requests_share_one_document() -> None:
    app = CountedApp(title="Books")
    document = WrittenOpenAPI(app)
    answers = await asyncio.gather(*(document.show(Request({"type": "http"})) for _ in range(50)))
    answers.append(await document.show(Request({"type": "http"})))
    assert app.created == 1
    assert {bytes(answer.body) for answer in answers} == {bytes(answers[0].body)}
    assert json.loads(bytes(answers[0].body))["info"]["title"] == "Books"


async def test_cancelled_request_leaves_the_document_to_others() -> None:
    document = WrittenOpenAPI(FastAPI(title="Books"))
    first = asyncio.ensure_future(document.show(Request({"type": "http"})))
    await asyncio.sleep(0)
    first.cancel()
    assert (await document.show(Request({"type": "http"}))).status_code == 200
    assert first.cancelled()


def test_tokens_have_one_security_scheme() -> None:
    schemes = create_v1().openapi()["components"]["securitySchemes"]
    assert schemes == {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}


def test_operations_with_a_body_document_its_errors() -> None:
    operations = [operation for item in create_v1().openapi()["paths"].values() for operation in item.values()]
    documented = {each["operationId"]: each["responses"].keys() for each in operations if "requestBody" in each}
    assert "v1.notes.create" in documented
    assert [name for name, statuses in documented.items() if not {"400", "413", "422", "503"} <= statuses] == []
