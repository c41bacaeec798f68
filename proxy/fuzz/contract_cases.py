"""Requests from the contract: valid and mutated cases of Schemathesis, sent byte for byte."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema

from proxy.contract.tree import read_tree
from proxy.docs.merging import published
from proxy.fuzz.requests import FuzzRequest

BASE_URL: Final = "http://fuzz.invalid"
OWN_HEADERS: Final = frozenset(
    ("user-agent", "accept-encoding", "accept", "connection", "x-schemathesis-testcaseid", "content-length", "host")
)
"""Headers that Schemathesis and its client add to every request."""

_SWITCHING: Final = "101"
_MARK: Final = "fuzz-mark-"
_MARKED: Final = re.compile(rf"{_MARK}(\d+)")


def read_schema(file: Path) -> BaseSchema:
    """Return the contract as a Schemathesis schema, without WebSockets. Raises `ContractError`."""
    contract: Any = read_tree(file).value
    document: dict[str, Any] = copy.deepcopy(published(contract))
    document["paths"] = {path: item for path, item in document["paths"].items() if not _is_websocket(item)}
    generation = {"database": "none", "allow-x00": True}
    config = SchemathesisConfig.from_dict({"suppress-health-check": ["all"], "generation": generation})
    return schemathesis.openapi.from_dict(document, config=config)


def _is_websocket(item: Mapping[str, Any]) -> bool:
    return any(_SWITCHING in one.get("responses", {}) for one in item.values() if isinstance(one, dict))


def case_strategies(schema: BaseSchema) -> dict[str, st.SearchStrategy[Any]]:
    """Return a strategy for the cases of each operation: three in four valid, the others mutated."""
    operations: list[Any] = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {operation.label: _cases(operation) for operation in operations}


def _cases(operation: Any) -> st.SearchStrategy[Any]:
    valid: st.SearchStrategy[Any] = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.body or operation.query or operation.path_parameters or operation.headers or operation.cookies):
        return valid  # there is nothing to mutate
    mutated = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    return st.integers(0, 3).flatmap(lambda number: valid if number else mutated)


def request_of(case: Case[Any], headers: tuple[tuple[str, str], ...] = (), number: int | None = None) -> FuzzRequest:
    """Return the request of a case; `headers` replace its own headers of the same name.

    With a `number`, the path parameters are placeholders with that number: a text refers to an id of the sequence, any
    other value to a member with the parameter's name.
    """
    own = dict(case.path_parameters or {})
    if number is None or not own:
        return _prepared(case, headers)
    case.path_parameters = {name: f"{_MARK}{index}" for index, name in enumerate(own)}
    request = _prepared(case, headers)
    names = ["id" if isinstance(value, str) else name for name, value in own.items()]
    defaults = [quote(str(value), safe="") or "0" for value in own.values()]
    placeholders = [f"<{name} {number}|{value}>" for name, value in zip(names, defaults, strict=True)]
    return replace(request, target=_MARKED.sub(lambda match: placeholders[int(match[1])], request.target))


def _prepared(case: Case[Any], headers: tuple[tuple[str, str], ...]) -> FuzzRequest:
    arguments = case.as_transport_kwargs(base_url=BASE_URL)
    known = ("method", "url", "headers", "data", "json", "params", "cookies", "files", "auth")
    prepared = requests.Request(**{name: arguments[name] for name in known if name in arguments}).prepare()
    own = [(name.lower(), _text(value)) for name, value in prepared.headers.items()]
    added = {name for name, _ in headers}
    rest = tuple((name, value) for name, value in own if name not in OWN_HEADERS and name not in added)
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
    text = body.decode("latin-1") if isinstance(body, bytes) else None
    return FuzzRequest(str(prepared.method), prepared.path_url, (*rest, *headers), text)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
