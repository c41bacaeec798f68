"""Derive the counter keys of an event. Pure; keys hold no values of messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.comparison.exchange import Exchange
from proxy.comparison.headers import joined
from proxy.comparison.verdicts import Severity, Verdict
from proxy.contract.disclosure import media_name
from proxy.contract.model import Operation
from proxy.contract.payloads import media_type
from proxy.gateway.request_record import RequestRecord
from proxy.reports.counters import Key, key
from proxy.reports.events import UNMATCHED, ComparisonEvent, ReplayEvent
from proxy.reports.models import FieldKind
from proxy.reports.redaction import Redactor, message_of
from proxy.types import Backend, DifferenceKind

Admit = Callable[[str], str]
"""Returns the name under which a field is counted, within the limits of a route."""

_SEVERITIES: tuple[Severity, ...] = ("minor", "major", "breaking")


class DifferingField(NamedTuple):
    """A field in which two answers differ in one way, once or several times."""

    field: str
    kind: DifferenceKind
    severity: Severity
    declared: bool


def summarize_fields(verdict: Verdict, legacy: Exchange, native: Exchange, redactor: Redactor) -> list[DifferingField]:
    """Return each field and kind of a verdict once: declared if all its differences are, with the worst severity."""
    unexplained = set(map(id, verdict.unexplained))
    names: dict[tuple[object, bool], str] = {}
    fields: dict[tuple[str, DifferenceKind], DifferingField] = {}
    for one in verdict.differences:
        path_and_backend = (one.path, one.legacy is None)
        if path_and_backend not in names:
            names[path_and_backend] = redactor.field(one.path, native if one.legacy is None else legacy)
        field = DifferingField(names[path_and_backend], one.kind, one.severity, id(one) not in unexplained)
        other = fields.setdefault((field.field, field.kind), field)
        worst = max(field.severity, other.severity, key=_SEVERITIES.index)
        fields[field.field, field.kind] = field._replace(severity=worst, declared=field.declared and other.declared)
    return list(fields.values())


def of_comparison(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> Iterator[Key]:
    """Yield keys for the verdict, its fields, divergences and violations, and for legacy's answer."""
    route, verdict = comparison.route, comparison.verdict
    if verdict.reason is not None:
        yield key("skipped", route=route, reason=verdict.reason)
        return
    yield key("verdict", route=route, verdict=verdict.count_name)
    yield _answer(route, comparison.operation, comparison.legacy)
    for field in summarize_fields(verdict, comparison.legacy, comparison.native, redactor):
        admitted = field._replace(field=admit(field.field))
        yield key("field", route=route, operation=_named(comparison.operation), **admitted._asdict())
    for name in verdict.declared:
        yield key("divergence", divergence=name)
    yield from _drifts(comparison, redactor, admit)


def of_replay(replay: ReplayEvent, redactor: Redactor, admit: Admit) -> Iterator[Key]:
    """Yield keys for a replay on legacy and the fields in which its answers differed."""
    if replay.verdict.reason is not None:
        return
    fields = {one.field for one in summarize_fields(replay.verdict, replay.first, replay.again, redactor)}
    yield key("replay", route=replay.route, noisy=bool(fields))
    yield from (key("noise", route=replay.route, field=admit(field)) for field in sorted(fields))


def of_observation(observation: RequestRecord) -> Key:
    """Return the key for a served request."""
    route = observation.route or UNMATCHED
    status = f"{observation.status // 100}xx"
    return key("request", route=route, backend=observation.backend, status=status)


def differing_fields(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> list[tuple[str, FieldKind]]:
    """Return the fields and kinds that a comparison is a sample of, unexplained ones first."""
    fields = summarize_fields(comparison.verdict, comparison.legacy, comparison.native, redactor)
    fields.sort(key=lambda one: (one.declared, -_SEVERITIES.index(one.severity)))
    pairs: list[tuple[str, FieldKind]] = [(admit(one.field), one.kind) for one in fields]
    pairs += ((path, "violation") for path in _violated_paths(comparison, redactor, admit))
    return list(dict.fromkeys(pairs))


def undeclared(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> list[tuple[str, FieldKind]]:
    """Return the fields and kinds that no divergence declares, with the violations of the contract."""
    fields = summarize_fields(comparison.verdict, comparison.legacy, comparison.native, redactor)
    pairs: list[tuple[str, FieldKind]] = [(admit(one.field), one.kind) for one in fields if not one.declared]
    pairs += ((path, "violation") for path in _violated_paths(comparison, redactor, admit))
    return list(dict.fromkeys(pairs))


def legacy_violations(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> Iterator[str]:
    """Yield the fields in which legacy's answer violates the contract."""
    paths = _violated_paths(comparison, redactor, admit)
    for violation, path in zip(comparison.verdict.violations, paths, strict=True):
        if violation.backend == "legacy":
            yield path


def _violated_paths(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> Iterator[str]:
    backends: dict[Backend | None, Exchange] = {"legacy": comparison.legacy, "native": comparison.native}
    for violation in comparison.verdict.violations:
        yield admit(redactor.field(violation.path, backends[violation.backend]))


def _drifts(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> Iterator[Key]:
    operation = _named(comparison.operation)
    paths = _violated_paths(comparison, redactor, admit)
    drifts = (
        key(
            "drift",
            route=comparison.route,
            operation=operation,
            backend=violation.backend,
            path=path,
            rule=violation.rule,
            message=message_of(violation),
        )
        for violation, path in zip(comparison.verdict.violations, paths, strict=True)
    )
    yield from dict.fromkeys(drifts)


def _answer(route: str, operation: Operation | None, legacy: Exchange) -> Key:
    answered = legacy.outcome == "response"
    status = str(legacy.status) if answered else legacy.outcome
    media = media_type(joined(legacy.headers).get("content-type", "")) if answered else ""
    known = (media_name(media, operation) or "other") if media else None
    return key("answer", route=route, operation=_named(operation), status=status, media=known)


def _named(operation: Operation | None) -> str | None:
    return operation.id if operation else None
