"""Decide which names and values of a message may be stored: only those of the contract, as others may be data. Pure."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from typing import Protocol

from proxy.comparison.exchange import Exchange
from proxy.comparison.headers import joined
from proxy.contract.model import Operation
from proxy.contract.schema_paths import nodes_at, properties_of, property_names
from proxy.types import JSON, ValuePath

HEADER_NAMES = frozenset(
    """accept accept-encoding accept-language accept-ranges access-control-allow-credentials
    access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
    access-control-max-age access-control-request-headers access-control-request-method age allow authorization
    cache-control connection content-disposition content-encoding content-language content-length content-location
    content-range content-security-policy content-type cookie cross-origin-opener-policy cross-origin-resource-policy
    date etag expect expires forwarded from host if-match if-modified-since if-none-match if-range if-unmodified-since
    keep-alive last-modified link location origin pragma range referer referrer-policy retry-after sec-websocket-accept
    sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version server set-cookie
    strict-transport-security te trailer transfer-encoding upgrade user-agent vary via www-authenticate
    x-content-type-options x-forwarded-for x-forwarded-host x-forwarded-proto x-frame-options x-powered-by x-request-id
    x-served-by""".split()  # noqa: SIM905
)
_MEDIA_TYPES = frozenset((*mimetypes.types_map.values(), "application/x-www-form-urlencoded", "multipart/form-data"))
_EXTENDED = frozenset(
    """$addToSet $binary $currentDate $date $each $exists $gt $gte $in $inc $lt $lte $max $min $mul $ne $nin
    $numberDecimal $numberDouble $numberInt $numberLong $oid $or $and $pop $position $pull $pullAll $push $rename
    $set $setOnInsert $slice $sort $unset base64 subType document filter update __v _id""".split()  # noqa: SIM905
)
"""Names in documents, filters and updates that MongoDB or mongoose define."""


def is_named(schema: JSON, path: Sequence[str | int]) -> bool:
    """Return whether a schema has a property of that name at that path."""
    *above, name = path
    return any(name in properties_of(node) for node in nodes_at(schema, above))


class DisclosurePolicy(Protocol):
    """Decides which names and which values may be disclosed."""

    def names(self, path: ValuePath) -> bool: ...
    def shows(self, path: ValuePath) -> bool: ...
    def allows(self, path: ValuePath, value: JSON) -> bool: ...


class KnownNames:
    """Discloses every name that the contract has for an operation, anywhere in a message, but no values."""

    def __init__(self, operation: Operation | None) -> None:
        answers = operation.answers.values() if operation else ()
        schemas = [schema for answer in answers for schema in answer.media.values()]
        schemas += (*operation.requests.values(), *operation.frames.values()) if operation else ()
        self._known = _EXTENDED.union(*(property_names(schema.schema) for schema in schemas))

    def names(self, path: ValuePath) -> bool:
        return path[-1] in self._known

    def shows(self, path: ValuePath) -> bool:
        return False

    def allows(self, path: ValuePath, value: JSON) -> bool:
        return False


class FieldPolicy:
    """Discloses the names of one message's schema, and values that the contract allows to show."""

    def __init__(self, schema: JSON, operation: Operation | None, exchange: Exchange, content_type: str) -> None:
        self._schema, self._operation = schema, operation
        self._exchange, self._content_type = exchange, content_type

    @classmethod
    def of(cls, exchange: Exchange, operation: Operation | None) -> FieldPolicy:
        """Return the policy for an answer."""
        content_type = joined(exchange.headers).get("content-type", "")
        declared = operation.declared(exchange.status) if operation else None
        body_schema = declared.body(content_type) if declared else None
        return cls(body_schema.schema if body_schema else None, operation, exchange, content_type)

    @classmethod
    def of_request(cls, exchange: Exchange, operation: Operation | None) -> FieldPolicy:
        """Return the policy for a request, whose values are never shown."""
        media = joined(exchange.request_headers).get("content-type", "").partition(";")[0].strip().lower()
        body_schema = operation.requests.get(media) if operation else None
        return cls(body_schema.schema if body_schema else None, None, exchange, "")

    def names(self, path: ValuePath) -> bool:
        """Return whether the contract names the field."""
        return is_named(*self._schema_at(path))

    def constants(self, path: ValuePath) -> list[JSON]:
        """Return the values that the contract itself contains for a field: `const` and `enum`."""
        candidates = [self._header(str(path[1]))] if path[0] == "header" else nodes_at(*self._schema_at(path))
        nodes = [node for node in candidates if isinstance(node, dict)]
        enums = [one for node in nodes for one in _listed(node.get("enum"))]
        return [*enums, *(node["const"] for node in nodes if "const" in node)]

    def allows(self, path: ValuePath, value: JSON) -> bool:
        """Return whether a report may show a value: one of the contract's own, at a path with `x-report: show`."""
        closed = value is None or isinstance(value, bool)
        return self.shows(path) and (closed or value in self.constants(path))

    def shows(self, path: ValuePath) -> bool:
        """Return whether the contract allows reports to show the value."""
        if self._operation is None:
            return False
        return self._operation.hints(path, self._exchange.status, self._content_type).report == "show"

    def _schema_at(self, path: ValuePath) -> tuple[JSON, list[str | int]]:
        """Return the schema of a body, or of a WebSocket's messages, and a path in it."""
        if path[0] != "frames" or len(path) < 3:
            return self._schema, _indexed(path)
        received = self._operation.frames.get("received") if self._operation else None
        return received.schema if received else None, _indexed(path[1:])

    def _header(self, name: str) -> JSON:
        declared = self._operation.declared(self._exchange.status) if self._operation else None
        header = declared.headers.get(name) if declared else None
        return header.schema.schema if header else None


def media_name(media: str, operation: Operation | None) -> str | None:
    """Return a media type that the contract or the registry has, otherwise None, as a header may contain data."""
    answers = operation.answers.values() if operation else ()
    declared = any(media in answer.media for answer in answers) or (operation and media in operation.requests)
    return media if declared or media in _MEDIA_TYPES else None


def _indexed(path: ValuePath) -> list[str | int]:
    """Return a path within a body with 0 for every `*`."""
    return [0 if step == "*" else step for step in path[1:]]


def _listed(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []
