"""The errors of mongoose, with the texts and the JSON that clients of the legacy see.

    MongooseError              a cast, a validation or an update is refused
    ├── CastError              a value that its path's type cannot take
    ├── ValidatorError         a value that a validator refuses (required, enum)
    ├── ValidationError        all errors of a document, by path
    ├── VersionError           an array was changed concurrently
    └── DocumentNotFoundError  a document was deleted between read and save

Texts are mongoose 8.18.2's (lib/error/); they include the constructor name of a failed cast's cause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from handlers.legacy.javascript import UNDEFINED, Value, inspect, to_string, value_type

Json: TypeAlias = dict[str, Value]


class MongooseError(Exception):
    """An error of mongoose; `name` and `message` are as in JavaScript."""

    name = "MongooseError"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def to_json(self) -> Json:
        """Return the fields of `JSON.stringify(error)`: none, as for any plain Error."""
        return {}


@dataclass(frozen=True)
class Reason:
    """The cause of a failed cast: its class name and its JSON."""

    name: str
    json: Mapping[str, Value] = field(default_factory=dict)


UNNAMED = "undefined"
"""The printed path of a bare cast; its JSON omits it."""

BSON_ERROR = Reason("BSONError")
TYPE_ERROR = Reason("TypeError")


ASSERTION_ERROR = Reason(
    "AssertionError",
    {"generatedMessage": True, "code": "ERR_ASSERTION", "actual": False, "expected": True, "operator": "=="},
)
"""Node's AssertionError as thrown by `assert.ok`: messages omit its name, and its JSON has its fields."""


class CastFailureError(Exception):
    """A value that a type refuses; the schema's path converts it to a `CastError`."""

    def __init__(self, reason: Reason | None) -> None:
        super().__init__(reason.name if reason else "")
        self.reason = reason


class CastError(MongooseError):
    """A value that a path's type cannot take.

    `kind` is the type as mongoose names it (`string`, `ObjectId`, `Boolean`, `date`, `[ObjectId]`).
    """

    name = "CastError"

    def __init__(
        self, kind: str, value: Value, path: str, reason: Reason | None = None, origin: CastError | None = None
    ) -> None:
        self.kind, self.value, self.path, self.origin = kind, value, path, origin
        self.reason = Reason("CastError", origin.to_json()) if origin else reason
        self.string_value = quoted(value)
        self.value_type = value_type(value)
        shown = self.reason and self.reason.name not in ("AssertionError", "Error") and self.reason.name
        super().__init__(self._text() + (f' because of "{shown}"' if shown else ""))

    def _text(self, model: str = "") -> str:
        text = f"Cast to {self.kind} failed for value {self.string_value} (type {self.value_type})"
        return text + f' at path "{self.path}"' + (f' for model "{model}"' if model else "")

    def name_model(self, model: str) -> None:
        """Add the model's name, and remove the reason, as for a query's filter."""
        self.message = self._text(model)
        self.args = (self.message,)

    def to_json(self) -> Json:
        """Return the fields of mongoose's cast errors in JSON, in its order."""
        return {
            "stringValue": self.string_value,
            "valueType": self.value_type,
            "kind": self.kind,
            "value": self.value,
            "path": UNDEFINED if self.path == UNNAMED else self.path,
            "reason": dict(self.reason.json) if self.reason else self._no_reason,
            "name": self.name,
            "message": self.message,
        }

    _no_reason: Value = None


class UnexplainedCastError(CastError):
    """A cast error whose JSON has no `reason`, not even null."""

    _no_reason: Value = UNDEFINED


def quoted(value: Value) -> str:
    """Return the `stringValue`: util.inspect between double quotes, single quotes at the ends replaced."""
    shown = re.sub(r"\A'|'\Z", '"', inspect(value))
    return shown if shown.startswith('"') else f'"{shown}"'


class ValidatorError(MongooseError):
    """A value that a validator refuses; `kind` is `required`, `enum`, or `cast` for an invalid stored value."""

    name = "ValidatorError"

    def __init__(self, template: str, kind: str, path: str, value: Value) -> None:
        self.kind, self.path, self.value = kind, path, value
        super().__init__(_fill(template, kind, path, value))

    def to_json(self) -> Json:
        """Return the error's own fields, name and message first."""
        return {
            "name": self.name,
            "message": self.message,
            "kind": self.kind,
            "path": self.path,
            "value": self.value,
        }


def _fill(template: str, kind: str, path: str, value: Value) -> str:
    """Replace the template's placeholders one after another, as far as they are still present."""
    shown = value if kind == "cast" else _abridged(value)
    fillings: list[tuple[str, Value]] = [("TYPE", kind), ("PATH", path), ("VALUE", shown)]
    if isinstance(value, str) and kind != "cast":
        fillings.append(("LENGTH", len(value.encode("utf-16-le", "surrogatepass")) // 2))
    for name, filling in fillings:
        template = _replace(template, "{" + name + "}", to_string(filling))
    return template


def _abridged(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    units = value.encode("utf-16-le", "surrogatepass")
    if len(units) <= 60:
        return value
    return units[:60].decode("utf-16-le", "surrogatepass") + "..."


def _replace(text: str, pattern: str, filling: str) -> str:
    """Replace as `String.prototype.replace` with a string: the first match only, with the meanings of `$`."""
    before, match, after = text.partition(pattern)
    if not match:
        return text
    meanings = {"$$": "$", "$&": pattern, "$`": before, "$'": after}
    return before + re.sub(r"\$[$&`']", lambda sign: meanings[sign[0]], filling) + after


class ValidationError(MongooseError):
    """A document's errors by path, in the order in which they were detected.

    `reported` are those that the message names: in mongoose, they include errors corrected since the last detection.
    """

    name = "ValidationError"

    def __init__(self, model: str, errors: Mapping[str, MongooseError], reported: Mapping[str, MongooseError]) -> None:
        self.errors = dict(errors)
        self.summary = f"{model} validation failed"
        parts = (f"{path}: {error.message}" for path, error in reported.items())
        super().__init__(f"{self.summary}: {', '.join(parts)}")

    def to_json(self) -> Json:
        """Return the error's own fields, name and message last."""
        errors: Json = {path: error.to_json() for path, error in self.errors.items()}
        return {"errors": errors, "_message": self.summary, "name": self.name, "message": self.message}


class VersionError(MongooseError):
    """A document, or its array's version, that has changed since it was read."""

    name = "VersionError"

    def __init__(self, identity: Value, version: Value, modified: Sequence[str]) -> None:
        super().__init__(
            f'No matching document found for id "{to_string(identity)}" version {to_string(version)} '
            f'modifiedPaths "{", ".join(modified)}"'
        )


class DocumentNotFoundError(MongooseError):
    """A document that was read and no longer exists when it is saved."""

    name = "DocumentNotFoundError"

    def __init__(self, query: Value, model: str) -> None:
        super().__init__(f'No document found for query "{inspect(query)}" on model "{model}"')
