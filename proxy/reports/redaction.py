"""Reduce an exchange to the data that a report may store: paths, types, lengths and keyed digests. Pure.

Answers contain medical data, so in the mode `full` values are redacted unless the contract says `x-report: show`.
Names of fields and headers are stored only if the contract, native's code or HTTP has them, because others may be data
themselves (an object keyed by patients' names). The mode `values` stores all names. The mode `off`, for staging, also
stores values, except credentials. A digest is an HMAC: with the same key, equal values have equal digests; without the
key, nobody can test guessed values. Digests consist of consonants, which form neither words nor numbers.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

from proxy.comparison.bodies import read
from proxy.comparison.content_encoding import CodingError, OversizeError, decode
from proxy.comparison.exchange import Body, Exchange, Headers
from proxy.comparison.fields import shape
from proxy.comparison.headers import joined
from proxy.comparison.verdicts import Difference, LocatedValue, Verdict
from proxy.comparison.volatile import match_volatile, split_volatile
from proxy.contract.disclosure import HEADER_NAMES, DisclosurePolicy, FieldPolicy, KnownNames
from proxy.contract.model import Operation
from proxy.contract.values import ContractViolation
from proxy.reports.plain_headers import is_plain
from proxy.types import JSON, Backend, ValuePath

MIN_KEY_BYTES = 16
"""Minimum length of a key."""
MAX_ITEMS = 50
"""Maximum number of stored items of an array, and of fields of an object."""
MAX_VALUES = 2000
"""Maximum number of stored values of one body."""
MAX_DEPTH = 60
"""Maximum depth of a stored body."""
MAX_SHOWN = 200
"""Maximum number of characters of a shown text."""
MAX_SHOWN_UNREDACTED = 2000
"""Maximum number of characters of a shown text if nothing is redacted."""
Mode = Literal["full", "values", "off"]

_MASKS = frozenset(("<id>", "<stamp>", "<epoch>", "<token>", "<hash>"))
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")
_CREDENTIALS = ("token", "hash")
_CREDENTIAL_HEADERS = frozenset(
    ("authorization", "cookie", "proxy-authorization", "sec-websocket-protocol", "set-cookie")
)
"""The header of the subprotocols, the only one in which a page's WebSocket can send a token."""
_WRITES = ("insert", "update", "delete")
_CONTENTS = ("document", "filter", "update")
_COLLECTION = re.compile(r"[a-z_]{1,40}", re.ASCII)


class Redactor:
    """Redacts exchanges of one operation. `key` is secret, at least 16 bytes, shared by all processes.

    `fleeting`: the key belongs to this process alone. Unknown names are then `~` in a `field`, without a digest,
    because two processes would name the same field differently. `names`: those of native's code.
    """

    def __init__(
        self,
        key: bytes,
        operation: Operation | None = None,
        *,
        fleeting: bool = False,
        mode: Mode = "full",
        names: frozenset[str] = frozenset(),
    ) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a key for digests needs at least {MIN_KEY_BYTES} bytes")
        self._key, self._operation, self._fleeting = key, operation, fleeting
        self.mode, self._names = mode, names

    @cached_property
    def _contract_names(self) -> KnownNames:
        return KnownNames(self._operation)

    def verdict(self, verdict: Verdict, legacy: Exchange, native: Exchange) -> dict[str, JSON]:
        """Return a verdict with its differences and violations."""
        unexplained = set(map(id, verdict.unexplained))
        backends: dict[Backend | None, Exchange] = {"legacy": legacy, "native": native}
        differences: list[JSON] = [
            {**self.difference(one, legacy, native), "declared": id(one) not in unexplained}
            for one in verdict.differences
        ]
        violations: list[JSON] = [
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
            "violations": violations,
            "hidden": [self.field(path, legacy) for path in verdict.hidden],
        }

    def difference(self, difference: Difference, legacy: Exchange, native: Exchange) -> dict[str, JSON]:
        """Return one difference: its field, and the value of each backend."""
        is_digested = difference.path == ("body",) and (legacy.body.truncated or native.body.truncated)
        return {
            "field": self.field(difference.path, legacy if difference.legacy else native),
            "kind": difference.kind,
            "severity": difference.severity,
            "legacy": self._located(difference.legacy, legacy, is_digested=is_digested),
            "native": self._located(difference.native, native, is_digested=is_digested),
        }

    def field(self, path: ValuePath, exchange: Exchange) -> str:
        """Return a path in dots with `*` for every index: `body.notes.*._id`."""
        steps = self._steps(shape(path), exchange)
        return ".".join(("~" if step.startswith("~") else step for step in steps) if self._fleeting else steps)

    def writes(self, writes: Sequence[Mapping[str, JSON]]) -> list[JSON]:
        """Return the writes of a dry run: collection, operation, and the content as a tree."""
        values = _ValueRedactor(self, KnownNames(self._operation))
        return [
            {
                "collection": self._collection(write.get("collection")),
                "operation": operation if (operation := write.get("operation")) in _WRITES else "other",
                "content": values.redact({name: write[name] for name in _CONTENTS if name in write}, ("writes",)),
            }
            for write in writes[:MAX_ITEMS]
        ]

    def request(self, exchange: Exchange) -> dict[str, JSON]:
        """Return the request: method, the contract's template, and the rest as trees."""
        operation = self._operation
        path, _, query = exchange.target.partition(b"?")
        policy = FieldPolicy.of_request(exchange, operation)
        is_opened = exchange.status == 101
        return {
            "method": exchange.method if exchange.method in _METHODS else self.digest(exchange.method),
            "template": operation.template if operation else None,
            "path": self.leaf(path.decode("latin-1")),
            "query": self.leaf(query.decode("latin-1")) if query else None,
            "headers": self._headers(exchange.request_headers, policy),
            "body": self._body(exchange.request_body, exchange.request_headers, policy, is_opened=is_opened),
        }

    def answer(self, exchange: Exchange) -> dict[str, JSON]:
        """Return the answer as trees, with times in ms."""
        policy = FieldPolicy.of(exchange, self._operation)
        is_opened = exchange.status == 101
        return {
            "outcome": exchange.outcome,
            "status": exchange.status,
            "headers": self._headers(exchange.headers, policy),
            "body": self._body(exchange.body, exchange.headers, policy, is_opened=is_opened),
            "head": round(exchange.head * 1000, 1),
            "total": round(exchange.total * 1000, 1),
        }

    def digest(self, value: JSON | bytes) -> str:
        """Return 20 consonants that identify a value."""
        data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
        kind = type(value).__name__.encode()
        return hmac.digest(self._key, kind + b"\0" + data, "sha256")[:10].hex().translate(_LETTERS)

    def step(self, path: ValuePath, names: DisclosurePolicy) -> str:
        """Return the last step of a path: an index or a known name unchanged, an unknown name as `~` and a digest."""
        step = path[-1]
        if isinstance(step, int) or step == "*" or len(path) == 1:
            return str(step)
        return step if self._is_known(path, names) or step in _MASKS else f"~{self.digest(step)}"

    def leaf(self, value: JSON | bytes) -> dict[str, JSON]:
        """Return a value without entries, redacted unless the mode is `off`."""
        redacted = leaf(self, value)
        if self.mode == "off" and not isinstance(value, bytes) and redacted["type"] not in _CREDENTIALS:
            text = _without_credentials(value) if isinstance(value, str) else value
            redacted["value"] = _shown(text, MAX_SHOWN_UNREDACTED)
        return redacted

    def _is_known(self, path: ValuePath, policy: DisclosurePolicy) -> bool:
        """Return whether the name at the end of a path may be stored."""
        name = path[-1]
        if self.mode != "full":
            return isinstance(name, int) or _without_credentials(name) == name
        if path[0] == "header":
            return name in HEADER_NAMES
        if path[0] == "close" or (path[0] == "frames" and path[2:] == ("after",)):
            return True
        return policy.names(path) or self._contract_names.names(path) or name in self._names

    def _steps(self, path: ValuePath, exchange: Exchange) -> list[str]:
        policy = FieldPolicy.of(exchange, self._operation)
        return [self.step(path[: index + 1], policy) for index in range(len(path))]

    def _located(self, located: LocatedValue | None, exchange: Exchange, *, is_digested: bool) -> JSON:
        """Return a path and a redacted value; of a body that was compared by digests, its lengths."""
        if located is None:
            return None
        policy = FieldPolicy.of(exchange, self._operation)
        value: JSON
        if located.path[0] in ("status", "outcome") or _is_position(located):  # contains no data
            value = {"type": "string", "value": str(located.value)}
        elif is_digested and isinstance(located.value, dict):
            value = {
                "type": "string",
                "value": "{length:,} bytes, the first {equal_until:,} equal".format(**located.value),
            }
        else:
            value = self._value(located.value, located.path, _ValueRedactor(self, policy))
        return {"path": ".".join(self._steps(located.path, exchange)), "value": value}

    def _value(self, value: JSON | bytes, path: ValuePath, values: _ValueRedactor) -> JSON:
        if path[0] == "header" and isinstance(value, str) and isinstance(path[-1], str):
            return self._header(path[-1], value, values)
        return values.redact(value, path)

    def _collection(self, name: JSON) -> str:
        return name if isinstance(name, str) and _COLLECTION.fullmatch(name) else f"~{self.digest(name)}"

    def _headers(self, headers: Headers, policy: FieldPolicy) -> list[JSON]:
        values = _ValueRedactor(self, policy)
        return [
            [self.step(("header", name), policy), self._header(name, value, values)]
            for name, value in joined(headers).items()
        ]

    def _header(self, name: str, value: str, values: _ValueRedactor) -> JSON:
        if is_plain(name, value, self._operation):
            return {**leaf(self, value), "value": _shown(value)}
        return leaf(self, value) if name in _CREDENTIAL_HEADERS else values.redact(value, ("header", name))

    def _body(self, body: Body, headers: Headers, policy: FieldPolicy, *, is_opened: bool) -> JSON:
        if body.truncated:
            content: JSON = {"type": "binary", "digest": self.digest((body.digest or "").encode())}
            return {"form": "truncated", "length": body.length, "content": content}
        if is_opened:
            messages = _ValueRedactor(self, policy).redact(read(body.data, "application/json").value, ("frames",))
            return {"form": "frames", "length": body.length, "content": messages}
        values = joined(headers)
        try:
            data = decode(body.data, values.get("content-encoding", ""))
        except (CodingError, OversizeError):
            return {"form": "binary", "length": body.length, "content": leaf(self, body.data)}
        body_content = read(data, values.get("content-type", ""))
        redacted = _ValueRedactor(self, policy).redact(body_content.value, ("body",))
        content = None if body_content.form == "none" else redacted
        return {"form": body_content.form, "length": body.length, "content": content}


class _ValueRedactor:
    """Converts a value to a redacted tree of the same shape, within limits."""

    def __init__(self, redactor: Redactor, policy: DisclosurePolicy) -> None:
        self._redactor, self._policy = redactor, policy
        self._left = MAX_VALUES

    def redact(self, value: JSON | bytes, path: ValuePath) -> JSON:
        self._left -= 1
        if isinstance(value, dict | list):
            if self._left < 0 or len(path) > MAX_DEPTH:
                return {"type": type_of(value), "length": len(value), "cut": True}
            return self._object(value, path) if isinstance(value, dict) else self._array(value, path)
        if not isinstance(value, bytes) and self._policy.allows(path, value):
            return {"type": type_of(value), "value": _shown(value)}
        return self._redactor.leaf(value)

    def _object(self, value: dict[str, JSON], path: ValuePath) -> JSON:
        fields: list[JSON] = []
        for name, item in list(value.items())[:MAX_ITEMS]:
            below = (*path, name)
            fields.append([self._redactor.step(below, self._policy), self.redact(item, below)])
        return {"type": "object", "length": len(value), "fields": fields}

    def _array(self, value: list[JSON], path: ValuePath) -> JSON:
        items = [self.redact(item, (*path, index)) for index, item in enumerate(value[:MAX_ITEMS])]
        return {"type": "array", "length": len(value), "items": items}


def _is_position(located: LocatedValue) -> bool:
    """Return whether a value is a close code, or the number of a client's messages, of a WebSocket."""
    path = located.path
    of_close = path[0] == "close" and path[-1] != "reason"
    return isinstance(located.value, int) and (of_close or (path[0] == "frames" and path[2:] == ("after",)))


def leaf(redactor: Redactor, value: JSON | bytes) -> dict[str, JSON]:
    """Return a redacted value. A boolean has no digest: there are only two."""
    tree: dict[str, JSON] = {"type": type_of(value)}
    if isinstance(value, str | bytes):
        tree["length"] = len(value)
    if value is not None and not isinstance(value, bool):
        tree["digest"] = redactor.digest(value)
    return tree


def type_of(value: JSON | bytes) -> str:
    """Return JSON's type, or the kind of an id, date or token (`comparison.volatile`)."""
    if isinstance(value, str):
        volatile = match_volatile(value)
        return volatile.kind if volatile else "string"
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


def _without_credentials(text: str) -> str:
    """Return a text with its tokens and password hashes replaced by their kinds."""
    return "".join([f"<{part.kind}>" if part.kind in _CREDENTIALS else part.text for part in split_volatile(text)])


def _shown(value: JSON, limit: int = MAX_SHOWN) -> JSON:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()[:limit]
    return value


def message_of(violation: ContractViolation) -> str:
    """Return a violation's message without the media type of a header, which may contain data."""
    return "is not a content type of this status" if violation.rule == "content-type" else violation.message
