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
import re
from collections.abc import Mapping, Sequence

from proxy.comparison.bodies import read
from proxy.comparison.content_encoding import CodingError, OversizeError, decode
from proxy.comparison.exchange import Body, Exchange, Headers
from proxy.comparison.headers import joined
from proxy.comparison.values import shape
from proxy.comparison.verdicts import Difference, LocatedValue, Verdict
from proxy.comparison.volatile import match_volatile
from proxy.contract.disclosure import HEADER_NAMES, DisclosurePolicy, FieldPolicy, KnownNames
from proxy.contract.model import Operation
from proxy.contract.values import ContractViolation
from proxy.types import JSON, Backend, ValuePath

KEY_BYTES = 16
"""The shortest key."""
ITEMS = 50
"""How many items of an array, and fields of an object, are told."""
NODES = 2000
"""How many values of one body are told."""
DEPTH = 60
"""How deep a body is told."""
SHOWN = 200
"""How many characters of a shown text are told."""

_MASKS = frozenset(("<id>", "<stamp>", "<epoch>", "<token>", "<hash>"))
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")
_WRITES = ("insert", "update", "delete")
_CONTENTS = ("document", "filter", "update")
_COLLECTION = re.compile(r"[a-z_]{1,40}", re.ASCII)


class Redactor:
    """Redacts what belongs to one operation. `key` is secret, at least 16 bytes, shared by all who keep reports.

    `fleeting`: the key is this process's alone. Then names that are not known are `~` in a `field`, with no digest, or
    else no two processes would call a field the same.
    """

    def __init__(self, key: bytes, operation: Operation | None = None, *, fleeting: bool = False) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a key for digests needs at least {KEY_BYTES} bytes")
        self._key, self._operation, self._fleeting = key, operation, fleeting

    def verdict(self, verdict: Verdict, legacy: Exchange, native: Exchange) -> dict[str, JSON]:
        """A verdict with all that it found."""
        unexplained = set(map(id, verdict.unexplained))
        backends: dict[Backend | None, Exchange] = {"legacy": legacy, "native": native}
        differences: list[JSON] = [
            {**self.difference(one, legacy, native), "declared": id(one) not in unexplained}
            for one in verdict.differences
        ]
        breaches: list[JSON] = [
            {
                "backend": one.backend,
                "field": self.field(one.path, backends[one.backend]),
                "rule": one.rule,
                "message": message_of(one),
            }
            for one in verdict.violations
        ]
        return {
            "verdict": verdict.name,
            "reason": verdict.reason,
            "declared": list(verdict.declared),
            "differences": differences,
            "breaches": breaches,
            "hidden": [self.field(path, legacy) for path in verdict.hidden],
        }

    def difference(self, difference: Difference, legacy: Exchange, native: Exchange) -> dict[str, JSON]:
        """One difference: its field, and what stands there on each side."""
        return {
            "field": self.field(difference.path, legacy if difference.legacy else native),
            "kind": difference.kind,
            "severity": difference.severity,
            "legacy": self._spot(difference.legacy, legacy),
            "native": self._spot(difference.native, native),
        }

    def field(self, path: ValuePath, exchange: Exchange) -> str:
        """A path in dots, as all places of its kind share it: `body.notes.*._id`."""
        steps = self._steps(shape(path), exchange)
        return ".".join(("~" if step.startswith("~") else step for step in steps) if self._fleeting else steps)

    def wrote(self, writes: Sequence[Mapping[str, JSON]]) -> list[JSON]:
        """What a dry run would have written: collection, operation, and the rest as a tree."""
        telling = _ValueRedactor(self, KnownNames(self._operation))
        return [
            {
                "collection": self._collection(write.get("collection")),
                "operation": operation if (operation := write.get("operation")) in _WRITES else "other",
                "content": telling.tell({name: write[name] for name in _CONTENTS if name in write}, ("wrote",)),
            }
            for write in writes[:ITEMS]
        ]

    def request(self, exchange: Exchange) -> dict[str, JSON]:
        """What was asked: method, the contract's template, and the shape of the rest."""
        operation = self._operation
        path, _, query = exchange.target.partition(b"?")
        place = FieldPolicy.of_request(exchange, operation)
        return {
            "method": exchange.method if exchange.method in _METHODS else self.digest(exchange.method),
            "template": operation.template if operation else None,
            "path": leaf(self, path.decode("latin-1")),
            "query": leaf(self, query.decode("latin-1")) if query else None,
            "headers": self._headers(exchange.request_headers, place),
            "body": self._body(exchange.request_body, exchange.request_headers, place),
        }

    def answer(self, exchange: Exchange) -> dict[str, JSON]:
        """What was answered: the shape of it, times in ms."""
        place = FieldPolicy.of(exchange, self._operation)
        return {
            "outcome": exchange.outcome,
            "status": exchange.status,
            "headers": self._headers(exchange.headers, place),
            "body": self._body(exchange.body, exchange.headers, place),
            "head": round(exchange.head * 1000, 1),
            "total": round(exchange.total * 1000, 1),
        }

    def digest(self, value: JSON | bytes) -> str:
        """20 consonants that stand for a value."""
        data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
        kind = type(value).__name__.encode()
        return hmac.digest(self._key, kind + b"\0" + data, "sha256")[:10].hex().translate(_LETTERS)

    def step(self, path: ValuePath, names: DisclosurePolicy) -> str:
        """The last step of a path: a name that is known, `~` and a digest for one that is not, else the step."""
        step = path[-1]
        if isinstance(step, int) or step == "*" or len(path) == 1:
            return str(step)
        known = step in HEADER_NAMES if path[0] == "header" else names.names(path)
        return step if known or step in _MASKS else f"~{self.digest(step)}"

    def _steps(self, path: ValuePath, exchange: Exchange) -> list[str]:
        place = FieldPolicy.of(exchange, self._operation)
        return [self.step(path[: index + 1], place) for index in range(len(path))]

    def _spot(self, spot: LocatedValue | None, exchange: Exchange) -> JSON:
        if spot is None:
            return None
        place = FieldPolicy.of(exchange, self._operation)
        found: JSON
        if spot.path[0] in ("status", "outcome"):  # says nothing of anybody
            found = {"type": "string", "value": str(spot.value)}
        else:
            found = _ValueRedactor(self, place).tell(spot.value, spot.path)
        return {"place": ".".join(self._steps(spot.path, exchange)), "value": found}

    def _collection(self, name: JSON) -> str:
        return name if isinstance(name, str) and _COLLECTION.fullmatch(name) else f"~{self.digest(name)}"

    def _headers(self, headers: Headers, place: FieldPolicy) -> list[JSON]:
        telling = _ValueRedactor(self, place)
        return [
            [self.step(("header", name), place), telling.tell(value, ("header", name))]
            for name, value in joined(headers).items()
        ]

    def _body(self, body: Body, headers: Headers, place: FieldPolicy) -> JSON:
        if body.truncated:
            content: JSON = {"type": "binary", "digest": self.digest((body.digest or "").encode())}
            return {"form": "truncated", "length": body.length, "content": content}
        values = joined(headers)
        try:
            data = decode(body.data, values.get("content-encoding", ""))
        except (CodingError, OversizeError):
            return {"form": "binary", "length": body.length, "content": leaf(self, body.data)}
        found = read(data, values.get("content-type", ""))
        content = None if found.form == "none" else _ValueRedactor(self, place).tell(found.value, ("body",))
        return {"form": found.form, "length": body.length, "content": content}


class _ValueRedactor:
    """Tells of a value as a tree of the same shape, within bounds."""

    def __init__(self, redactor: Redactor, place: DisclosurePolicy) -> None:
        self._redactor, self._place = redactor, place
        self._left = NODES

    def tell(self, value: JSON | bytes, path: ValuePath) -> JSON:
        self._left -= 1
        if isinstance(value, dict | list):
            if self._left < 0 or len(path) > DEPTH:
                return {"type": type_of(value), "length": len(value), "cut": True}
            return self._object(value, path) if isinstance(value, dict) else self._array(value, path)
        if not isinstance(value, bytes) and self._place.allows(path, value):
            return {"type": type_of(value), "value": _shown(value)}
        return leaf(self._redactor, value)

    def _object(self, value: dict[str, JSON], path: ValuePath) -> JSON:
        fields: list[JSON] = []
        for name, item in list(value.items())[:ITEMS]:
            place = (*path, name)
            fields.append([self._redactor.step(place, self._place), self.tell(item, place)])
        return {"type": "object", "length": len(value), "fields": fields}

    def _array(self, value: list[JSON], path: ValuePath) -> JSON:
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
        found = match_volatile(value)
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
    return value


def message_of(violation: ContractViolation) -> str:
    """How a breach is told: a media type that the contract lacks is not quoted, since a header may hold anything."""
    return "is not a content type of this status" if violation.rule == "content-type" else violation.message
