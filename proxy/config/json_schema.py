"""Derive the JSON Schema of routing.yaml (draft 7, which editors support) from its models. Pure.

It describes the text in the file: `25%`, `2s`, `GET /a`. Only `check` has the rules about two keys or two routes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.functional_validators import BeforeValidator

from proxy.config import field_types, key_sources, legacy_tls, models, promotion_window, route_models, targets
from proxy.config.models import RoutingFile
from proxy.config.parsed_by import ParsedBy
from proxy.config.section import section_keys

Schema = dict[str, Any]
DIALECT: Final = "http://json-schema.org/draft-07/schema#"
_REFERENCE: Final = r"\$\{"


def _text(pattern: str | None = None, *examples: str) -> Schema:
    """Return the schema of text with a pattern, or of a reference to the environment."""
    schema: Schema = {"type": "string"}
    if pattern is not None:
        schema["pattern"] = f"^(?:{pattern})$|{_REFERENCE}"
    if examples:
        schema["examples"] = list(examples)
    return schema


def _one_of(*values: str | bool) -> Schema:
    """Return the schema of one of several values, or of a reference to the environment."""
    return {"anyOf": [{"enum": list(values)}, {"type": "string", "pattern": _REFERENCE}]}


_SWITCH: Final = _one_of(True, False, "true", "false", "yes", "no", "on", "off")
_OFF: Final = _one_of(False, "off", "false", "no")
_PERCENTAGE: Final = r"\d{1,3}(?:\.\d{1,2})? ?%"
_SHARE: Final[Schema] = {"anyOf": [{"const": 0}, _text(rf"{_PERCENTAGE}|0", "25%", "0.5%")]}
_COUNT: Final[Schema] = {"anyOf": [{"type": "integer", "minimum": 1}, _text(r"\d[\d_]*")]}
_ANY_TEXT: Final[Schema] = {"type": ["string", "number", "boolean"]}
_DURATION: Final = _text(r"\d{1,9}(?:\.\d{1,3})? ?(?:ms|s|m|h|d)", "250ms", "2s", "5m", "12h", "7d")
_SIZE: Final = _text(r"\d{1,9} ?(?:B|KiB|MiB)", "512B", "256KiB", "4MiB")
_MATCH: Final = _text(r"\s*(?:[A-Z]+|\*) +/\S*\s*", "GET /api/notes/{id}", "* /api/v1/*", "WS /stream")
_SOURCE: Final = r"jwt:.+|header:\S+|cookie:\S+|client-ip"
_VALUES: Final[Schema] = {
    "anyOf": [
        _ANY_TEXT,
        {"type": "array", "items": _ANY_TEXT, "minItems": 1},
        {
            "type": "object",
            "properties": {"file": {"type": "string"}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ]
}
_TARGETS: Final[Schema] = {
    "type": "object",
    "patternProperties": {f"^(?:{_SOURCE})$": _VALUES},
    "additionalProperties": False,
}
_DAYS: Final[Schema] = {"anyOf": [_text(), {"type": "array", "items": _text(), "minItems": 1}]}

_READERS: Final[dict[Callable[..., object], Schema]] = {
    field_types.read_share: _SHARE,
    field_types.read_positive_share: _text(_PERCENTAGE, "1%", "10%"),
    field_types.read_duration: _DURATION,
    field_types.read_ratio: _text(r"\d{1,3}(?:\.\d{1,3})? ?x", "2x", "1.5x"),
    field_types.read_count: _COUNT,
    field_types.read_switch: _SWITCH,
    field_types.read_text: _ANY_TEXT,
    field_types.read_url: _text("https?://.+"),
    field_types.read_legacy_url: _text("https?://.+|unix:/.+", "http://127.0.0.1:4500", "unix:/run/legacy.sock"),
    field_types.read_endpoint: _text("https?://.+"),
    field_types.read_page_url: _text(r"(?:https?://[^?#@]+)?", "https://ops.example"),
    field_types.read_mongodb_url: _text(r"(?:mongodb(?:\+srv)?://.+)?"),
    field_types.read_path: _text("/.*", "/docs"),
    field_types.read_secret: _ANY_TEXT,
    field_types.read_any_secret: _ANY_TEXT,
    field_types.read_size: _SIZE,
    field_types.read_memory: _SIZE,
    field_types.read_match: _MATCH,
    field_types.read_origin: _text("https?://.+", "https://app.example"),
    field_types.read_host_name: _text(),
    field_types.read_trusted_proxy: _text(),
    key_sources.read_key_source: _text(_SOURCE, "jwt:userID", "header:x-client-id", "cookie:sid", "client-ip"),
    legacy_tls.read_server_name: _text(),
    models.read_cookie_name: _text(),
    key_sources.read_header_name: _text(),
    models.read_host_header: _text(),
    models.read_import: _text(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", "handlers.app:app"),
    route_models.read_name: _text(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", "notes.create"),
    promotion_window.read_days: _DAYS,
    promotion_window.read_hours: _text(r"\d{1,2}:\d{2} ?- ?\d{1,2}:\d{2}", "09:00-17:00"),
    promotion_window.read_zone: _text(None, "Europe/London", "UTC"),
    promotion_window.read_date: _text(r"\d{4}-\d{2}-\d{2}", "2026-12-25"),
    targets.read_values: _VALUES,
}


def routing_schema() -> Schema:
    """Return the schema of a whole file."""
    schema = _section(RoutingFile)
    return {"$schema": DIALECT, "title": "routing.yaml of Scribe Proxy", **schema, "patternProperties": {"^x-": {}}}


def _section(section: type[BaseModel]) -> Schema:
    hints = get_type_hints(section, include_extras=True)
    names = {field.alias or name: name for name, field in section.model_fields.items()}
    keys = section_keys(section)
    properties = {key: _key(key, hints[names[key]]) for key in keys}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [key for key, field in keys.items() if field.is_required()]
    if required:
        schema["required"] = required
    described = inspect.getdoc(section)
    return {"description": described.partition("\n\n")[0].replace("\n", " "), **schema} if described else schema


def _key(key: str, annotation: Any) -> Schema:
    schema = _schema(annotation)
    if key in ("shadow", "native") and "properties" in schema and "share" in schema["properties"]:
        schema = {"anyOf": [_SHARE, schema]}
    if key in ("guard", "rollout"):
        schema = {"anyOf": [_OFF, schema]}
    return schema


def _schema(annotation: Any) -> Schema:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _annotated(annotation)
    if origin in (Union, UnionType):
        return _schema(next(each for each in get_args(annotation) if each is not NoneType))
    if origin is Literal:
        words = get_args(annotation)
        return _one_of(*words, *([False] if "off" in words else []))  # in YAML 1.1, `off` is false
    if origin is tuple:
        return _listed(_schema(get_args(annotation)[0]))
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(get_args(annotation)[1])}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _section(annotation)
    raise TypeError(f"no schema for {annotation!r}")


def _annotated(annotation: Any) -> Schema:
    plain, *metadata = get_args(annotation)
    if annotation == targets.TargetMap:
        return _TARGETS
    readers = [each.func for each in metadata if isinstance(each, BeforeValidator | ParsedBy)]
    if readers and readers[0] is route_models.read_stage:
        return {"anyOf": [_READERS[field_types.read_positive_share], _section(route_models.Stage)]}
    return dict(_READERS[readers[0]]) if readers else _schema(plain)


def _listed(item: Schema) -> Schema:
    """Return the schema of a list; if its items are texts, comma-separated text may replace it."""
    array: Schema = {"type": "array", "items": item}
    return {"anyOf": [array, {"type": "string"}]} if "string" in item.get("type", ()) else array
