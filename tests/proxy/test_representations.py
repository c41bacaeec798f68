"""The `repr` of a value that holds content of a request or an answer shows none of it: a traceback may print it."""

from __future__ import annotations

import collections.abc
import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from proxy.comparison.verdicts import Severity, Verdict
from proxy.contract.values import ContractViolation
from proxy.shadow.messages import Configure, ConnectionInfo, Notice, ReportsDropped
from proxy.types import DifferenceKind, ValuePath

CANARY: Final = "Zxqvonk"
MODULES: Final = (
    "proxy.capture.jobs",
    "proxy.comparison.answers",
    "proxy.comparison.bodies",
    "proxy.comparison.conversation",
    "proxy.comparison.exchange",
    "proxy.comparison.messages",
    "proxy.comparison.verdicts",
    "proxy.reports.events",
    "proxy.server.request_head",
    "proxy.shadow.messages",
    "proxy.websocket.messages",
)
WITHOUT_CONTENT: Final = (Configure, ConnectionInfo, Notice, ReportsDropped)
LATE: Final = {
    "JSON": str,
    "ValuePath": ValuePath,
    "ContractViolation": ContractViolation,
    "DifferenceKind": DifferenceKind,
    "Severity": Severity,
    "Verdict": Verdict,
}
"""Names that modules import for type checkers only, and the recursive type of JSON as one of its types."""
SHOWN: Final = frozenset(
    {"method", "route", "routes", "id", "version", "http_version", "scheme", "template", "operation"}
    | {"path", "hidden", "declared", "status", "rule", "message"}
)
"""Fields that logs have too, and the descriptions of differences."""


def value_types() -> Iterator[type]:
    """Yield the classes whose instances hold content."""
    for name in MODULES:
        for _, one in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            is_value = dataclasses.is_dataclass(one) or hasattr(one, "_fields")
            if is_value and one.__module__ == name and one not in WITHOUT_CONTENT:
                yield one


def filled(hint: Any, name: str = "") -> Any:
    """Return a value of a type that holds the canary in each text and in all bytes, except in fields that are shown."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is bytes:
        return CANARY.encode()
    if hint in (int, float, bool):
        return hint(1)
    if origin is Literal:
        return arguments[0]
    if type(None) in arguments and name in SHOWN:
        return None
    if origin in (Union, UnionType):
        return filled(next((one for one in arguments if one in (str, bytes)), arguments[0]), name)
    if origin in (tuple, list, collections.abc.Sequence):
        return tuple(filled(one, name) for one in arguments if one is not Ellipsis)
    if origin in (dict, collections.abc.Mapping):
        return {filled(arguments[0], name): filled(arguments[1], name)}
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        hints = get_type_hints(hint, localns=LATE)
        names = [one.name for one in dataclasses.fields(hint)] if dataclasses.is_dataclass(hint) else hint._fields
        return hint(**{one: filled(hints[one], one) for one in names})
    return "shown" if name in SHOWN else CANARY


@pytest.mark.parametrize("kind", [*value_types()], ids=lambda kind: kind.__name__)
def test_content_is_absent_from_the_representation(kind: type) -> None:
    value = filled(kind)
    assert CANARY not in repr(value)
    assert CANARY not in str(value)
