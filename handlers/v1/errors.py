"""What goes wrong, as `{"detail": …}`: which exception is which status, and what the OpenAPI says of each.

What a client is told never holds what it sent (a password may be in it), nor what the model, the terminology server or
MongoDB said.
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
    """Why a request was refused."""

    detail: str


class FieldError(BaseModel):
    """What is wrong with one field; `loc` is where it stands."""

    loc: list[str | int]
    msg: str
    type: str


class ValidationErrorBody(BaseModel):
    """What is wrong with each field at fault."""

    detail: list[FieldError]


DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "A body that cannot be read",
    401: "No token, or none that counts",
    403: "Not for this role",
    404: "Not there, or somebody else's",
    409: "Not in this state",
    413: "A body too large",
    422: "Fields at fault",
    429: "Too many attempts: see `Retry-After`",
    502: "The service behind this answered with an error",
    503: "MongoDB, or the service behind this, cannot be reached",
    504: "The service behind this did not answer in time",
}
MOST_FAULTS: Final = 20
MOST_STEPS: Final = 20
LONGEST_STEP: Final = 64
"""How many faults a 422 lists, how many steps each place has, and how many characters a step."""

_WITH_BODY: Final = (400, 413, 422)

Responses = dict[int | str, dict[str, Any]]


def error_responses(*statuses: int, body: bool = False) -> Responses:
    """What the OpenAPI says of refusals; `body`: with those of a route that reads one. 503 is always possible."""
    told = {*statuses, *(_WITH_BODY if body else ()), 503}
    return {
        status: {"model": ValidationErrorBody if status == 422 else ErrorBody, "description": DESCRIPTIONS[status]}
        for status in sorted(told)
    }


def error_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """`{"detail": …}` with a status."""
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
    """Return the 429 of a limit that is reached, with `Retry-After`."""
    seconds = error.retry_after if isinstance(error, TooManyAttemptsError) else 1
    return error_response(429, "Too many attempts, please try again later", {"retry-after": str(seconds)})


def validation_error(_: Request, error: Exception) -> Response:
    """422, with the first fields at fault, `MOST_FAULTS` of them, and without what stood in them."""
    faults = error.errors()[:MOST_FAULTS] if isinstance(error, RequestValidationError) else []
    detail = [{"loc": _readable(fault["loc"]), "msg": fault["msg"], "type": fault["type"]} for fault in faults]
    return JSONResponse({"detail": detail}, 422)


def _readable(place: Sequence[str | int]) -> list[str | int]:
    """Where a field stands. A key is the client's own, so it is cut; half a character becomes a question mark."""
    return [step if isinstance(step, int) else _readable_key(step) for step in place[:MOST_STEPS]]


def _readable_key(key: str) -> str:
    return key[:LONGEST_STEP].encode("utf-8", "replace").decode()


def _refusing_method(routes: Sequence[tuple[re.Pattern[str], set[str]]]) -> Callable[[Request, Exception], Response]:
    """405 with all methods of a path; starlette's own says those of the first route that it came upon."""

    def answer(request: Request, _: Exception) -> Response:
        there = {method for pattern, methods in routes if pattern.match(request.url.path) for method in methods}
        return error_response(405, "Method Not Allowed", {"allow": ", ".join(sorted(there))})

    return answer


def _fail(_: Request, __: Exception) -> Response:
    """500; what failed is in the log, and passes on to the server."""
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")


def _gone(_: Request, __: Exception) -> Response:
    """Nobody is there to read it: nginx's status for that, for the log alone."""
    return Response(status_code=499)


def add_error_handlers(app: FastAPI, routes: Sequence[tuple[str, set[str]]]) -> None:
    """Register the handlers of all exceptions; `routes` are the paths with their methods."""
    app.add_exception_handler(405, _refusing_method([(compile_path(path)[0], methods) for path, methods in routes]))
    for kind, (status, detail) in _STATUSES.items():
        app.add_exception_handler(kind, _answering(status, detail))
    app.add_exception_handler(TooManyAttemptsError, too_many_attempts)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(ClientDisconnectedError, _gone)
    app.add_exception_handler(Exception, _fail)


def not_found(what: str) -> HTTPException:
    """404: not there, or somebody else's, which is the same to whoever asks."""
    return HTTPException(404, f"{what} not found")
