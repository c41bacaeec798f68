"""Compare a service with its recording, with the engine that compares live traffic. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchanges import AnswerComparison
from proxy.comparison.modes import RECORDING, TRANSPORT_HEADERS
from proxy.comparison.values import compare_values
from proxy.comparison.verdicts import Difference, LocatedValue, grade
from proxy.types import JSON, DifferenceKind, ValuePath


def compare_answers(
    expected: DecodedAnswer,
    actual: DecodedAnswer,
    names: Correspondence,
    ignored: Collection[str] = TRANSPORT_HEADERS,
) -> list[Difference]:
    """Return every difference of two answers; `names` learns which ids and dates correspond."""
    mode = replace(RECORDING, ignored_headers=ignored)
    findings = AnswerComparison(expected, actual, mode, lambda: names).findings()
    return findings.differences if findings is not None else []


def compare_recorded_values(expected: JSON, actual: JSON, names: Correspondence, *root: str | int) -> list[Difference]:
    """Return every difference of two JSON values at the path `root`."""
    return compare_values(expected, actual, lambda: names, by_role=True, root=root).differences


def compare_frames(expected: Sequence[JSON], actual: Sequence[JSON], names: Correspondence) -> list[Difference]:
    """Return every difference of two sequences of WebSocket frames, each compared with that of its index."""
    differences: list[Difference] = []
    for index, (one, other) in enumerate(zip(expected, actual, strict=False)):
        differences += compare_recorded_values(one, other, names, "frames", index)
    shared = min(len(expected), len(actual))
    differences += [one_sided("missing", value, "frames", shared + n) for n, value in enumerate(expected[shared:])]
    return differences + [one_sided("extra", value, "frames", shared + n) for n, value in enumerate(actual[shared:])]


def one_sided(kind: DifferenceKind, value: JSON, *path: str | int) -> Difference:
    """Return the difference of a value that one side lacks."""
    general: ValuePath = tuple("*" if isinstance(step, int) else step for step in path)
    spot = LocatedValue(path, value)
    sides = (spot, None) if kind == "missing" else (None, spot)
    return Difference(general, kind, grade(kind, general), *sides)
