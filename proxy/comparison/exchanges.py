"""The verdict on one request that both sides have answered.

What is compared first decides how far it goes: sides that did not both answer differ in that alone; statuses of
different classes (200 and 404) make anything more a repetition; then come headers and bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from proxy.comparison.bodies import Content, is_utf8, media, read
from proxy.comparison.content_encoding import CodingError, OversizeError, decode
from proxy.comparison.correspondence import COINCIDENCE, Correspondence, Kind
from proxy.comparison.correspondence import TextDifference as Told
from proxy.comparison.exchange import Exchange, Outcome
from proxy.comparison.fast_path import is_equivalent
from proxy.comparison.headers import compare_headers, joined
from proxy.comparison.values import Asking, TooDeepError, ValueFindings, compare_values, shape, shows_nothing
from proxy.comparison.verdicts import (
    Difference,
    LocatedValue,
    Reason,
    Verdict,
    grade,
    skipped,
)
from proxy.contract.divergences import AnswerPattern, Case, Divergence, Occurrence, RequestPattern, explain
from proxy.contract.model import Operation
from proxy.contract.payloads import is_json, read_payload
from proxy.contract.values import ContractViolation
from proxy.recordings.model import RecordedAnswer, RecordedRequest
from proxy.types import JSON, ValuePath

FRESH = 60_000
"""How far (ms) from its exchange an id or a date may lie and still count as made in it; clocks differ that much."""

_UNANSWERED: Final[Mapping[Outcome, Reason]] = {"gone": "client_gone", "unasked": "backend_unavailable"}


def compare(
    legacy: Exchange,
    native: Exchange,
    operation: Operation | None = None,
    divergences: Iterable[Divergence] = (),
) -> Verdict:
    """The verdict on one request's two exchanges. Never raises, whatever the answers hold."""
    reason = incomparable(legacy) or incomparable(native)
    if reason is not None:
        return skipped(reason)
    try:
        ours, theirs = _DecodedAnswer(legacy), _DecodedAnswer(native)
    except OversizeError:
        return skipped("body_too_large")
    comparison = _ExchangeComparison(ours, theirs, operation)
    findings = comparison.findings()
    if findings is None:
        return skipped("body_too_large")
    if comparison.is_blinded(findings):
        return Verdict("skipped", hidden=tuple(findings.hidden), reason="hidden")
    return _judge(comparison, findings, divergences)


def catch_all_divergences(divergences: Iterable[Divergence]) -> tuple[str, ...]:
    """The ids of divergences that would explain any difference of their operation, and so hide every fault."""
    return tuple(one.id for one in divergences if any(_is_blanket(case) for case in one.when))


def _is_blanket(case: Case) -> bool:
    free = case.request == RequestPattern() and case.legacy == case.native == AnswerPattern() and not case.scenario
    return free and any(not glob.strip("*") or glob in ("body*", "body.*") for glob in case.paths)


def unanswered(outcome: Outcome) -> Reason | None:
    """Why an exchange of such an outcome has nothing that could be compared; None where it has."""
    return _UNANSWERED.get(outcome)


def incomparable(exchange: Exchange) -> Reason | None:
    """Why an exchange cannot be compared with any other; None where it can."""
    reason = unanswered(exchange.outcome)
    if reason is not None:
        return reason
    kinds = (value for name, value in exchange.headers if name == b"content-type")
    return "streaming" if any(kind.lower().startswith(b"text/event-stream") for kind in kinds) else None


class _DecodedAnswer:
    """An exchange with its headers by name, its body's coding undone, and the body read once somebody asks."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.headers = joined(exchange.headers)
        self.content_type = self.headers.get("content-type", "")
        self.decoded, self._broken = exchange.body.data, False
        try:
            self.decoded = decode(exchange.body.data, self.headers.get("content-encoding", ""))
        except CodingError:
            self._broken = True

    def is_like(self, other: _DecodedAnswer) -> bool:
        """Whether the two are the same in all that a contract speaks of."""
        ours, theirs = self.exchange, other.exchange
        same = ours.outcome == theirs.outcome and ours.status == theirs.status and self.headers == other.headers
        return same and ours.body.digest == theirs.body.digest and self.decoded == other.decoded

    @property
    def is_json(self) -> bool:
        """Whether the body claims to be JSON, of a coding that could be undone."""
        return not self._broken and is_json(media(self.content_type)[0])

    @cached_property
    def content(self) -> Content:
        """The body as a value; bytes where its coding could not be undone."""
        return Content("binary", self.decoded) if self._broken else read(self.decoded, self.content_type)

    def payload(self, content_type: str, body: bytes) -> JSON:
        """The body as a contract reads it, not read again where the comparison has read it alike."""
        content: Content | None = vars(self).get("content")
        if content and content.form == "json" and is_utf8(body, content_type):
            return content.as_json
        return read_payload(content_type, body)


class _ExchangeComparison:
    """The comparison of two answers to one request."""

    def __init__(self, legacy: _DecodedAnswer, native: _DecodedAnswer, operation: Operation | None) -> None:
        self.legacy, self.native, self.operation = legacy, native, operation
        self._exchanges = (legacy.exchange, native.exchange)

    def findings(self) -> ValueFindings | None:
        """What differs; None where nothing does so far and the bodies were not kept."""
        ours, theirs = self._exchanges
        if ours.outcome != theirs.outcome:
            return ValueFindings([_of("outcome", "outcome", _outcome(ours), _outcome(theirs))])
        if ours.outcome != "response":
            return ValueFindings()
        found = ValueFindings()
        if ours.status != theirs.status:
            found.differences.append(_of("status", "status", ours.status, theirs.status))
        if ours.status // 100 != theirs.status // 100:
            return found
        found.differences += compare_headers(ours, theirs, self._names)
        if ours.body.truncated or theirs.body.truncated:
            return found if ours.body == theirs.body or found.differences else None
        bodies = self._bodies()
        return ValueFindings(found.differences + bodies.differences, bodies.hidden)

    def is_blinded(self, findings: ValueFindings) -> bool:
        """Whether rules hide differences, and leave nothing that could show any."""
        asking = self._asking()
        if findings.differences or not findings.hidden or asking is None:
            return False
        return all(shows_nothing(answer.content.as_json, asking) for answer in (self.legacy, self.native))

    def violations(self) -> tuple[ContractViolation, ...]:
        """What of either answer breaks the contract."""
        ours = self._violations(self.legacy)
        theirs = ours if self.legacy.is_like(self.native) else self._violations(self.native)
        return (
            *(replace(one, backend="legacy") for one in ours),
            *(replace(one, backend="native") for one in theirs),
        )

    def _violations(self, answer: _DecodedAnswer) -> Sequence[ContractViolation]:
        exchange = answer.exchange
        if self.operation is None or exchange.outcome != "response" or exchange.body.truncated:
            return ()
        return self.operation.violations(exchange.status, answer.headers, answer.decoded, answer.payload)

    def occurrence(self) -> Occurrence:
        """The request and its answers as divergences know them."""
        sent = self.legacy.exchange
        target = sent.target.decode("latin-1")
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in sent.request_headers)
        request = RecordedRequest(sent.method, target, headers, sent.request_body.data)
        operation = f"{sent.method} {target.partition('?')[0]}"
        return Occurrence(operation, exchange=(request, _told(self.legacy), _told(self.native)))

    def _bodies(self) -> ValueFindings:
        if self.legacy.decoded == self.native.decoded or self._are_alike():
            return ValueFindings()
        ours, theirs = self.legacy.content, self.native.content
        if ours.form != theirs.form:
            return ValueFindings([self._unlike(ours, theirs)])
        if ours.form == "binary":
            return ValueFindings([_of("body", "value", ours.value, theirs.value)])
        try:
            return compare_values(ours.as_json, theirs.as_json, self._names, self._asking())
        except (TooDeepError, RecursionError):
            one, other = (answer.decoded.decode("utf-8", "replace") for answer in (self.legacy, self.native))
            return compare_values(one, other, self._names)

    def _are_alike(self) -> bool:
        """Whether a quick look tells that two JSON bodies do not differ, and no rule would have hidden anything."""
        if not (self.legacy.is_json and self.native.is_json) or self._hides():
            return False
        return is_equivalent(self.legacy.decoded, self.native.decoded, self._names)

    def _hides(self) -> bool:
        operation, (status, content_type) = self.operation, self._situation()
        return operation is not None and operation.hides(status, content_type)

    def _unlike(self, ours: Content, theirs: Content) -> Difference:
        """One is JSON and the other is not, or one is empty."""
        if ours.form == "none":
            return _of("body", "extra", None, theirs.value)
        return _of("body", "missing" if theirs.form == "none" else "type", ours.value, theirs.value)

    def _names(self) -> Correspondence:
        """Names for ids and dates, in which those that the client sent stand for themselves."""
        ours, theirs = self._exchanges
        longest = int(max(ours.total, theirs.total) * 1000)
        names = Correspondence(
            int(ours.started * 1000),
            int(theirs.started * 1000),
            fresh=FRESH + longest,
            coincidence=max(COINCIDENCE, longest),
        )
        for sent in {one for each in (ours, theirs) for one in (each.target, each.request_body.data)}:
            text = sent.decode("latin-1")
            names.compare_text(text, text, "")
        return names

    def _asking(self) -> Asking | None:
        operation = self.operation
        if operation is None:
            return None
        situation = self._situation()
        return lambda path: operation.hints(path, *situation)

    def _situation(self) -> tuple[int, str]:
        """The status and content type to ask the contract about, the same whichever side is which."""
        status = min(exchange.status for exchange in self._exchanges)
        return status, min(self.legacy.content_type, self.native.content_type)


def _judge(comparison: _ExchangeComparison, findings: ValueFindings, divergences: Iterable[Divergence]) -> Verdict:
    differences = tuple(findings.differences)
    declared, unexplained = _explain(comparison, differences, divergences)
    left = {id(one) for one in unexplained}
    meant = [one for one in differences if id(one) not in left]
    violations = tuple(one for one in comparison.violations() if one.backend == "legacy" or not _is_meant(one, meant))
    parts = (differences, unexplained, declared, violations, tuple(findings.hidden))
    if unexplained:
        return Verdict("mismatch", *parts)
    if violations:
        return Verdict("violation", *parts)
    return Verdict("declared" if differences else "match", *parts)


def _explain(
    comparison: _ExchangeComparison, differences: Sequence[Difference], divergences: Iterable[Divergence]
) -> tuple[tuple[str, ...], tuple[Difference, ...]]:
    """The ids of divergences that account for differences, and the differences left over."""
    if not differences:
        return (), ()
    told = [Told(one.place, one.kind, "", "") for one in differences]
    explanation = explain(divergences, comparison.occurrence(), told)
    left = {(one.path, one.kind) for one in explanation.unexplained}
    return explanation.declared, tuple(one for one in differences if (one.place, one.kind) in left)


def _is_meant(violation: ContractViolation, declared: Iterable[Difference]) -> bool:
    """Whether a difference that is meant is why native breaks the contract, which says what legacy does."""
    return any(_leads_to(one, violation.path) for one in declared)


def _leads_to(difference: Difference, path: ValuePath) -> bool:
    """Whether it stands at or above a place in native's answer, or is of a field just beneath."""
    if difference.kind in ("status", "outcome"):
        return True
    if difference.kind in ("missing", "extra") and difference.path[:-1] == shape(path):
        return True
    place = difference.native.path if difference.native else difference.path
    return path[: len(place)] == place


def _told(answer: _DecodedAnswer) -> RecordedAnswer:
    exchange = answer.exchange
    if exchange.outcome == "hang" or exchange.outcome == "reset":
        return RecordedAnswer(exchange.outcome)
    return RecordedAnswer("response", exchange.status, answer.headers, answer.decoded)


def _outcome(exchange: Exchange) -> str:
    return f"response {exchange.status}" if exchange.outcome == "response" else exchange.outcome


def _of(place: str, kind: Kind, ours: JSON | bytes, theirs: JSON | bytes) -> Difference:
    """A difference of the answer as a whole."""
    path = (place,)
    legacy = None if kind == "extra" else LocatedValue(path, ours)
    native = None if kind == "missing" else LocatedValue(path, theirs)
    return Difference(path, kind, grade(kind, path), legacy, native)
