"""An exchange as a step of a recording in which nothing of anybody is left. Pure.

Statuses, the contract's paths, names and constants stay, and so do kinds: null, true and false as false, a list's
length, an id as an id. What the contract does not name is left out, since a name may be data itself; unless names are
asked for, for a service whose contract is yet to be made.
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
from proxy.comparison.headers import joined
from proxy.comparison.values import shape
from proxy.comparison.volatile import match_volatile
from proxy.contract.disclosure import HEADER_NAMES, FieldPolicy, media_name
from proxy.contract.inference import TRANSPORT
from proxy.contract.model import Operation
from proxy.contract.payloads import media_type
from proxy.contract.values import ContractViolation
from proxy.gateway.patterns import METHODS
from proxy.recordings import model
from proxy.types import JSON, ValuePath

ITEMS: Final = 20
"""How many items of a list are kept."""
DEPTH: Final = 30
_RECORDED: Final = ("response", "hang", "reset")
_LISTS: Final = frozenset(("allow", "access-control-allow-methods", "access-control-allow-headers", "vary"))
_WORDS: Final = METHODS | {name.upper() for name in HEADER_NAMES} | {"*"}


@dataclass(frozen=True, slots=True)
class AnonymizerTerms:
    """`template` is the path that the route or the contract has for it, `named` whether names that no contract knows
    are kept."""

    template: str
    operation: Operation | None = None
    named: bool = False


class Unsuitable(Exception):
    """An exchange of which no recording can be made; says why."""


def step(exchange: Exchange, terms: AnonymizerTerms, pseudonyms: Pseudonyms) -> dict[str, JSON]:
    """A request and its answer as `recordings` reads them, without a name. Raises Unsuitable."""
    if exchange.outcome not in _RECORDED or exchange.method not in METHODS:
        raise Unsuitable("it was not answered")
    if exchange.body.truncated or exchange.request_body.truncated:
        raise Unsuitable("a body was too large to be kept")
    standing = _Anonymizer(exchange, terms, pseudonyms)
    found: dict[str, JSON] = {"request": standing.request(), "outcome": exchange.outcome}
    if exchange.outcome == "response":
        found["response"] = standing.response()
    if terms.operation is not None and not _breaches(found, terms.operation) <= _broken(exchange, terms.operation):
        raise Unsuitable("what would stand for it breaks the contract")
    return found


def _breaches(found: dict[str, JSON], operation: Operation) -> set[tuple[ValuePath, str]]:
    """Where a recorded step breaks the contract."""
    recorded = model.scenario({"scenario": "", "steps": [{**found, "name": ""}]}).steps[0]
    request, answer = recorded.request, recorded.answer
    broken = operation.request_violations(dict(request.headers).get("content-type", ""), request.body or b"")
    if answer.outcome == "response":
        broken += operation.violations(answer.status, answer.headers, answer.body)
    return _rules(broken)


def _broken(exchange: Exchange, operation: Operation) -> set[tuple[ValuePath, str]]:
    """Where the exchange itself breaks it."""
    sent, headers = joined(exchange.request_headers), joined(exchange.headers)
    broken = operation.request_violations(sent.get("content-type", ""), _decoded(exchange.request_body, sent))
    if exchange.outcome == "response":
        broken += operation.violations(exchange.status, headers, _decoded(exchange.body, headers))
    return _rules(broken)


def _rules(violations: Iterable[ContractViolation]) -> set[tuple[ValuePath, str]]:
    return {(shape(one.path), one.rule) for one in violations}


def _decoded(body: Body, headers: Mapping[str, str]) -> bytes:
    try:
        return decode(body.data, headers.get("content-encoding", ""))
    except (CodingError, OversizeError) as error:
        raise Unsuitable("a body could not be decoded") from error


class _Anonymizer:
    """One exchange, part by part."""

    def __init__(self, exchange: Exchange, terms: AnonymizerTerms, pseudonyms: Pseudonyms) -> None:
        self._exchange, self._terms, self._pseudonyms = exchange, terms, pseudonyms

    def request(self) -> dict[str, JSON]:
        exchange, terms = self._exchange, self._terms
        headers = joined(exchange.request_headers)
        told: dict[str, JSON] = {}
        if "authorization" in headers:
            told["authorization"] = self._authorization(headers["authorization"])
        place = FieldPolicy.of_request(exchange, terms.operation)
        kind, written = self._body(exchange.request_body, headers, place)
        if kind and exchange.request_body.length:
            told["content-type"] = kind
        body: dict[str, JSON] = {} if written is None else {"content": written}
        return {"method": exchange.method, "path": self._target(), "headers": told, **body}

    def response(self) -> dict[str, JSON]:
        exchange, terms = self._exchange, self._terms
        headers, place = joined(exchange.headers), FieldPolicy.of(exchange, terms.operation)
        kind, written = self._body(exchange.body, headers, place)
        told: dict[str, JSON] = {
            name: self._header(name, value, place)
            for name, value in headers.items()
            if name in HEADER_NAMES and name not in TRANSPORT
        }
        if kind:
            told["content-type"] = kind
        return {"status": exchange.status, "headers": told, "text": written or ""}

    def _target(self) -> str:
        """The template with what stands in for parameters, and a query's names as far as they may be told."""
        path, _, query = self._exchange.target.decode("latin-1").partition("?")
        sent, known = path.split("/")[1:], self._terms.template.split("/")[1:]
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
        asked = urlencode([(name, self._pseudonyms.words()) for name in names[:ITEMS]])
        return "/" + "/".join([*parts, *rest]) + (f"?{asked}" if asked else "")

    def _segment(self, segment: str) -> str:
        if segment.isdecimal():
            return "1"
        return quote(self._pseudonyms.text(segment).replace(" ", "-"), safe="") if segment else ""

    def _authorization(self, value: str) -> str:
        scheme, _, credentials = value.partition(" ")
        known = scheme if scheme.lower() in ("basic", "bearer", "digest") else "Bearer"
        return f"{known} {self._pseudonyms.text(credentials).replace(' ', '-')}"

    def _header(self, name: str, value: str, place: FieldPolicy) -> str:
        path: ValuePath = ("header", name)
        if value in place.constants(path):
            return value
        if name == "etag":
            return self._pseudonyms.entity_tag(value)
        if name in _LISTS and all(part.strip().upper() in _WORDS for part in value.split(",")):
            return value
        return self._pseudonyms.text(value)

    def _body(self, body: Body, headers: Mapping[str, str], place: FieldPolicy) -> tuple[str, str | None]:
        """The content type and the text that stand for a body; no text where there was none."""
        media = media_type(headers.get("content-type", ""))
        kind = media_name(media, self._terms.operation) if media else None
        if not body.length:
            return kind or "", None
        content = read(_decoded(body, headers), headers.get("content-type", ""))
        if kind is None and media:
            return "application/octet-stream", ""
        charset = "; charset=utf-8" if "charset" in headers.get("content-type", "") else ""
        return f"{kind}{charset}" if kind else "", self._text(content, place)

    def _text(self, content: Content, place: FieldPolicy) -> str:
        if content.form == "json":
            told = _FieldDisclosure(place, self._terms.named, self._pseudonyms).tell(content.as_json, ("body",))
            return json.dumps(told, separators=(",", ":"), ensure_ascii=False)
        if content.form == "form" and isinstance(content.value, dict):
            telling = _FieldDisclosure(place, self._terms.named, self._pseudonyms)
            names = [name for name in content.value if telling.knows(("body", name))]
            return urlencode([(name, self._pseudonyms.words()) for name in names])
        if content.form == "html":
            return f"<!DOCTYPE html>\n<p>{self._pseudonyms.words()}</p>\n"
        return self._pseudonyms.words() if content.form == "text" else ""


class _FieldDisclosure:
    """Puts stand-ins in the place of a value and all that is in it."""

    def __init__(self, place: FieldPolicy, named: bool, pseudonyms: Pseudonyms) -> None:
        self._place, self._named, self._pseudonyms = place, named, pseudonyms

    def tell(self, value: JSON, path: ValuePath) -> JSON:
        """What stands for a value."""
        if isinstance(value, dict | list):
            if len(path) > DEPTH:
                raise Unsuitable("it is nested too deep")
            return dict(self._fields(value, path)) if isinstance(value, dict) else self._items(value, path)
        if self._place.allows(path, value) or _is_among(value, self._place.constants(path)):
            return value
        if isinstance(value, str):
            return self._pseudonyms.text(value)
        return _of_kind(value)

    def knows(self, path: ValuePath) -> bool:
        """Whether a name may be told."""
        return self._named or self._place.names(path)

    def _fields(self, value: dict[str, JSON], path: ValuePath) -> Iterator[tuple[str, JSON]]:
        for name, item in value.items():
            place, found = (*path, name), match_volatile(name)
            if found is not None:
                yield self._pseudonyms.text(name), self.tell(item, place)
            elif self.knows(place):
                yield name, self.tell(item, place)

    def _items(self, value: list[JSON], path: ValuePath) -> list[JSON]:
        return [self.tell(item, (*path, index)) for index, item in enumerate(value[:ITEMS])]


def _is_among(value: JSON, constants: Sequence[JSON]) -> bool:
    return any(type(one) is type(value) and one == value for one in constants)


def _of_kind(value: JSON) -> JSON:
    """A number or boolean that says nothing but its type, and whether it is below, at or above zero."""
    if value is None or isinstance(value, bool):
        return None if value is None else False
    if isinstance(value, float):
        return 0.0 if value == 0 else 1.5 if value > 0 else -1.5
    assert isinstance(value, int)
    return (value > 0) - (value < 0)
