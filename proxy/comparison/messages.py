"""Read and compare single WebSocket messages. Pure.

A payload within a message, such as audio in base64, is represented by its length and digest, so that no report can hold
it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from proxy.comparison.conversation import Data
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.message_alignment import Signature
from proxy.comparison.values import TooDeepError, ValueFindings, compare_values
from proxy.comparison.verdicts import Difference, LocatedValue, Severity, grade
from proxy.comparison.volatile import mask
from proxy.contract.model import HintsAt
from proxy.contract.payloads import PayloadError, parse_json
from proxy.types import JSON, DifferenceKind, ValuePath

PAYLOAD: Final = 1024
"""Minimum characters of a text without white space that counts as a payload."""
_WHITE_SPACE: Final = re.compile(r"\s")


@dataclass(frozen=True)
class ReadMessage:
    """A message and its value: JSON without payloads, other text unchanged, the digest of a binary frame."""

    data: Data = field(repr=False)

    @cached_property
    def form(self) -> str:
        """Return `json`, `text` or `binary`."""
        if isinstance(self.data, bytes):
            return "binary"
        return "text" if self._parsed is None else "json"

    @cached_property
    def value(self) -> JSON:
        if isinstance(self.data, bytes):
            return _digest(self.data, "bytes")
        return _without_payloads(self.data if self._parsed is None else self._parsed[0])

    def signature(self, hints: HintsAt | None = None, *, is_unordered: bool = False) -> Signature:
        """Return the property by which a message is paired: a JSON message's `type`, or else its names.

        The fields that the contract ignores are its detail.
        """
        value = self.value
        if self.form != "json":
            kind = self.form
        elif isinstance(value, dict):
            kind = f"type {value['type']}" if isinstance(value.get("type"), str) else f"names {sorted(value)}"
        else:
            kind = f"json {type(value).__name__}"
        detail = ""
        if isinstance(value, dict) and hints is not None:
            ignored = [name for name in value if hints(("frames", 0, name)).compare == "ignore"]
            detail = mask(repr([value[name] for name in ignored]))
            value = {name: each for name, each in value.items() if name not in ignored}
        return Signature(kind, mask(repr(value)), detail, is_unordered)

    @cached_property
    def _parsed(self) -> tuple[JSON] | None:
        try:
            return (parse_json(self.data),) if isinstance(self.data, str) else None
        except (PayloadError, RecursionError):
            return None


def compare_messages(
    legacy: ReadMessage,
    native: ReadMessage,
    indexes: tuple[int, int],
    names: Callable[[], Correspondence],
    hints: HintsAt | None,
) -> ValueFindings:
    """Return every difference of two messages; `indexes` are their positions among legacy's and native's."""
    if legacy.form != native.form:
        return ValueFindings([whole("type", indexes, legacy.value, native.value)])
    if legacy.form == "binary":
        same = legacy.data == native.data
        return ValueFindings([] if same else [whole("value", indexes, legacy.value, native.value)])
    root = ("frames", indexes[0])
    try:
        findings = compare_values(legacy.value, native.value, names, hints, by_role=True, root=root)
    except (TooDeepError, RecursionError):
        findings = compare_values(str(legacy.data), str(native.data), names, by_role=True, root=root)
    findings.differences = [_at_index(one, indexes[1]) for one in findings.differences]
    if not (findings.differences or findings.hidden or findings.lenient) and legacy.form == "json":
        findings.differences += _other_spelling(legacy, native, indexes)
    return findings


def whole(
    kind: DifferenceKind,
    indexes: tuple[int | None, int | None],
    legacy: JSON,
    native: JSON,
    severity: Severity | None = None,
) -> Difference:
    """Return a difference of a message as a whole; None as an index for the side that lacks it."""
    path: ValuePath = ("frames", "*")
    spots = [
        None if index is None else LocatedValue(("frames", index), value)
        for index, value in zip(indexes, (legacy, native), strict=True)
    ]
    return Difference(path, kind, severity or grade(kind, path), *spots)


def values_of(data: Sequence[Data]) -> list[JSON]:
    """Return the values of messages, without payloads."""
    return [ReadMessage(each).value for each in data]


def outline(data: Data) -> dict[str, JSON]:
    """Return the `type` of a client's JSON message, if it is short, and its length; nothing else of it."""
    result: dict[str, JSON] = {"length": len(data)}
    value = ReadMessage(data).value
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and len(kind) <= 64:
        result = {"type": kind, **result}
    return result


def _other_spelling(legacy: ReadMessage, native: ReadMessage, indexes: tuple[int, int]) -> list[Difference]:
    """Compare the texts of equal JSON: spaces, escapes, 1.50 for 1.5."""
    texts = mask(str(legacy.data)), mask(str(native.data))
    if texts[0] == texts[1]:
        return []
    return [whole("format", indexes, legacy.value, native.value, "minor")]


def _at_index(difference: Difference, index: int) -> Difference:
    """Return a difference with the index of native's own message in the path on native's side."""
    spot = difference.native
    if spot is None:
        return difference
    return difference._replace(native=LocatedValue(("frames", index, *spot.path[2:]), spot.value))


def _without_payloads(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {name: _without_payloads(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_payloads(item) for item in value]
    if isinstance(value, str) and len(value) > PAYLOAD and not _WHITE_SPACE.search(value):
        return _digest(value.encode(errors="replace"), "characters")
    return value


def _digest(data: bytes, unit: str) -> str:
    return f"{len(data)} {unit}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"
