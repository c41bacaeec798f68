"""The model's failures as the errors of openai's Node SDK 5.21, which appear in the legacy's answers. Pure.

If the SDK accepts an answer and the legacy's `completion.choices[0].message.content` then fails, the message is V8's.
"""

from dataclasses import dataclass
from typing import Final

from handlers.legacy.javascript import (
    UNDEFINED,
    JavaScriptTypeError,
    JSONSyntaxError,
    Value,
    is_true,
    parse,
    stringify,
)
from handlers.services.model import InvalidResponseError, ModelError, ModelRefusedError, ModelTimeoutError, is_json
from handlers.services.transcription import UNDECODABLE

_EXCERPT_LINES: Final = 3
_SDK: Final = "/srv/legacy/node_modules/openai"
_GENERATED_AT: Final = {400: 45, 401: 48, 403: 51, 404: 54, 409: 57, 422: 60, 429: 63}
_NO_BODY: Final = (
    "/srv/legacy/routes/summary.routes.js:77:11",
    "Layer.handleRequest (/srv/legacy/node_modules/router/lib/layer.js:152:17)",
)

Failure = ModelError | JavaScriptTypeError | JSONSyntaxError


@dataclass(frozen=True)
class ModelFault:
    """A JavaScript error: its `type` is UNDEFINED unless the model stated one; `frames` as far as known."""

    name: str
    message: str
    type: Value = UNDEFINED
    frames: tuple[str, ...] = ()

    def stack_excerpt(self) -> str:
        """Return the first three lines of the error's stack, or only its headline if the frames are unknown."""
        lines = f"{self.name}: {self.message}".split("\n")
        return "\n".join([*lines, *(f"    at {frame}" for frame in self.frames)][:_EXCERPT_LINES])


def describe(error: Failure) -> ModelFault:
    """Return the error that the legacy would have caught."""
    if isinstance(error, ModelRefusedError):
        return _refusal(error.status, error.body)
    if isinstance(error, ModelTimeoutError):
        return ModelFault("Error", "Request timed out.")
    if isinstance(error, ModelError):
        return ModelFault("Error", "Connection error.")
    if isinstance(error, JSONSyntaxError):
        return ModelFault("SyntaxError", str(error))
    return ModelFault("TypeError", str(error), frames=_NO_BODY if "'req.body'" in str(error) else ())


def is_undecodable(error: ModelError) -> bool:
    """Return whether the error that the legacy would have caught says that audio could not be decoded."""
    if not isinstance(error, InvalidResponseError):
        return UNDECODABLE in describe(error).message
    try:
        parse(error.body)  # then the text has no `trim`
    except JSONSyntaxError as fault:
        return UNDECODABLE in str(fault)
    return False


def content_of(response: InvalidResponseError) -> Value:
    """Return `choices[0].message.content` of an answer without text: a value that is not a text.

    Raises `JSONSyntaxError` or `JavaScriptTypeError`, as the legacy would have.
    """
    value: Value = response.body
    if is_json(response.media_type):
        value = parse(response.body)
    for name in ("choices", "0", "message", "content"):
        value = _member(value, name)
    return value


def _member(value: Value, name: str) -> Value:
    if value is None or value is UNDEFINED:
        kind = "null" if value is None else "undefined"
        raise JavaScriptTypeError(f"Cannot read properties of {kind} (reading '{name}')")
    if isinstance(value, dict):
        return value.get(name, UNDEFINED)
    if isinstance(value, list | str) and name == "0" and value:
        return value[0]
    return UNDEFINED


def _refusal(status: int, body: str) -> ModelFault:
    """Return the error of `APIError.generate`: its message is the body's `error.message`, or else the body."""
    line = _GENERATED_AT.get(status, 66 if status >= 500 else 68)
    frames = (
        f"APIError.generate ({_SDK}/core/error.js:{line}:{16 if line == 68 else 20})",
        f"OpenAI.makeStatusError ({_SDK}/client.js:163:32)",
    )
    answer = _json(body)
    error = answer.get("error", UNDEFINED) if isinstance(answer, dict) else UNDEFINED
    text = _message(error) or ("" if is_true(answer) else body)
    stated = error.get("type", UNDEFINED) if isinstance(error, dict) else UNDEFINED
    return ModelFault("Error", f"{status} {text or 'status code (no body)'}", stated, frames)


def _message(error: Value) -> str:
    if not is_true(error):
        return ""
    message = error.get("message", UNDEFINED) if isinstance(error, dict) else UNDEFINED
    if isinstance(message, str) and message:
        return message
    return stringify(message if is_true(message) else error)


def _json(text: str) -> Value:
    try:
        return parse(text)
    except JSONSyntaxError:
        return UNDEFINED
