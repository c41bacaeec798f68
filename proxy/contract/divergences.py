"""Declared divergences: intended differences between native and legacy, with a reason and a way to recognise them.

`divergences.yaml` is a list of entries:

    - id: login-wrong-password
      operation: POST /users/login            # METHOD /template; WS /template; STORE collection; CALLS
      legacy: never answers                   # what each backend does, for people
      native: answers 200 wrong credentials
      reason: a client that waits for ever gets no result
      since: 0.1.0
      when:                                   # how to recognise it; a list if there are several cases
        legacy: {outcome: hang}
        native: {status: 200, body: {msg: wrong credentials}}

A case may also have `operation` (for consequences in another operation), `request` (`headers`, `body`), `scenario`
(globs of recorded scenarios; only `verify` has scenarios). It explains the differences at `paths` (globs such as
`body.data.*`; by default all), of these `kinds`, and with this `value` on legacy's side, or on native's if legacy has
none. All given conditions must hold.

Patterns: an object matches objects with at least its names, a list matches lists of the same length, `"*"` matches any
value that exists, `"/…/"` matches text in which the regular expression is found, null matches a header that is absent,
and any other value matches itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from proxy.config import yaml_nodes
from proxy.config.problems import ConfigError
from proxy.config.section import HashableDict
from proxy.contract.payloads import parse_json
from proxy.contract.yaml_values import value_of
from proxy.types import JSON, DifferenceKind, ValuePath

if TYPE_CHECKING:
    from proxy.comparison.answers import DecodedAnswer
    from proxy.comparison.verdicts import Difference
    from proxy.recordings.model import RecordedRequest


class DivergenceError(ValueError):
    """A divergences file that cannot be read; the message names the entry and the fault."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def _compile(pattern: JSON) -> JSON:
    """Refuse an invalid regular expression; before Python 3.13 re.error is not a ValueError."""
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
    """Return the regular expression in `/…/`, None for other patterns."""
    text = isinstance(pattern, str) and len(pattern) > 1 and pattern[0] == pattern[-1] == "/"
    return pattern[1:-1] if text and isinstance(pattern, str) else None


Pattern = Annotated[Any, AfterValidator(_compile)]
HeaderPatterns = dict[str, Pattern]


class AnswerPattern(_Model):
    """Conditions on an answer; None leaves a property free."""

    outcome: Literal["response", "hang", "reset"] | None = None
    status: int | None = None
    headers: HeaderPatterns = HashableDict()
    body: Pattern = "*"

    def accepts(self, answer: DecodedAnswer) -> bool:
        """Return whether the answer matches; a body that is not JSON is compared as text."""
        if self.outcome not in (None, answer.outcome) or self.status not in (None, answer.status):
            return False
        return _headers_match(self.headers, answer.headers) and matches(self.body, answer.json_or_text)

    def describes(self, path: ValuePath) -> bool:
        """Return whether there is a condition on the status, the header, or the value of the body at a path."""
        if path[0] == "status":
            return self.status is not None
        if path[0] == "header":
            return str(path[1]) in {name.lower() for name in self.headers}
        return path[0] == "body" and self.body != "*" and _describes(self.body, path[1:])


class RequestPattern(_Model):
    """Conditions on a request."""

    headers: HeaderPatterns = HashableDict()
    body: Pattern = "*"

    def accepts(self, request: RecordedRequest) -> bool:
        """Return whether the request matches."""
        return _headers_match(self.headers, dict(request.headers)) and matches(self.body, _sent(request))


class Case(_Model):
    """One way to recognise a divergence."""

    operation: str | None = None
    scenario: tuple[str, ...] = ()
    request: RequestPattern = RequestPattern.model_construct()
    legacy: AnswerPattern = AnswerPattern.model_construct()
    native: AnswerPattern = AnswerPattern.model_construct()
    paths: tuple[str, ...] = ("*",)
    kinds: tuple[DifferenceKind, ...] = ()
    value: Pattern = "*"

    @field_validator("scenario", "paths", "kinds", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    def accepts(self, occurrence: Occurrence) -> bool:
        """Return whether the case matches the occurrence, its operation not considered."""
        named = any(fnmatchcase(occurrence.scenario, glob) for glob in self.scenario)
        if self.scenario and not named:
            return False
        if occurrence.exchange is None:
            return True
        request, legacy, native = occurrence.exchange
        return self.request.accepts(request) and self.legacy.accepts(legacy) and self.native.accepts(native)

    def explains(self, difference: Difference) -> bool:
        """Return whether the case accounts for the difference."""
        if self.kinds and difference.kind not in self.kinds:
            return False
        spot = difference.legacy or difference.native
        if self.value != "*" and (spot is None or not matches(self.value, _json(spot.value))):
            return False
        return any(fnmatchcase(difference.location, glob) for glob in self.paths)


class Divergence(_Model):
    """One entry of divergences.yaml."""

    id: str
    operation: str
    legacy: str
    native: str
    reason: str
    since: str | date
    when: tuple[Case, ...] = Field(min_length=1)

    @field_validator("when", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [value] if isinstance(value, dict) else value

    def cases(self, occurrence: Occurrence) -> list[Case]:
        """Return the cases that match the occurrence."""
        return [
            case
            for case in self.when
            if covers(case.operation or self.operation, occurrence.operation) and case.accepts(occurrence)
        ]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A request or side effect in which the sides differ.

    `operation` is METHOD and path without the query, `STORE collection` or `CALLS`. `exchange` is the request with
    legacy's and native's answers, None for side effects.
    """

    operation: str
    scenario: str = ""
    exchange: tuple[RecordedRequest, DecodedAnswer, DecodedAnswer] | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The ids of the divergences that account for differences, and the differences without an explanation.

    `legacy` are the conditions on legacy's answer by which the divergences are recognised.
    """

    declared: tuple[str, ...]
    unexplained: tuple[Difference, ...]
    legacy: tuple[AnswerPattern, ...] = ()


def load(path: Path) -> tuple[Divergence, ...]:
    """Load the divergences in a YAML file. Raises DivergenceError."""
    try:
        root, duplicates = yaml_nodes.read(path.read_text(encoding="utf-8"))
        if duplicates:
            raise ConfigError(duplicates)
    except ConfigError as error:
        raise DivergenceError(str(ConfigError(error.problems, str(path)))) from error
    except (OSError, ValueError) as error:
        raise DivergenceError(f"{path}: {error}") from error
    return parse(value_of(root), path)


def parse(entries: JSON, path: Path) -> tuple[Divergence, ...]:
    """Return the divergences in the value of a file. Raises DivergenceError."""
    try:
        parsed = TypeAdapter(tuple[Divergence, ...]).validate_python(entries or [])
    except ValidationError as error:
        raise DivergenceError(f"{path}: {_every(error)}") from error
    doubled = {one.id for one in parsed if sum(one.id == other.id for other in parsed) > 1}
    if doubled:
        raise DivergenceError(f"{path}: id {', '.join(sorted(doubled))} is given twice")
    return parsed


def explain(
    divergences: Iterable[Divergence], occurrence: Occurrence, differences: Sequence[Difference]
) -> Explanation:
    """Return the divergences that account for differences, and the differences that none accounts for."""
    if not differences:
        return Explanation((), ())
    cases = [(one.id, case) for one in divergences for case in one.cases(occurrence)]
    if not cases:
        return Explanation((), tuple(differences))
    used = [(name, case) for name, case in cases if any(case.explains(each) for each in differences)]
    unexplained = [each for each in differences if not any(case.explains(each) for _, case in used)]
    declared = sorted({name for name, _ in used})
    return Explanation(tuple(declared), tuple(unexplained), tuple(case.legacy for _, case in used))


_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE | re.ASCII)


def operation_of(method: str, target: str) -> str:
    """Return method and path as divergences name them: a request target without origin, query and fragment."""
    origin = _ORIGIN.match(target)
    path = target[origin.end() :] if origin else target
    return f"{method} {path.partition('#')[0].partition('?')[0] or '/'}"


def covers(template: str, operation: str) -> bool:
    """Return whether an operation such as `GET /notes/17` is one of `GET /notes/{id}`.

    As in express 5: letters of either case, a trailing slash allowed, a parameter never empty, no `/` in it.
    """
    return _pattern(template).fullmatch(operation) is not None


@functools.lru_cache(maxsize=1024)
def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.sub(r"\\\{[^/{}]+\\\}", "[^/]+", re.escape(template))
    return re.compile(f"{pattern}/?", re.IGNORECASE)


def matches(pattern: JSON, value: JSON) -> bool:
    """Return whether a value matches a pattern; see the module's docstring."""
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


def _describes(pattern: JSON, path: ValuePath) -> bool:
    """Return whether a pattern has a condition on the value at a path."""
    if not path:
        return True
    step, *rest = path
    if isinstance(pattern, dict):
        return step in pattern and _describes(pattern[str(step)], tuple(rest))
    return isinstance(pattern, list) and step in range(len(pattern)) and _describes(pattern[int(step)], tuple(rest))


def _headers_match(patterns: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    return all(
        (name.lower() in headers) != (expected is None)
        and (expected is None or matches(expected, headers[name.lower()]))
        for name, expected in patterns.items()
    )


def _json(value: JSON | bytes) -> JSON:
    return None if isinstance(value, bytes) else value


def _sent(request: RecordedRequest) -> JSON:
    text = (request.body or b"").decode(errors="replace")
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        return text


def _every(error: ValidationError) -> str:
    faults = (f"entry {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)
