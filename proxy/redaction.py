"""What may leave an exchange for a report: where, of what kind, how long, and a keyed digest. Pure.

Answers hold medical data, so nothing passes because it looks harmless. A value passes where the contract says
`x-report: show`; the name of a field or header passes where the contract or HTTP knows it, since any other may be data
itself (an object keyed by patients' names). A digest is an HMAC: with the same key the same value has the same digest,
so that readers can tell equal from unequal, and nobody without the key can try values. It is written in consonants,
which form no words and no numbers.
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from proxy.canonical import JSON, whole
from proxy.comparison import Difference, Hints, Path, Side, Spot, Verdict
from proxy.comparison.bodies import DEPTH, read
from proxy.comparison.coding import CodingError, OversizeError, decode
from proxy.comparison.headers import joined
from proxy.exchange import Body, Exchange, Headers

KEY_BYTES = 16
"""The shortest key."""
ITEMS = 50
"""How many items of an array, and fields of an object, are told."""
NODES = 2000
"""How many values of one body are told."""
SHOWN = 200
"""How many characters of a shown text are told."""

HEADER_NAMES = frozenset(
    """accept accept-encoding accept-language accept-ranges access-control-allow-credentials
    access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
    access-control-max-age access-control-request-headers access-control-request-method age allow authorization
    cache-control connection content-disposition content-encoding content-language content-length content-location
    content-range content-security-policy content-type cookie cross-origin-opener-policy cross-origin-resource-policy
    date etag expect expires forwarded from host if-match if-modified-since if-none-match if-range if-unmodified-since
    keep-alive last-modified link location origin pragma range referer referrer-policy retry-after server set-cookie
    strict-transport-security te trailer transfer-encoding upgrade user-agent vary via www-authenticate
    x-content-type-options x-forwarded-for x-forwarded-host x-forwarded-proto x-frame-options x-powered-by x-request-id
    x-served-by""".split()  # noqa: SIM905
)
_MASKS = frozenset(("<id>", "<stamp>", "<epoch>", "<token>", "<hash>"))
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")
_BRANCHES = ("allOf", "anyOf", "oneOf")


class Schema(Protocol):
    """A JSON Schema whose references are resolved."""

    @property
    def schema(self) -> JSON: ...


class Declared(Protocol):
    """What a contract says of one status."""

    def body(self, content_type: str) -> Schema | None: ...


class Operation(Protocol):
    """What a redaction asks of a contract's operation."""

    @property
    def id(self) -> str: ...
    @property
    def template(self) -> str: ...
    @property
    def requests(self) -> Mapping[str, Schema]: ...

    def declared(self, status: int) -> Declared | None: ...
    def hints(self, path: Path, status: int, content_type: str) -> Hints: ...


def is_named(schema: JSON, path: Sequence[str | int]) -> bool:
    """Whether a schema has a property of that name at that place."""
    *above, name = path
    return any(name in _properties(node) for node in _nodes(schema, above))


class Redactor:
    """Redacts what belongs to one operation. `key` is secret, at least 16 bytes, shared by all who keep reports."""

    def __init__(self, key: bytes, operation: Operation | None = None) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a key for digests needs at least {KEY_BYTES} bytes")
        self._key, self._operation = key, operation

    def verdict(self, verdict: Verdict, legacy: Exchange, native: Exchange) -> dict[str, JSON]:
        """A verdict with all that it found."""
        unexplained = set(map(id, verdict.unexplained))
        places = {"legacy": _Place.of(legacy, self._operation), "native": _Place.of(native, self._operation)}
        differences: list[JSON] = [
            {**self.difference(one, legacy, native), "declared": id(one) not in unexplained}
            for one in verdict.differences
        ]
        breaches: list[JSON] = [
            {
                "side": breach.side,
                "field": self._field(breach.violation.path, places[breach.side]),
                "rule": breach.violation.rule,
            }
            for breach in verdict.breaches
        ]
        return {
            "verdict": verdict.name,
            "reason": verdict.reason,
            "declared": list(verdict.declared),
            "differences": differences,
            "breaches": breaches,
            "hidden": [self._field(path, places["legacy"]) for path in verdict.hidden],
        }

    def difference(self, difference: Difference, legacy: Exchange, native: Exchange) -> dict[str, JSON]:
        """One difference: its field, and what stands there on each side."""
        spots: dict[Side, tuple[Spot | None, Exchange]] = {
            "legacy": (difference.legacy, legacy),
            "native": (difference.native, native),
        }
        known = legacy if difference.legacy else native
        found: dict[str, JSON] = {
            "field": self._field(difference.path, _Place.of(known, self._operation)),
            "kind": difference.kind,
            "severity": difference.severity,
        }
        for side, (spot, exchange) in spots.items():
            place = _Place.of(exchange, self._operation)
            found[side] = None if spot is None else self._spot(spot, place)
        return found

    def exchange(self, exchange: Exchange) -> dict[str, JSON]:
        """A request and its answer: the shape of both, times in ms."""
        operation = self._operation
        path, _, query = exchange.target.partition(b"?")
        request = _Place.of_request(exchange, operation)
        return {
            "method": exchange.method if exchange.method in _METHODS else self.digest(exchange.method),
            "operation": operation.id if operation else None,
            "template": operation.template if operation else None,
            "path": leaf(self, path.decode("latin-1")),
            "query": leaf(self, query.decode("latin-1")) if query else None,
            "request_headers": self._headers(exchange.request_headers, request),
            "request_body": self._body(exchange.request_body, exchange.request_headers, request),
            "outcome": exchange.outcome,
            "status": exchange.status,
            "headers": self._headers(exchange.headers, _Place.of(exchange, operation)),
            "body": self._body(exchange.body, exchange.headers, _Place.of(exchange, operation)),
            "head": round(exchange.head * 1000, 1),
            "total": round(exchange.total * 1000, 1),
        }

    def digest(self, value: JSON | bytes) -> str:
        """20 consonants that stand for a value."""
        data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
        kind = type(value).__name__.encode()
        return hmac.digest(self._key, kind + b"\0" + data, "sha256")[:10].hex().translate(_LETTERS)

    def _spot(self, spot: Spot, place: _Place) -> JSON:
        if spot.path[0] in ("status", "outcome"):  # says nothing of anybody
            return {"type": "string", "value": str(spot.value)}
        return _Telling(self, place).tell(spot.value, spot.path)

    def _field(self, path: Path, place: _Place) -> str:
        return ".".join(self.step(path[: index + 1], place) for index in range(len(path)))

    def step(self, path: Path, place: _Place) -> str:
        """The last step of a path: `*` for an index, a name that is known, `~` and a digest for one that is not."""
        step = path[-1]
        if isinstance(step, int) or step == "*" or len(path) == 1:
            return "*" if len(path) > 1 else str(step)
        known = step in HEADER_NAMES if path[0] == "header" else place.names(path)
        return step if known or step in _MASKS else f"~{self.digest(step)}"

    def _headers(self, headers: Headers, place: _Place) -> list[JSON]:
        telling = _Telling(self, place)
        return [
            [self.step(("header", name), place), telling.tell(value, ("header", name))]
            for name, value in joined(headers).items()
        ]

    def _body(self, body: Body, headers: Headers, place: _Place) -> JSON:
        if body.truncated:
            return {"type": "truncated", "length": body.length, "digest": self.digest((body.digest or "").encode())}
        values = joined(headers)
        try:
            data = decode(body.data, values.get("content-encoding", ""))
        except (CodingError, OversizeError):
            return leaf(self, body.data)
        content = read(data, values.get("content-type", ""))
        told = None if content.form == "none" else _Telling(self, place).tell(content.value, ("body",))
        return {"form": content.form, "length": body.length, "content": told}


class _Place:
    """What the contract knows of one message: its schema, and what of it may be shown."""

    def __init__(self, schema: JSON, operation: Operation | None, exchange: Exchange, content_type: str) -> None:
        self._schema, self._operation = schema, operation
        self._exchange, self._content_type = exchange, content_type

    @classmethod
    def of(cls, exchange: Exchange, operation: Operation | None) -> _Place:
        """An answer's place."""
        content_type = joined(exchange.headers).get("content-type", "")
        declared = operation.declared(exchange.status) if operation else None
        found = declared.body(content_type) if declared else None
        return cls(found.schema if found else None, operation, exchange, content_type)

    @classmethod
    def of_request(cls, exchange: Exchange, operation: Operation | None) -> _Place:
        """A request's place, in which nothing is ever shown."""
        media = joined(exchange.request_headers).get("content-type", "").partition(";")[0].strip().lower()
        found = operation.requests.get(media) if operation else None
        return cls(found.schema if found else None, None, exchange, "")

    def names(self, path: Path) -> bool:
        """Whether the contract names the place."""
        return is_named(self._schema, [0 if step == "*" else step for step in path[1:]])

    def shows(self, path: Path) -> bool:
        """Whether the contract lets a report show what stands there."""
        if self._operation is None:
            return False
        return self._operation.hints(path, self._exchange.status, self._content_type).report == "show"


class _Telling:
    """Tells of a value as a tree of the same shape, within bounds."""

    def __init__(self, redactor: Redactor, place: _Place) -> None:
        self._redactor, self._place = redactor, place
        self._left = NODES

    def tell(self, value: JSON | bytes, path: Path) -> JSON:
        self._left -= 1
        if isinstance(value, dict | list):
            if self._left < 0 or len(path) > DEPTH:
                return {"type": type_of(value), "length": len(value), "cut": True}
            return self._object(value, path) if isinstance(value, dict) else self._array(value, path)
        if not isinstance(value, bytes) and self._place.shows(path):
            return {"type": type_of(value), "value": _shown(value)}
        return leaf(self._redactor, value)

    def _object(self, value: dict[str, JSON], path: Path) -> JSON:
        fields: list[JSON] = []
        for name, item in list(value.items())[:ITEMS]:
            place = (*path, name)
            fields.append([self._redactor.step(place, self._place), self.tell(item, place)])
        return {"type": "object", "length": len(value), "fields": fields}

    def _array(self, value: list[JSON], path: Path) -> JSON:
        items = [self.tell(item, (*path, index)) for index, item in enumerate(value[:ITEMS])]
        return {"type": "array", "length": len(value), "items": items}


def leaf(redactor: Redactor, value: JSON | bytes) -> dict[str, JSON]:
    """A value that is not shown. Of a boolean not even a digest: there are but two."""
    told: dict[str, JSON] = {"type": type_of(value)}
    if isinstance(value, str | bytes):
        told["length"] = len(value)
    if value is not None and not isinstance(value, bool):
        told["digest"] = redactor.digest(value)
    return told


def type_of(value: JSON | bytes) -> str:
    """JSON's type, or the kind of an id, date or token (`canonical.pieces`)."""
    if isinstance(value, str):
        found = whole(value)
        return found.kind if found else "string"
    return _TYPES[type(value)]


_TYPES: dict[type, str] = {
    dict: "object",
    list: "array",
    bool: "boolean",
    int: "integer",
    float: "number",
    bytes: "binary",
    type(None): "null",
}


def _shown(value: JSON) -> JSON:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()[:SHOWN]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _nodes(schema: JSON, path: Sequence[str | int]) -> Iterator[dict[str, JSON]]:
    """The schemas that speak of a place."""
    if not isinstance(schema, dict):
        return
    for keyword in _BRANCHES:
        branches = schema.get(keyword)
        for branch in branches if isinstance(branches, list) else ():
            yield from _nodes(branch, path)
    if not path:
        yield schema
    elif isinstance(path[0], int):
        yield from _nodes(schema.get("items"), path[1:])
    else:
        yield from _nodes(_properties(schema).get(path[0], schema.get("additionalProperties")), path[1:])


def _properties(schema: dict[str, JSON]) -> dict[str, JSON]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}
