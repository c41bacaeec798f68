"""Results of playing recordings, counted by endpoint. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from proxy.comparison.correspondence import abbreviate
from proxy.comparison.verdicts import Difference, LocatedValue
from proxy.comparison.volatile import split_volatile
from proxy.contract.divergences import Divergence, Occurrence, explain, operation_of
from proxy.recordings.model import Recordings
from proxy.types import JSON

_NUMBER: Final = re.compile(r"/[0-9]+(?=/|$)", re.ASCII)

ResultVerdict = Literal["equal", "declared", "differing"]
Subject = Literal["step", "store", "calls", "conversation", "connection"]

STORE = "documents left behind"
CALLS = "outside calls"


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one step, of a scenario's side effects, of a conversation or of a handshake.

    `scenario` and `name` identify it in the recordings, `endpoint` is METHOD /template, `target` the path as recorded.
    `unexplained` are those `differences` that no divergence in `declared` explains.
    """

    subject: Subject
    scenario: str
    name: str
    endpoint: str
    target: str = ""
    differences: tuple[Difference, ...] = ()
    declared: tuple[str, ...] = ()
    unexplained: tuple[Difference, ...] = ()

    @property
    def verdict(self) -> ResultVerdict:
        """Return `equal` without differences, `declared` if divergences explain all of them."""
        if not self.differences:
            return "equal"
        return "differing" if self.unexplained else "declared"

    def judged(
        self, differences: Sequence[Difference], occurrence: Occurrence, divergences: Sequence[Divergence]
    ) -> Result:
        """Return the result with differences added, and those that divergences explain."""
        explanation = explain(divergences, occurrence, differences)
        return replace(
            self,
            differences=(*self.differences, *differences),
            declared=tuple(sorted({*self.declared, *explanation.declared})),
            unexplained=(*self.unexplained, *explanation.unexplained),
        )


@dataclass(frozen=True, slots=True)
class ResultCounts:
    """The number of results of each verdict."""

    equal: int = 0
    declared: int = 0
    differing: int = 0

    @property
    def total(self) -> int:
        """Return the number of all results."""
        return self.equal + self.declared + self.differing


def tally(results: Iterable[Result]) -> ResultCounts:
    """Count results by verdict."""
    verdicts = [result.verdict for result in results]
    return ResultCounts(verdicts.count("equal"), verdicts.count("declared"), verdicts.count("differing"))


@dataclass(frozen=True, slots=True)
class Report:
    """All results of a run, its duration in seconds, and the divergences that explained nothing (`unseen`)."""

    results: tuple[Result, ...]
    seconds: float = 0.0
    unseen: tuple[str, ...] = ()

    @property
    def differing(self) -> tuple[Result, ...]:
        """Return the results with differences that are not declared."""
        return tuple(result for result in self.results if result.verdict == "differing")

    def by_subject(self) -> dict[Subject, ResultCounts]:
        """Return the counts by subject, for the subjects that have results."""
        subjects = {result.subject for result in self.results}
        order: tuple[Subject, ...] = ("step", "store", "calls", "conversation", "connection")
        return {one: tally(each for each in self.results if each.subject == one) for one in order if one in subjects}

    def by_endpoint(self) -> dict[str, ResultCounts]:
        """Return the counts by endpoint: paths in order, then side effects."""
        grouped: dict[str, list[Result]] = {}
        for result in self.results:
            grouped.setdefault(result.endpoint, []).append(result)
        return {endpoint: tally(grouped[endpoint]) for endpoint in sorted(grouped, key=_sort_key)}

    def as_json(self) -> JSON:
        """Return the report as `verify --json` prints it."""
        whole = tally(self.results)
        return {
            **_counts(whole),
            "seconds": round(self.seconds, 3),
            "subjects": {name: _counts(count) for name, count in self.by_subject().items()},
            "endpoints": {name: _counts(count) for name, count in self.by_endpoint().items()},
            "results": [_plain(result) for result in self.results if result.verdict != "equal"],
            "unobserved_divergences": list(self.unseen),
        }


@dataclass(frozen=True)
class Endpoints:
    """Templates (METHOD /notes/{id}) for recorded paths.

    A segment that is an id in one recorded path is a parameter; paths with any other text there match its template.
    """

    templates: Mapping[str, re.Pattern[str]] = field(default_factory=dict)

    @classmethod
    def learn(cls, recordings: Recordings) -> Endpoints:
        """Return the templates of every request of the recordings."""
        requests = [step.request for scenario in recordings.scenarios for step in scenario.steps]
        named = {_templated(request.method, request.target) for request in requests}
        return cls({name: _pattern(name) for name in sorted(named) if "{id}" in name})

    def name(self, method: str, target: str) -> str:
        """Return the endpoint of a request."""
        own = _templated(method, target)
        return next((name for name, pattern in self.templates.items() if pattern.fullmatch(own)), own)


def _templated(method: str, target: str) -> str:
    path = operation_of(method, target)
    short = path if path.endswith(" /") else path.rstrip("/")
    named = "".join("{id}" if segment.kind == "id" else segment.text for segment in split_volatile(short))
    return _NUMBER.sub("/{id}", named)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{id\}", "[^/]+"), re.IGNORECASE)


def _sort_key(endpoint: str) -> tuple[bool, str, str]:
    method, _, path = endpoint.partition(" ")
    return (not path.startswith("/"), path, method)


def _counts(count: ResultCounts) -> dict[str, JSON]:
    return {"equal": count.equal, "declared": count.declared, "differing": count.differing}


def _plain(result: Result) -> JSON:
    return {
        "subject": result.subject,
        "scenario": result.scenario,
        "step": result.name,
        "endpoint": result.endpoint,
        "target": result.target,
        "verdict": result.verdict,
        "declared": list(result.declared),
        "differences": list(_differences(result.differences, result.unexplained)),
    }


def _differences(every: Sequence[Difference], unexplained: Sequence[Difference]) -> Iterator[JSON]:
    for one in every:
        recorded, live = value_texts(one)
        yield {
            "path": one.location,
            "kind": one.kind,
            "severity": one.severity,
            "recorded": recorded,
            "live": live,
            "declared": one not in unexplained,
        }


def value_texts(difference: Difference) -> tuple[str, str]:
    """Return both values as `value_text` does; texts as JSON if the types differ, so that "2" differs from 2."""
    quoted = difference.kind == "type"
    return value_text(difference.legacy, quoted=quoted), value_text(difference.native, quoted=quoted)


def value_text(spot: LocatedValue | None, *, quoted: bool = False) -> str:
    """Return a value as short text: texts as they are unless `quoted`, other values as JSON; empty for no value."""
    if spot is None:
        return ""
    if isinstance(spot.value, bytes):
        return f"{len(spot.value):,} bytes"
    return spot.value[:300] if isinstance(spot.value, str) and not quoted else abbreviate(spot.value)
