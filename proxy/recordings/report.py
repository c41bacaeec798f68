"""What came of playing recordings: results, counted by endpoint."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from proxy.comparison.correspondence import TextDifference
from proxy.comparison.volatile import split_volatile
from proxy.recordings.model import Recordings
from proxy.types import JSON

Verdict = Literal["equal", "declared", "differing"]
Subject = Literal["step", "store", "calls", "conversation", "connection"]

STORE = "documents left behind"
CALLS = "outside calls"


@dataclass(frozen=True, slots=True)
class Result:
    """One thing compared: a step, what a scenario left behind, a conversation, a handshake.

    `scenario` and `name` say where it stands in the recordings, `endpoint` is METHOD /template, `target` the path
    as recorded. `unexplained` are those `differences` that no divergence in `declared` accounts for.
    """

    subject: Subject
    scenario: str
    name: str
    endpoint: str
    target: str = ""
    differences: tuple[TextDifference, ...] = ()
    declared: tuple[str, ...] = ()
    unexplained: tuple[TextDifference, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Equal without differences, declared where divergences account for all of them."""
        if not self.differences:
            return "equal"
        return "differing" if self.unexplained else "declared"


@dataclass(frozen=True, slots=True)
class ResultCounts:
    """How many results of each verdict."""

    equal: int = 0
    declared: int = 0
    differing: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.equal + self.declared + self.differing


def tally(results: Iterable[Result]) -> ResultCounts:
    """Count results by verdict."""
    verdicts = [result.verdict for result in results]
    return ResultCounts(verdicts.count("equal"), verdicts.count("declared"), verdicts.count("differing"))


@dataclass(frozen=True, slots=True)
class Report:
    """All results of a run; `seconds` it took; `unseen` divergences that no difference called for."""

    results: tuple[Result, ...]
    seconds: float = 0.0
    unseen: tuple[str, ...] = ()

    @property
    def differing(self) -> tuple[Result, ...]:
        """Those with differences that are not declared."""
        return tuple(result for result in self.results if result.verdict == "differing")

    def by_subject(self) -> dict[Subject, ResultCounts]:
        """Counts of steps, stores, calls, conversations and connections, those that there are."""
        subjects = {result.subject for result in self.results}
        order: tuple[Subject, ...] = ("step", "store", "calls", "conversation", "connection")
        return {one: tally(each for each in self.results if each.subject == one) for one in order if one in subjects}

    def by_endpoint(self) -> dict[str, ResultCounts]:
        """Counts by endpoint: paths in order, what scenarios left behind after them."""
        grouped: dict[str, list[Result]] = {}
        for result in self.results:
            grouped.setdefault(result.endpoint, []).append(result)
        return {endpoint: tally(grouped[endpoint]) for endpoint in sorted(grouped, key=_place)}

    def as_json(self) -> JSON:
        """Everything, as `verify --json` prints it."""
        whole = tally(self.results)
        return {
            **_counts(whole),
            "seconds": round(self.seconds, 3),
            "subjects": {name: _counts(count) for name, count in self.by_subject().items()},
            "endpoints": {name: _counts(count) for name, count in self.by_endpoint().items()},
            "results": [_plain(result) for result in self.results if result.verdict != "equal"],
            "divergences_not_seen": list(self.unseen),
        }


@dataclass(frozen=True)
class Endpoints:
    """Names METHOD /template for paths, learnt from recordings: a segment that is an id somewhere is one elsewhere.

    Recorded paths hold ids made while recording, and here and there something that is no id in the same place;
    the first make templates, and the others are then found to match them.
    """

    templates: Mapping[str, re.Pattern[str]] = field(default_factory=dict)

    @classmethod
    def learn(cls, recordings: Recordings) -> "Endpoints":
        """From every request of the recordings."""
        requests = [step.request for scenario in recordings.scenarios for step in scenario.steps]
        named = {_templated(request.method, request.target) for request in requests}
        return cls({name: _pattern(name) for name in sorted(named) if "{id}" in name})

    def name(self, method: str, target: str) -> str:
        """The endpoint of a request."""
        own = _templated(method, target)
        return next((name for name, pattern in self.templates.items() if pattern.fullmatch(own)), own)


_NUMBER: Final = re.compile(r"/[0-9]+(?=/|$)", re.ASCII)


def operation(method: str, target: str) -> str:
    """Method and path without the query, as divergences name them."""
    return f"{method} {target.partition('?')[0]}"


def _templated(method: str, target: str) -> str:
    path = operation(method, target)
    short = path if path.endswith(" /") else path.rstrip("/")
    named = "".join("{id}" if piece.kind == "id" else piece.text for piece in split_volatile(short))
    return _NUMBER.sub("/{id}", named)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{id\}", "[^/]+"), re.IGNORECASE)


def _place(endpoint: str) -> tuple[bool, str, str]:
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


def _differences(every: Sequence[TextDifference], unexplained: Sequence[TextDifference]) -> Iterator[JSON]:
    for one in every:
        yield {
            "path": one.path,
            "kind": one.kind,
            "recorded": one.recorded,
            "live": one.live,
            "declared": one not in unexplained,
        }
