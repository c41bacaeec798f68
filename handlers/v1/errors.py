"""Error responses as `{"detail": …}`: the status of each exception, and its description in the OpenAPI.

A response never contains request data (it may include a password), nor messages of the model, the terminology server
or MongoDB.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.routing import compile_path

from handlers.dependency_failures import report_failure
from handlers.disconnect import ClientDisconnectedError
from handlers.services.login_limits import TooManyAttemptsError
from handlers.services.model import ModelError, ModelTimeoutError, ModelUnreachableError
from handlers.services.terminology import TerminologyError, TerminologyTimeoutError, TerminologyUnreachableError
from handlers.storage.errors import UnavailableError, UnstorableError

logger = logging.getLogger("handlers.v1")


class ErrorBody(BaseModel):
    """The reason for a refusal."""

    detail: str


class FieldError(BaseModel):
    """An invalid field; `loc` is its path."""

    loc: list[str | int]
    msg: str
    type: str


class ValidationErrorBody(BaseModel):
    """The invalid fields."""

    detail: list[FieldError]


DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "Unreadable body",
    401: "Missing or invalid token",
    403: "Not permitted for this role",
    404: "Not found, or owned by another user",
    409: "Not possible in the current state",
    413: "Body too large",
    422: "Invalid fields",
    429: "Too many attempts: see `Retry-After`",
    502: "The upstream service answered with an error",
    503: "MongoDB or the upstream service is unreachable",
    504: "The upstream service did not answer in time",
}
MAX_FAULTS: Final = 20
MAX_STEPS: Final = 20
MAX_STEP_LENGTH: Final = 64
"""Limits of a 422: number of faults, steps per path, and characters per step."""

_WITH_BODY: Final = (400, 413, 422)

Responses = dict[int | str, dict[str, Any]]


def error_responses(*statuses: int, body: bool = False) -> Responses:
    """Return the OpenAPI descriptions of error statuses, 503 included; `body` adds those of request bodies."""
    all_statuses = {*statuses, *(_WITH_BODY if body else ()), 503}
    return {
        status: {"model": ValidationErrorBody if status == 422 else ErrorBody, "description": DESCRIPTIONS[status]}
        for status in sorted(all_statuses)
    }


def error_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return `{"detail": …}` with a status."""
    return JSONResponse({"detail": detail}, status, headers)


_STATUSES: Final[Mapping[type[Exception], tuple[int, str]]] = {
    UnavailableError: (503, "The database cannot be reached, please try again"),
    ModelTimeoutError: (504, "The model did not answer in time"),
    ModelUnreachableError: (503, "The model cannot be reached"),
    ModelError: (502, "The model gave no usable answer"),
    TerminologyTimeoutError: (504, "The terminology server did not answer in time"),
    TerminologyUnreachableError: (503, "The terminology server cannot be reached"),
    TerminologyError: (502, "The terminology server gave no usable answer"),
    UnstorableError: (422, "What was sent cannot be stored"),
}


def _answering(status: int, detail: str) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        report_failure(request.scope, error)
        logger.warning("answered %s to %s", status, type(error).__name__)
        return error_response(status, detail, {"retry-after": "1"} if status == 503 else None)

    return answer


def too_many_attempts(_: Request, error: Exception) -> Response:
    """Answer 429 for an exceeded limit, with `Retry-After`."""
    seconds = error.retry_after if isinstance(error, TooManyAttemptsError) else 1
    return error_response(429, "Too many attempts, please try again later", {"retry-after": str(seconds)})


def validation_error(_: Request, error: Exception) -> Response:
    """Answer 422 with the first `MAX_FAULTS` invalid fields, without their values."""
    faults = error.errors()[:MAX_FAULTS] if isinstance(error, RequestValidationError) else []
    detail = [{"loc": _readable(fault["loc"]), "msg": fault["msg"], "type": fault["type"]} for fault in faults]
    return JSONResponse({"detail": detail}, 422)


def _readable(path: Sequence[str | int]) -> list[str | int]:
    """Return a field's path; the client's own keys are truncated, and lone surrogates replaced."""
    return [step if isinstance(step, int) else _readable_key(step) for step in path[:MAX_STEPS]]


def _readable_key(key: str) -> str:
    return key[:MAX_STEP_LENGTH].encode("utf-8", "replace").decode()


def _refusing_method(routes: Sequence[tuple[re.Pattern[str], set[str]]]) -> Callable[[Request, Exception], Response]:
    """Return a handler that answers 405 with all methods of a path; Starlette's has only those of the first route."""

    def answer(request: Request, _: Exception) -> Response:
        allowed = {method for pattern, methods in routes if pattern.match(request.url.path) for method in methods}
        return error_response(405, "Method Not Allowed", {"allow": ", ".join(sorted(allowed))})

    return answer


def _fail(_: Request, __: Exception) -> Response:
    """Answer 500; the error is logged, and re-raised to the server."""
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")


def _client_closed(_: Request, __: Exception) -> Response:
    """Return a response that is only logged, with nginx's status 499 for a closed connection."""
    return Response(status_code=499)


def add_error_handlers(app: FastAPI, routes: Sequence[tuple[str, set[str]]]) -> None:
    """Register the handlers of all exceptions; `routes` are the paths with their methods."""
    app.add_exception_handler(405, _refusing_method([(compile_path(path)[0], methods) for path, methods in routes]))
    for kind, (status, detail) in _STATUSES.items():
        app.add_exception_handler(kind, _answering(status, detail))
    app.add_exception_handler(TooManyAttemptsError, too_many_attempts)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(ClientDisconnectedError, _client_closed)
    app.add_exception_handler(Exception, _fail)


def not_found(what: str) -> HTTPException:
    """Return a 404, the answer for missing data and for another clinician's data."""
    return HTTPException(404, f"{what} not found")
