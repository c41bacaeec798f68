"""Compare two exchanges of one request, and classify the differences by divergences and contract. Pure.

If a backend did not answer, that is the only difference. Statuses of different classes (200 and 404) are the only
difference too. Otherwise headers and bodies are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.bodies import Content, media, read
from proxy.comparison.body_digests import DIGEST_BLOCK
from proxy.comparison.content_encoding import CodingError, OversizeError
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchange import Exchange, Outcome
from proxy.comparison.fields import is_fully_ignored, shape
from proxy.comparison.headers import HeaderComparison
from proxy.comparison.modes import READ, Mode
from proxy.comparison.spelling import http_date
from proxy.comparison.values import TooDeepError, ValueFindings, compare_values
from proxy.comparison.verdicts import Difference, LocatedValue, Reason, Verdict, grade, skipped
from proxy.comparison.volatile import mask
from proxy.contract.divergences import (
    AnswerPattern,
    Case,
    Divergence,
    Explanation,
    Occurrence,
    RequestPattern,
    explain,
    operation_of,
)
from proxy.contract.model import HintsAt, Operation
from proxy.contract.values import ContractViolation
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON, DifferenceKind, ValuePath

CLOCK_TOLERANCE: Final = 2_000
"""Maximum distance (ms) between an id or date and the backend's clock to count as generated in the exchange."""
UNKNOWN_CLOCK_TOLERANCE: Final = 60_000
"""The same distance for a legacy without a `Date` header, whose clock may differ by as much."""

_SPELLED: Final = ("json", "form", "html", "text")
"""Forms whose value may be spelled in several ways."""
_IGNORED_IN_READS: Final = frozenset(name.encode() for name in READ.ignored_headers)
_MATCH: Final = Verdict("match")
_UNANSWERED: Final[Mapping[Outcome, Reason]] = {"gone": "client_gone", "unasked": "backend_unavailable"}


def compare(
    legacy: Exchange,
    native: Exchange,
    operation: Operation | None = None,
    divergences: Iterable[Divergence] = (),
    mode: Mode = READ,
) -> Verdict:
    """Return the verdict on one request's two exchanges. Never raises, whatever the answers contain."""
    reason = incomparable(legacy) or incomparable(native)
    if reason is not None:
        return skipped(reason)
    if operation is None and mode == READ and _are_equal(legacy, native):
        return _MATCH
    try:
        legacy_answer, native_answer = (DecodedAnswer.of(one, by_role=mode.by_role) for one in (legacy, native))
    except (OversizeError, CodingError):
        return skipped("body_too_large")
    names = _LazyCorrespondence(legacy, native)
    comparison = AnswerComparison(legacy_answer, native_answer, mode, names, operation)
    findings = comparison.findings()
    if findings is None:
        return skipped("body_too_large")
    if comparison.is_fully_hidden(findings):
        return Verdict("skipped", hidden=tuple(findings.hidden), reason="hidden")
    return _judge(comparison, findings, divergences, legacy)


def catch_all_divergences(divergences: Iterable[Divergence]) -> tuple[str, ...]:
    """Return the ids of divergences that explain any difference of their operation, and therefore hide every fault."""
    return tuple(one.id for one in divergences if any(_is_catch_all(case) for case in one.when))


def _is_catch_all(case: Case) -> bool:
    free = case.request == RequestPattern() and case.legacy == case.native == AnswerPattern() and not case.scenario
    return free and any(not glob.strip("*") or glob in ("body*", "body.*") for glob in case.paths)


def unanswered(outcome: Outcome) -> Reason | None:
    """Return the reason why an exchange with this outcome cannot be compared; None if it can."""
    return _UNANSWERED.get(outcome)


def incomparable(exchange: Exchange) -> Reason | None:
    """Return the reason why an exchange cannot be compared with any other; None if it can."""
    reason = unanswered(exchange.outcome)
    if reason is not None:
        return reason
    for name, value in exchange.headers:
        if name == b"content-type" and value.lower().startswith(b"text/event-stream"):
            return "streaming"
    return None


def _are_equal(legacy: Exchange, native: Exchange) -> bool:
    """Return True if two answers to a read are equal as sent, apart from ignored headers."""
    if legacy.body != native.body or legacy.status != native.status or legacy.outcome != native.outcome:
        return False
    legacy_parts, native_parts = (
        [header for header in one.headers if header[0] not in _IGNORED_IN_READS] for one in (legacy, native)
    )
    return legacy_parts == native_parts


class AnswerComparison:
    """The comparison of two answers to one request.

    `names` returns the correspondence of ids and dates, the same object every time.
    """

    def __init__(
        self,
        legacy: DecodedAnswer,
        native: DecodedAnswer,
        mode: Mode,
        names: Callable[[], Correspondence],
        operation: Operation | None = None,
    ) -> None:
        self.legacy, self.native, self.operation = legacy, native, operation
        self._mode, self._names = mode, names

    def findings(self) -> ValueFindings | None:
        """Return the differences; None if the bodies are too large and nothing else differs."""
        legacy, native = self.legacy, self.native
        if legacy.outcome != native.outcome:
            return ValueFindings([_whole("outcome", "outcome", _outcome(legacy), _outcome(native))])
        if legacy.outcome != "response":
            return ValueFindings()
        result = ValueFindings()
        if legacy.status != native.status:
            result.differences.append(_whole("status", "status", legacy.status, native.status))
        if legacy.status // 100 != native.status // 100:
            return result
        result.differences += self._header_differences()
        bodies = self._large_bodies() if legacy.blocks or native.blocks else self._bodies()
        if bodies is None:
            return result if result.differences else None
        return ValueFindings(result.differences + bodies.differences, bodies.hidden)

    def is_fully_hidden(self, findings: ValueFindings) -> bool:
        """Return True if rules hide differences and leave nothing that could differ."""
        hints = self._hints
        if findings.differences or not findings.hidden or hints is None:
            return False
        return all(is_fully_ignored(answer.content.as_json, hints) for answer in (self.legacy, self.native))

    def violations(self) -> tuple[ContractViolation, ...]:
        """Return every violation of the contract in either answer."""
        if self.operation is None:
            return ()
        legacy_violations = self._violations(self.operation, self.legacy)
        native_violations = (
            legacy_violations if self.legacy == self.native else self._violations(self.operation, self.native)
        )
        return (
            *(replace(one, backend="legacy") for one in legacy_violations),
            *(replace(one, backend="native") for one in native_violations),
        )

    def _violations(self, operation: Operation, answer: DecodedAnswer) -> Sequence[ContractViolation]:
        if answer.outcome != "response" or answer.blocks:
            return ()
        return operation.violations(answer.status, answer.headers, answer.body, answer.payload)

    def _header_differences(self) -> list[Difference]:
        bodies = ((one.body, one.blocks, one.headers.get("content-encoding")) for one in (self.legacy, self.native))
        same_body = next(bodies) == next(bodies)
        comparison = HeaderComparison(self.legacy, self.native, self._mode, self._names, self._hints, same_body)
        return comparison.differences()

    def _large_bodies(self) -> ValueFindings | None:
        """Compare bodies by the digests of their blocks; None if these are inconclusive."""
        legacy_digests = self.legacy.digested()
        native_digests = self.native.digested()
        if legacy_digests == native_digests and self.legacy.is_coded is self.native.is_coded:
            return ValueFindings()
        if self.legacy.is_coded or self.native.is_coded:
            return None
        pairs = list(zip(legacy_digests[1], native_digests[1], strict=False))
        equal = next((index for index, (one, other) in enumerate(pairs) if one != other), len(pairs))
        shown: list[JSON] = [
            {"length": length, "equal_until": equal * DIGEST_BLOCK} for length, _ in (legacy_digests, native_digests)
        ]
        return ValueFindings([_whole("body", "value", *shown)])

    def _bodies(self) -> ValueFindings:
        if self.legacy.is_broken is not self.native.is_broken:
            return ValueFindings([_whole("body", "type", self.legacy.body, self.native.body)])
        if self.legacy.body == self.native.body and not self._mode.by_role:
            return ValueFindings()
        legacy_body, native_body = self._contents()
        if legacy_body.form != native_body.form:
            is_same = self.legacy.body == self.native.body  # read differently because the headers differ
            return ValueFindings([] if is_same else [self._other_form(legacy_body, native_body)])
        if legacy_body.form == "binary":
            same = legacy_body.value == native_body.value
            return ValueFindings([] if same else [_whole("body", "value", legacy_body.value, native_body.value)])
        result = self._walk(legacy_body.as_json, native_body.as_json)
        if legacy_body.form in _SPELLED and not (result.differences or result.hidden or result.lenient):
            result.differences += self._other_spelling()
        return result

    def _contents(self) -> tuple[Content, Content]:
        """Return both bodies as values; as JSON if both are JSON, even if one content type does not say so."""
        contents = self.legacy.content, self.native.content
        if contents[0].form == contents[1].form or self.legacy.content_type == self.native.content_type:
            return contents
        content_type = min(self.legacy.content_type, self.native.content_type)
        again = read(self.legacy.body, content_type), read(self.native.body, content_type)
        return again if again[0].form == again[1].form == "json" else contents

    def _walk(self, legacy: JSON, native: JSON) -> ValueFindings:
        try:
            return compare_values(legacy, native, self._names, self._hints, by_role=self._mode.by_role)
        except (TooDeepError, RecursionError):
            texts = self.legacy.text, self.native.text
            return compare_values(*texts, self._names, by_role=self._mode.by_role)

    def _other_spelling(self) -> list[Difference]:
        """Compare the texts of equal values: spaces, escapes, 1.50 for 1.5, a name twice, markup, a byte order mark."""
        if media(self.legacy.content_type) != media(self.native.content_type):
            return []
        texts = self.legacy.text, self.native.text
        if self._mode.by_role:
            if self.legacy.is_compact and self.native.is_compact:
                return []
            texts = mask(texts[0]), mask(texts[1])
        return [] if texts[0] == texts[1] else [_whole("body", "format", *texts)]

    @cached_property
    def _hints(self) -> HintsAt | None:
        operation = self.operation
        if operation is None:
            return None
        status = min(self.legacy.status, self.native.status)
        content_type = min(self.legacy.content_type, self.native.content_type)  # the same when the sides are swapped
        return operation.hints_of(status, content_type)

    def _other_form(self, legacy: Content, native: Content) -> Difference:
        """Return the difference if one body is JSON and the other is not, or if one is empty."""
        if legacy.form == "none":
            return _whole("body", "extra", None, native.value)
        return _whole("body", "missing" if native.form == "none" else "type", legacy.value, native.value)


class _LazyCorrespondence:
    """The correspondence of one exchange. Ids that the client sent correspond to themselves."""

    def __init__(self, legacy: Exchange, native: Exchange) -> None:
        self._exchanges = legacy, native
        self._names: Correspondence | None = None

    def __call__(self) -> Correspondence:
        if self._names is None:
            self._names = self._create()
        return self._names

    def _create(self) -> Correspondence:
        legacy, native = self._exchanges
        longest = int(max(legacy.total, native.total) * 1000)
        clock = _clock(legacy)
        tolerance = UNKNOWN_CLOCK_TOLERANCE if clock is None else CLOCK_TOLERANCE
        names = Correspondence(
            int(legacy.started * 1000) if clock is None else clock,
            int(native.started * 1000),
            fresh=tolerance + longest,
            answer_time=longest,
        )
        for sent in {part for one in self._exchanges for part in (one.target, one.request_body.data)}:
            text = sent.decode("latin-1")
            names.compare_text(text, text)
        return names


def _clock(exchange: Exchange) -> int | None:
    """Return the time of an answer by its backend's clock in ms, from the `Date` header; None without one."""
    for name, value in exchange.headers:
        if name == b"date":
            date = http_date(value.decode("latin-1"))
            return None if date is None else date + 500
    return None


def _judge(
    comparison: AnswerComparison, findings: ValueFindings, divergences: Iterable[Divergence], request: Exchange
) -> Verdict:
    differences = tuple(findings.differences)
    explanation = _explain(comparison, differences, divergences, request)
    return verdict_of(differences, explanation, comparison.violations(), tuple(findings.hidden))


def verdict_of(
    differences: tuple[Difference, ...],
    explanation: Explanation,
    violations: Iterable[ContractViolation],
    hidden: tuple[ValuePath, ...],
) -> Verdict:
    """Return the verdict on differences and violations. Violations that a divergence declares do not count."""
    left = {id(one) for one in explanation.unexplained} if explanation.declared else None
    meant = [] if left is None else [one for one in differences if id(one) not in left]
    counted = tuple(one for one in violations if not _is_declared(one, meant, explanation))
    parts = (differences, explanation.unexplained, explanation.declared, counted, hidden)
    if explanation.unexplained:
        return Verdict("mismatch", *parts)
    if counted:
        return Verdict("violation", *parts)
    return Verdict("declared" if differences else "match", *parts)


def _explain(
    comparison: AnswerComparison,
    differences: Sequence[Difference],
    divergences: Iterable[Divergence],
    request: Exchange,
) -> Explanation:
    """Return the divergences that account for differences, and the differences that none accounts for."""
    if not differences:
        return Explanation((), ())
    return explain(divergences, _occurrence(comparison, request), differences)


def _occurrence(comparison: AnswerComparison, request: Exchange) -> Occurrence:
    """Return the request and its answers in the form that divergences match."""
    target = request.target.decode("latin-1")
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.request_headers)
    sent = RecordedRequest(request.method, target, headers, request.request_body.data)
    operation = operation_of(request.method, target)
    return Occurrence(operation, exchange=(sent, comparison.legacy, comparison.native))


def _is_declared(violation: ContractViolation, declared: Iterable[Difference], explanation: Explanation) -> bool:
    """Return True if a divergence declares a violation.

    Native's is the consequence of a declared difference, because the contract describes legacy. Legacy's is declared
    where the divergence has a condition on that part of legacy's answer.
    """
    if violation.backend == "legacy":
        return any(pattern.describes(violation.path) for pattern in explanation.legacy)
    return any(_leads_to(one, violation.path) for one in declared)


def _leads_to(difference: Difference, path: ValuePath) -> bool:
    """Return whether a difference is at or above a path in native's answer, or of a field directly below it."""
    if difference.kind in ("status", "outcome"):
        return True
    if difference.kind in ("missing", "extra") and difference.path[:-1] == shape(path):
        return True
    above = difference.native.path if difference.native else difference.path
    return path[: len(above)] == above


def _outcome(answer: DecodedAnswer) -> str:
    return f"response {answer.status}" if answer.outcome == "response" else answer.outcome


def _whole(part: str, kind: DifferenceKind, legacy: JSON | bytes, native: JSON | bytes) -> Difference:
    """Return a difference of the answer as a whole."""
    path = (part,)
    spots = (
        None if kind == "extra" else LocatedValue(path, legacy),
        None if kind == "missing" else LocatedValue(path, native),
    )
    return Difference(path, kind, grade(kind, path), *spots)
