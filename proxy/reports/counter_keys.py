"""What of an entry is counted, each by the key of its count. Pure; nothing here holds a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.comparison.correspondence import Kind
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
from proxy.types import Backend

Admit = Callable[[str], str]
"""Keeps the number of different fields within bounds."""

_SEVERITIES: tuple[Severity, ...] = ("minor", "major", "breaking")


class SeenField(NamedTuple):
    """A field in which two answers differ in one way, in one or many places."""

    field: str
    kind: Kind
    severity: Severity
    declared: bool


def seen_fields(verdict: Verdict, legacy: Exchange, native: Exchange, redactor: Redactor) -> list[SeenField]:
    """Each field and kind of a verdict once: declared where all of its places are, and as severe as the worst."""
    unexplained = set(map(id, verdict.unexplained))
    known: dict[tuple[object, bool], str] = {}
    found: dict[tuple[str, Kind], SeenField] = {}
    for one in verdict.differences:
        place = (one.path, one.legacy is None)
        if place not in known:
            known[place] = redactor.field(one.path, native if one.legacy is None else legacy)
        seen = SeenField(known[place], one.kind, one.severity, id(one) not in unexplained)
        other = found.setdefault((seen.field, seen.kind), seen)
        worst = max(seen.severity, other.severity, key=_SEVERITIES.index)
        found[seen.field, seen.kind] = seen._replace(severity=worst, declared=seen.declared and other.declared)
    return list(found.values())


def of_comparison(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> Iterator[Key]:
    """The verdict, its fields, divergences and breaches, and the answer that legacy gave."""
    route, verdict = comparison.route, comparison.verdict
    if verdict.reason is not None:
        yield key("skipped", route=route, reason=verdict.reason)
        return
    yield key("verdict", route=route, verdict=verdict.name)
    yield _answer(route, comparison.operation, comparison.legacy)
    for seen in seen_fields(verdict, comparison.legacy, comparison.native, redactor):
        named = seen._replace(field=admit(seen.field))
        yield key("field", route=route, operation=_named(comparison.operation), **named._asdict())
    for name in verdict.declared:
        yield key("divergence", divergence=name)
    yield from _drifts(comparison, redactor, admit)


def of_replay(replay: ReplayEvent, redactor: Redactor, admit: Admit) -> Iterator[Key]:
    """That legacy was asked twice, and where its answers differed."""
    if replay.verdict.reason is not None:
        return
    fields = {seen.field for seen in seen_fields(replay.verdict, replay.first, replay.again, redactor)}
    yield key("replay", route=replay.route, noisy=bool(fields))
    yield from (key("noise", route=replay.route, field=admit(field)) for field in sorted(fields))


def of_observation(observation: RequestRecord) -> Key:
    """A request that was served."""
    route, status = observation.route or UNMATCHED, f"{observation.status // 100}xx"
    return key("request", route=route, backend=observation.backend, status=status)


def places(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> list[tuple[str, FieldKind]]:
    """The fields and kinds that a comparison is a sample of, those first that nothing explains."""
    seen = seen_fields(comparison.verdict, comparison.legacy, comparison.native, redactor)
    seen.sort(key=lambda one: (one.declared, -_SEVERITIES.index(one.severity)))
    found: list[tuple[str, FieldKind]] = [(admit(one.field), one.kind) for one in seen]
    return list(dict.fromkeys([*found, *((path, "violation") for path in _broken(comparison, redactor, admit))]))


def _broken(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> Iterator[str]:
    backends: dict[Backend | None, Exchange] = {"legacy": comparison.legacy, "native": comparison.native}
    for breach in comparison.verdict.violations:
        yield admit(redactor.field(breach.path, backends[breach.backend]))


def _drifts(comparison: ComparisonEvent, redactor: Redactor, admit: Admit) -> Iterator[Key]:
    operation = _named(comparison.operation)
    paths = _broken(comparison, redactor, admit)
    drifts = (
        key(
            "drift",
            route=comparison.route,
            operation=operation,
            backend=breach.backend,
            path=path,
            rule=breach.rule,
            message=message_of(breach),
        )
        for breach, path in zip(comparison.verdict.violations, paths, strict=True)
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
