"""Differences that are meant: where the native side answers otherwise than legacy, why, and how to tell.

`divergences.yaml` is a list of these:

    - id: login-wrong-password
      operation: POST /users/login            # METHOD /template; WS /template; STORE collection; CALLS
      legacy: never answers                   # what each side does, for people
      native: answers 200 wrong credentials
      reason: a client that waits for ever learns nothing
      since: 0.1.0
      when:                                   # how it is recognised; a list of such cases where one is not enough
        legacy: {outcome: hang}
        native: {status: 200, body: {msg: wrong credentials}}

A case may also give `operation` (another than the divergence's, for consequences elsewhere), `request`
(`headers`, `body`), `scenario` (globs of recorded scenarios; only `verify` has any) and `paths` (globs of the
differences that it explains, `body.data.*`; all of them otherwise). What is given must hold; what is not, is free.

Patterns: an object holds for objects that have at least its names, a list for lists as long, `"*"` for anything
that is there, `"/…/"` for text in which the regular expression is found, null among headers for one that is
absent, any other value for itself.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from proxy.comparison.correspondence import TextDifference
from proxy.contract.payloads import parse_json
from proxy.recordings.answers import content
from proxy.recordings.model import RecordedAnswer, RecordedRequest
from proxy.types import JSON


class DivergenceError(ValueError):
    """A divergences file that cannot be read; says which entry, and what is wrong with it."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _compile(pattern: JSON) -> JSON:
    """Refuses (re.error is no ValueError before Python 3.13) a regular expression that is none."""
    parts = pattern.values() if isinstance(pattern, dict) else pattern if isinstance(pattern, list) else ()
    for part in parts:
        _compile(part)
    try:
        expression = _expression(pattern)
        if expression is not None:
            re.compile(expression)
    except re.error as error:
        raise ValueError(f"{pattern!r}: {error}") from error
    return pattern


def _expression(pattern: JSON) -> str | None:
    """The regular expression in `/…/`, None where there is none."""
    text = isinstance(pattern, str) and len(pattern) > 1 and pattern[0] == pattern[-1] == "/"
    return pattern[1:-1] if text and isinstance(pattern, str) else None


Pattern = Annotated[Any, AfterValidator(_compile)]


class AnswerPattern(_Model):
    """What an answer must be; what is None is free."""

    outcome: Literal["response", "hang", "reset"] | None = None
    status: int | None = None
    headers: dict[str, Pattern] = {}
    body: Pattern = "*"

    def holds(self, answer: RecordedAnswer) -> bool:
        """Whether the answer is as this says; a body that is not JSON is taken as text."""
        if self.outcome not in (None, answer.outcome) or self.status not in (None, answer.status):
            return False
        return _headers_hold(self.headers, answer.headers) and matches(self.body, content(answer))


class RequestPattern(_Model):
    """What a request must be."""

    headers: dict[str, Pattern] = {}
    body: Pattern = "*"

    def holds(self, request: RecordedRequest) -> bool:
        """Whether the request is as this says."""
        return _headers_hold(self.headers, dict(request.headers)) and matches(self.body, _sent(request))


class Case(_Model):
    """One way for a divergence to show."""

    operation: str | None = None
    scenario: list[str] = []
    request: RequestPattern = RequestPattern()
    legacy: AnswerPattern = AnswerPattern()
    native: AnswerPattern = AnswerPattern()
    paths: list[str] = ["*"]

    @field_validator("scenario", "paths", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    def holds(self, occurrence: "Occurrence") -> bool:
        """Whether this case tells of the occurrence; the operation aside."""
        named = any(fnmatchcase(occurrence.scenario, glob) for glob in self.scenario)
        if self.scenario and not named:
            return False
        if occurrence.exchange is None:
            return True
        request, legacy, native = occurrence.exchange
        return self.request.holds(request) and self.legacy.holds(legacy) and self.native.holds(native)

    def explains(self, difference: TextDifference) -> bool:
        """Whether the difference is among those this case accounts for."""
        return any(fnmatchcase(difference.path, glob) for glob in self.paths)


class Divergence(_Model):
    """One entry of divergences.yaml."""

    id: str
    operation: str
    legacy: str
    native: str
    reason: str
    since: str | date
    when: list[Case] = Field(min_length=1)

    @field_validator("when", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [value] if isinstance(value, dict) else value

    def cases(self, occurrence: "Occurrence") -> list[Case]:
        """The cases that tell of the occurrence."""
        return [
            case
            for case in self.when
            if covers(case.operation or self.operation, occurrence.operation) and case.holds(occurrence)
        ]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that differed: `operation` is METHOD and path (no query), `STORE collection` or `CALLS`.

    `exchange` is the request with legacy's and native's answers, None for what is left behind.
    """

    operation: str
    scenario: str = ""
    exchange: tuple[RecordedRequest, RecordedAnswer, RecordedAnswer] | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The ids of the divergences that account for differences, and the differences left over."""

    declared: tuple[str, ...]
    unexplained: tuple[TextDifference, ...]


def load(path: Path) -> tuple[Divergence, ...]:
    """The divergences in a YAML file; raises DivergenceError."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        found = TypeAdapter(tuple[Divergence, ...]).validate_python(entries)
    except ValidationError as error:
        raise DivergenceError(f"{path}: {_every(error)}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DivergenceError(f"{path}: {error}") from error
    doubled = {one.id for one in found if sum(one.id == other.id for other in found) > 1}
    if doubled:
        raise DivergenceError(f"{path}: id {', '.join(sorted(doubled))} is given twice")
    return found


def explain(
    divergences: Iterable[Divergence], occurrence: Occurrence, differences: Sequence[TextDifference]
) -> Explanation:
    """Which divergences account for which of the differences."""
    cases = [(one.id, case) for one in divergences for case in one.cases(occurrence)]
    declared = {name for name, case in cases if any(case.explains(each) for each in differences)}
    unexplained = [each for each in differences if not any(case.explains(each) for _, case in cases)]
    return Explanation(tuple(sorted(declared)), tuple(unexplained))


def covers(template: str, operation: str) -> bool:
    """Whether an operation such as `GET /notes/17` is one of `GET /notes/{id}`.

    As in express 5: letters of either case, a trailing slash allowed, a parameter never empty, no `/` in it.
    """
    pattern = re.sub(r"\\\{[^/{}]+\\\}", "[^/]+", re.escape(template))
    return re.fullmatch(f"{pattern}/?", operation, re.IGNORECASE) is not None


def matches(pattern: JSON, value: JSON) -> bool:
    """Whether a value is as a pattern says; see the module's docstring."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and matches(expected, value[name]) for name, expected in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and len(value) == len(pattern) and all(map(matches, pattern, value))
    expression = _expression(pattern)
    if expression is not None:
        return isinstance(value, str) and re.search(expression, value) is not None
    return pattern == "*" or (type(pattern) is type(value) and pattern == value)


def _headers_hold(patterns: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    return all(
        (name.lower() in headers) != (expected is None)
        and (expected is None or matches(expected, headers[name.lower()]))
        for name, expected in patterns.items()
    )


def _sent(request: RecordedRequest) -> JSON:
    text = (request.body or b"").decode(errors="replace")
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        return text


def _every(error: ValidationError) -> str:
    faults = (f"entry {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)
