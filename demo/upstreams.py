"""OpenAI and the NHS terminology server, offline. The recordings were made with these services.

Answers depend only on the request, so that every run gives the same ones. Each request is stored in the form of the
recordings (`GET /_calls`, `DELETE /_calls`), so that tests can compare the outside calls of the backends.
"""

import asyncio
import json
import re
from email.message import Message as MimePart
from email.parser import BytesParser
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

_TERMINOLOGY = "https://ontology.nhs.uk"
_TOKEN_PATH = "/authorisation/auth/realms/nhs-digital-terminology/protocol/openid-connect/token"  # noqa: S105
_EXPAND_PATH = "/production1/fhir/ValueSet/$expand"
_SNOMED = "http://snomed.info/sct"
_CODES = ("44054006", "73211009", "46635009")
_MANY = 10_000
_TRANSCRIPTION_DELAY = 0.042  # one to two times the pause between the recordings' frames, which fixes the order

_CODING = re.compile(r"SNOMED.*?summary:\s*(?P<summary>.*)\Z", re.IGNORECASE | re.DOTALL)
_IMAGES = re.compile(r"image.*markdown|markdown.*image", re.IGNORECASE | re.DOTALL)


async def complete_chat(request: Request) -> Response:
    """Answer `POST /v1/chat/completions`: an echo of the last message, or codes for the coding instruction."""
    raw = await request.body()
    body = _parse(raw)
    _store_call(request, json.dumps(_shorten(body)))
    if b"FAIL-AI" in raw:
        return _refusal("model refused")
    if not isinstance(body, dict) or not body.get("messages"):
        return _refusal("messages are required")
    completion = _completion(body.get("model"), _reply(body["messages"]))
    return Response(json.dumps(completion), media_type="application/json")  # ASCII: an echo may hold lone surrogates


async def transcribe(request: Request) -> Response:
    """Answer `POST /v1/audio/transcriptions`: the size of the request in kilobytes."""
    raw = await request.body()
    _store_call(request, json.dumps(_fields(request.headers.get("content-type", ""), raw)))
    if b"FAIL-AUDIO" in raw:
        return _refusal("audio could not be decoded")
    if b"HARD-FAIL" in raw:
        return _refusal("quota")
    await asyncio.sleep(_TRANSCRIPTION_DELAY)
    part = "final" if b'filename="final-' in raw else "partial"
    return PlainTextResponse(f" heard {len(raw) // 1000}k {part} \n")


async def grant_token(request: Request) -> Response:
    """Return a token of the terminology server to any client."""
    _store_call(request, (await request.body()).decode(errors="replace"))
    return JSONResponse({"access_token": "nhs-token", "expires_in": 300, "token_type": "Bearer"})


async def expand(request: Request) -> Response:
    """Answer `ValueSet/$expand`: three codes for any filter, none for `zzz…`, 500 for `boom…`."""
    _store_call(request, "")
    term = request.query_params.get("filter", "")
    if term.startswith("boom"):
        return JSONResponse({"resourceType": "OperationOutcome"}, 500)
    codes = () if term.startswith("zzz") else _CODES
    contains = [{"system": _SNOMED, "code": code, "display": f"{term} {index}"} for index, code in enumerate(codes)]
    expansion = {"total": len(contains), "contains": contains}
    return JSONResponse({"resourceType": "ValueSet", "expansion": expansion})


async def show_calls(request: Request) -> Response:
    return JSONResponse(request.app.state.calls)


async def forget_calls(request: Request) -> Response:
    request.app.state.calls.clear()
    return Response(status_code=204)


def create_app() -> Starlette:
    """Return the offline services, with an empty list of calls."""
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", complete_chat, methods=["POST"]),
            Route("/v1/audio/transcriptions", transcribe, methods=["POST"]),
            Route(_TOKEN_PATH, grant_token, methods=["POST"]),
            Route(_EXPAND_PATH, expand, methods=["GET"]),
            Route("/_calls", show_calls, methods=["GET"]),
            Route("/_calls", forget_calls, methods=["DELETE"]),
        ]
    )
    app.state.calls = []
    return app


app = create_app()


def _store_call(request: Request, body: str) -> None:
    """Add a call in the form of the recordings: OpenAI by its path, the terminology server by its address."""
    path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1").partition("?")[0]
    query = request.scope["query_string"].decode("latin-1")
    host = "" if path.startswith("/v1/") else _TERMINOLOGY
    content_type = request.headers.get("content-type")
    call = {
        "method": request.method,
        "path": host + path + (f"?{query}" if query else ""),
        "auth": request.headers.get("authorization"),
        "ctype": content_type.partition(";")[0].strip() if content_type else None,
        "body": body,
    }
    calls: list[dict[str, str | None]] = request.app.state.calls
    calls.append(call)
    del calls[:-_MANY]


def _reply(messages: list[Any]) -> str:
    instructions, last = _content(messages[0]), _content(messages[-1])
    if isinstance(last, list):
        return f"images={sum(_is_image(part) for part in last)} text={_first_text(last)}"
    if isinstance(instructions, str) and len(messages) > 1 and _CODING.search(instructions):
        return "not json" if "BADJSON" in instructions + str(last) else json.dumps(_highlights())
    text = last if isinstance(last, str) else ""
    return f"  answer[{len(text)}]: {text[:60]}  "


def _highlights() -> list[dict[str, str]]:
    return [{"term": "diabetes", "possible_snomed": _CODES[0]}]


def _content(message: Any) -> Any:
    return message.get("content") if isinstance(message, dict) else None


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image_url"


def _first_text(parts: list[Any]) -> str:
    texts = (part["text"] for part in parts if isinstance(part, dict) and part.get("type") == "text" and "text" in part)
    return next((str(text) for text in texts), "")


def _completion(model: Any, content: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    return {
        "id": "chatcmpl-offline",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _refusal(message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, 400)


def _shorten(body: Any) -> Any:
    """Return the body with constant instructions shortened in angle brackets, as in the recordings."""
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        return body
    messages = [_shorten_message(message, body["messages"][-1]) for message in body["messages"]]
    return {**body, "messages": messages}


def _shorten_message(message: Any, last: Any) -> Any:
    text = _content(message)
    if message is last or not isinstance(text, str) or message.get("role") != "system":
        return message
    if isinstance(_content(last), list) and _IMAGES.search(text):
        return {**message, "content": "<instructions for image analysis: UK medical expert, markdown>"}
    if match := _CODING.search(text):
        about = "a JSON array of terms with possible SNOMED codes, from the summary"
        return {**message, "content": f"<instructions: {about}: {match['summary'].strip()}>"}
    return message


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def _fields(content_type: str, raw: bytes) -> dict[str, Any]:
    """Return a multipart form's fields by name; for a file its name, type and size in bytes."""
    parsed = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1") + raw)
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    return {str(part.get_param("name", header="content-disposition")): _field(part) for part in parts}


def _field(part: MimePart) -> Any:
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    if (filename := part.get_filename()) is None:
        return content.decode(errors="replace")
    return {"filename": filename, "type": part.get_content_type(), "size": len(content)}
