"""Convert an exchange to an anonymised step of a recording. Pure.

The output retains statuses, the paths, names and constants of the contract, and the kinds of values: null stays null,
booleans become false, a list keeps its length, an id becomes another id. Names that the contract does not contain are
removed, because a name may be data itself. For a service without a contract, `AnonymizerTerms.named` retains them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from proxy.capture.pseudonyms import Pseudonyms
from proxy.comparison.bodies import Content, read
from proxy.comparison.content_encoding import CodingError, OversizeError, decode
from proxy.comparison.exchange import Body, Exchange
from proxy.comparison.fields import shape
from proxy.comparison.headers import joined
from proxy.comparison.volatile import match_volatile
from proxy.contract.disclosure import HEADER_NAMES, FieldPolicy, media_name
from proxy.contract.model import Operation
from proxy.contract.payloads import media_type
from proxy.contract.values import ContractViolation
from proxy.gateway.patterns import METHODS
from proxy.inference.operations import TRANSPORT
from proxy.recordings import model
from proxy.types import JSON, ValuePath

MAX_ITEMS: Final = 20
"""Maximum number of retained items of a list."""
MAX_DEPTH: Final = 30
_RECORDED: Final = ("response", "hang", "reset")
_LISTS: Final = frozenset(("allow", "access-control-allow-methods", "access-control-allow-headers", "vary"))
_WORDS: Final = METHODS | {name.upper() for name in HEADER_NAMES} | {"*"}


@dataclass(frozen=True, slots=True)
class AnonymizerTerms:
    """The terms of one exchange.

    `template` is the path of the contract or of the route; `named` retains names that the contract does not know.
    """

    template: str
    operation: Operation | None = None
    named: bool = False


class Unsuitable(Exception):
    """An exchange that cannot be recorded; the message is the reason."""


def step(exchange: Exchange, terms: AnonymizerTerms, pseudonyms: Pseudonyms) -> dict[str, JSON]:
    """Return an anonymised request and answer in the form of `recordings.model`. Raises Unsuitable."""
    if exchange.outcome not in _RECORDED or exchange.method not in METHODS:
        raise Unsuitable("it was not answered")
    if exchange.status == 101 or any(name.lower() == b"sec-websocket-key" for name, _ in exchange.request_headers):
        raise Unsuitable("it is a WebSocket")
    if exchange.body.truncated or exchange.request_body.truncated:
        raise Unsuitable("a body was too large")
    anonymizer = _Anonymizer(exchange, terms, pseudonyms)
    recorded: dict[str, JSON] = {"request": anonymizer.request(), "outcome": exchange.outcome}
    if exchange.outcome == "response":
        recorded["response"] = anonymizer.response()
    if terms.operation is not None and not _recorded_violations(recorded, terms.operation) <= _exchange_violations(
        exchange, terms.operation
    ):
        raise Unsuitable("its anonymised form violates the contract")
    return recorded


def _recorded_violations(step: dict[str, JSON], operation: Operation) -> set[tuple[ValuePath, str]]:
    """Return the shapes and rules that a recorded step violates."""
    recorded = model.scenario({"scenario": "", "steps": [{**step, "name": ""}]}).steps[0]
    request, answer = recorded.request, recorded.answer
    violations = operation.request_violations(dict(request.headers).get("content-type", ""), request.body or b"")
    if answer.outcome == "response":
        violations += operation.violations(answer.status, answer.headers, answer.body)
    return _rules(violations)


def _exchange_violations(exchange: Exchange, operation: Operation) -> set[tuple[ValuePath, str]]:
    """Return the shapes and rules that the exchange itself violates."""
    sent = joined(exchange.request_headers)
    headers = joined(exchange.headers)
    violations = operation.request_violations(sent.get("content-type", ""), _decoded(exchange.request_body, sent))
    if exchange.outcome == "response":
        violations += operation.violations(exchange.status, headers, _decoded(exchange.body, headers))
    return _rules(violations)


def _rules(violations: Iterable[ContractViolation]) -> set[tuple[ValuePath, str]]:
    return {(shape(one.path), one.rule) for one in violations}


def _decoded(body: Body, headers: Mapping[str, str]) -> bytes:
    try:
        return decode(body.data, headers.get("content-encoding", ""))
    except (CodingError, OversizeError) as error:
        raise Unsuitable("a body could not be decoded") from error


class _Anonymizer:
    """Anonymizes the parts of one exchange."""

    def __init__(self, exchange: Exchange, terms: AnonymizerTerms, pseudonyms: Pseudonyms) -> None:
        self._exchange, self._terms, self._pseudonyms = exchange, terms, pseudonyms

    def request(self) -> dict[str, JSON]:
        exchange, terms = self._exchange, self._terms
        headers = joined(exchange.request_headers)
        retained: dict[str, JSON] = {}
        if "authorization" in headers:
            retained["authorization"] = self._authorization(headers["authorization"])
        policy = FieldPolicy.of_request(exchange, terms.operation)
        kind, written = self._body(exchange.request_body, headers, policy)
        if kind and exchange.request_body.length:
            retained["content-type"] = kind
        body: dict[str, JSON] = {} if written is None else {"content": written}
        return {"method": exchange.method, "path": self._target(), "headers": retained, **body}

    def response(self) -> dict[str, JSON]:
        exchange, terms = self._exchange, self._terms
        headers = joined(exchange.headers)
        policy = FieldPolicy.of(exchange, terms.operation)
        kind, written = self._body(exchange.body, headers, policy)
        retained: dict[str, JSON] = {
            name: self._header(name, value, policy)
            for name, value in headers.items()
            if name in HEADER_NAMES and name not in TRANSPORT
        }
        if kind:
            retained["content-type"] = kind
        return {"status": exchange.status, "headers": retained, "text": written or ""}

    def _target(self) -> str:
        """Return the template with replaced parameters, and the names of the query that may be retained."""
        path, _, query = self._exchange.target.decode("latin-1").partition("?")
        sent = path.split("/")[1:]
        known = self._terms.template.split("/")[1:]
        wild = known[-1:] == ["*"]
        known = known[:-1] if wild else known
        parts = [
            literal if not literal.startswith("{") else self._segment(segment)
            for literal, segment in zip(known, sent, strict=False)
        ]
        rest = [self._segment(segment) for segment in sent[len(known) :]] if wild else []
        known_names = self._terms.operation.queries if self._terms.operation else frozenset()
        names = [
            name for name, _ in parse_qsl(query, keep_blank_values=True) if self._terms.named or name in known_names
        ]
        query_text = urlencode([(name, self._pseudonyms.words()) for name in names[:MAX_ITEMS]])
        return "/" + "/".join([*parts, *rest]) + (f"?{query_text}" if query_text else "")

    def _segment(self, segment: str) -> str:
        if segment.isdecimal():
            return "1"
        return quote(self._pseudonyms.text(segment).replace(" ", "-"), safe="") if segment else ""

    def _authorization(self, value: str) -> str:
        scheme, _, credentials = value.partition(" ")
        known = scheme if scheme.lower() in ("basic", "bearer", "digest") else "Bearer"
        return f"{known} {self._pseudonyms.text(credentials).replace(' ', '-')}"

    def _header(self, name: str, value: str, policy: FieldPolicy) -> str:
        path: ValuePath = ("header", name)
        if value in policy.constants(path):
            return value
        if name == "etag":
            return self._pseudonyms.entity_tag(value)
        if name in _LISTS and all(part.strip().upper() in _WORDS for part in value.split(",")):
            return value
        return self._pseudonyms.text(value)

    def _body(self, body: Body, headers: Mapping[str, str], policy: FieldPolicy) -> tuple[str, str | None]:
        """Return the content type and the text that replace a body; no text for an empty one."""
        media = media_type(headers.get("content-type", ""))
        kind = media_name(media, self._terms.operation) if media else None
        if not body.length:
            return kind or "", None
        content = read(_decoded(body, headers), headers.get("content-type", ""))
        if kind is None and media:
            return "application/octet-stream", ""
        charset = "; charset=utf-8" if "charset" in headers.get("content-type", "") else ""
        return f"{kind}{charset}" if kind else "", self._text(content, policy)

    def _text(self, content: Content, policy: FieldPolicy) -> str:
        if content.form == "json":
            replaced = _ValueAnonymizer(policy, self._terms.named, self._pseudonyms).replace(content.as_json, ("body",))
            return json.dumps(replaced, separators=(",", ":"), ensure_ascii=False)
        if content.form == "form" and isinstance(content.value, dict):
            values = _ValueAnonymizer(policy, self._terms.named, self._pseudonyms)
            names = [name for name in content.value if values.retains(("body", name))]
            return urlencode([(name, self._pseudonyms.words()) for name in names])
        if content.form == "html":
            return f"<!DOCTYPE html>\n<p>{self._pseudonyms.words()}</p>\n"
        return self._pseudonyms.words() if content.form == "text" else ""


class _ValueAnonymizer:
    """Replaces a value and everything in it."""

    def __init__(self, policy: FieldPolicy, named: bool, pseudonyms: Pseudonyms) -> None:
        self._policy, self._named, self._pseudonyms = policy, named, pseudonyms

    def replace(self, value: JSON, path: ValuePath) -> JSON:
        """Return the replacement of a value. Raises Unsuitable for one nested too deeply."""
        if isinstance(value, dict | list):
            if len(path) > MAX_DEPTH:
                raise Unsuitable("it is nested too deep")
            return dict(self._fields(value, path)) if isinstance(value, dict) else self._items(value, path)
        if self._policy.allows(path, value) or _is_among(value, self._policy.constants(path)):
            return value
        if isinstance(value, str):
            return self._pseudonyms.text(value)
        return _of_kind(value)

    def retains(self, path: ValuePath) -> bool:
        """Return whether a name is retained."""
        return self._named or self._policy.names(path)

    def _fields(self, value: dict[str, JSON], path: ValuePath) -> Iterator[tuple[str, JSON]]:
        for name, item in value.items():
            below = (*path, name)
            if match_volatile(name) is not None:
                yield self._pseudonyms.text(name), self.replace(item, below)
            elif self.retains(below):
                yield name, self.replace(item, below)

    def _items(self, value: list[JSON], path: ValuePath) -> list[JSON]:
        return [self.replace(item, (*path, index)) for index, item in enumerate(value[:MAX_ITEMS])]


def _is_among(value: JSON, constants: Sequence[JSON]) -> bool:
    return any(type(one) is type(value) and one == value for one in constants)


def _of_kind(value: JSON) -> JSON:
    """Return a number or boolean of the same type; a number has the same sign."""
    if value is None or isinstance(value, bool):
        return None if value is None else False
    if isinstance(value, float):
        return 0.0 if value == 0 else 1.5 if value > 0 else -1.5
    assert isinstance(value, int)
    return (value > 0) - (value < 0)
