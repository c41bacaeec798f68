"""Translate pydantic's errors into messages for the author of the file, with suggestions for misspelt keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from proxy.config import renamed, section
from proxy.config.models import RoutingFile
from proxy.wording import closest

Location = tuple[int | str, ...]
_KINDS: Final = {
    "model_type": "must be a mapping (`key: value`)",
    "model_attributes_type": "must be a mapping (`key: value`)",
    "tuple_type": "must be a list",
}
_SWITCHED_ON: Final = frozenset(("true", "yes", "on"))


def is_unknown(error: ErrorDetails) -> bool:
    """Return True if the error is a key that the section does not have."""
    return error["type"] == "extra_forbidden"


def meant_by(location: Location) -> Location | None:
    """Return the location of the key that replaces an unknown key, or resembles it."""
    new = renamed.new_key(location)
    if new is not None:
        sibling = (*location[:-1], new.rpartition(".")[2])
        return sibling if sibling[-1] in section_keys(location[:-1]) else None
    key = str(location[-1])
    close = closest(key.lower(), section_keys(location[:-1]))
    return (*location[:-1], close) if close else None


def message(error: ErrorDetails, location: Location) -> str:
    """Return the message for an error, without the value."""
    if is_unknown(error):
        return _unknown(location)
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "literal_error":
        new = renamed.new_value(location, error["input"])
        if new is not None:
            return f"renamed to `{new}`"
        return f"must be {error['ctx']['expected']}"
    return _KINDS.get(error["type"], error["msg"]) + _form_hint(error, location)


def _form_hint(error: ErrorDetails, location: Location) -> str:
    """Return the suggestion for a value in place of a section or a list: `guard: true`, `stages: 10%`."""
    value, key = error["input"], location[-1] if location else ""
    if not isinstance(value, str) or "\n" in value or len(value) > 40:
        return ""
    if error["type"] == "tuple_type" and key == "stages":
        return f"; did you mean [{value}]?"
    if error["type"] in _KINDS and value.strip().lower() in _SWITCHED_ON:
        model = _section(tuple(part for part in location if isinstance(part, str)))
        required = [name for name, field in section.section_keys(model).items() if field.is_required()] if model else []
        example = ", ".join(f"{name}: …" for name in required)
        return f"; did you mean `{key}: {{{example}}}`" + ("?" if required else ", which takes the defaults?")
    return ""


def section_keys(location: Location) -> list[str]:
    """Return the keys that the section at a location may have."""
    model = _section(tuple(part for part in location if isinstance(part, str)))
    return list(section.section_keys(model)) if model else []


@cache
def all_keys() -> tuple[str, ...]:
    """Return every key of the file as a dotted path such as `legacy.timeouts.connect`.

    Keys of `defaults` and `groups` are omitted, because they are those of `routes`.
    """
    return tuple(key for key in _keys_below(RoutingFile, "") if not key.startswith(("defaults.", "groups.")))


def _unknown(location: Location) -> str:
    new = renamed.new_key(location)
    if new is not None:
        return f"renamed to `{new}`"
    elsewhere = [key for key in all_keys() if key.rpartition(".")[2] == location[-1]]
    if elsewhere:
        return f"unknown key here; it belongs at {' or '.join(f'`{key}`' for key in elsewhere)}"
    meant = meant_by(location)
    if meant:
        return f"unknown key; did you mean `{meant[-1]}`?"
    return f"unknown key; known here: {', '.join(section_keys(location[:-1]))}"


def _keys_below(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for key, field in section.section_keys(model).items():
        yield prefix + key
        below = _model_in(field.annotation)
        if below:
            yield from _keys_below(below, f"{prefix}{key}.")


def _section(keys: tuple[str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = RoutingFile
    rest = list(keys)
    while rest and model is not None:
        field = section.section_keys(model).get(rest.pop(0))
        model = _model_in(field.annotation) if field else None
        if rest and field is not None and get_origin(field.annotation) is dict:
            rest.pop(0)  # the name of an entry
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section type of a field: itself, optional, in a tuple or in a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)
