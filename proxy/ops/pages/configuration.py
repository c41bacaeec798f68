"""The page of routing.yaml: the text in force, its last change, and the errors of a refused one.

Secrets are masked (`masking.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from proxy.config.masking import masked
from proxy.config.problems import Problem
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer
from proxy.ops.slices import in_thread
from proxy.runtime.config_watcher import ConfigSnapshot, ConfigWatcher

CONTEXT_LINES: Final = 2
"""Lines shown before and after each wrong line of a refused file."""


@dataclass(frozen=True, slots=True)
class ConfigLine:
    """A line of a file. `wrong` are the errors in it."""

    number: int
    text: str
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangedLines:
    """A line of a diff. `range` is a heading such as `@@ -3,7 +3,6 @@`."""

    kind: Literal["added", "removed", "same", "range"]
    text: str


@dataclass(frozen=True, slots=True)
class ConfigDifference:
    """The difference of two texts. `masked`: a masked value has also changed."""

    lines: tuple[ChangedLines, ...]
    masked: bool


@dataclass(frozen=True, slots=True)
class Configuration:
    """routing.yaml. `at`: since when the text is in force (seconds since the epoch); None in the first second.

    `refused`: the lines near errors of the file on disk; none if it is in force or cannot be shown. `pending`: the
    difference between the text in force and that file. `last`: the difference between the previous text and the one in
    force.
    """

    file: str
    revision: str
    at: float | None
    text: tuple[ConfigLine, ...]
    problems: tuple[Problem, ...]
    refused: tuple[ConfigLine, ...]
    pending: ConfigDifference | None
    last: ConfigDifference | None


def configuration(process: ProcessView) -> Endpoint:
    """Return the endpoint of the configuration."""

    async def show(request: Request) -> Response:
        view = await in_thread(_view, process.watcher)
        return await answer(request, "configuration.html", view, area="/config")

    return show


def _view(watcher: ConfigWatcher) -> Configuration:
    editions, refused = watcher.snapshots, watcher.refused_snapshot
    current = editions[-1] if editions else None
    return Configuration(
        file=watcher.path.name,
        revision=watcher.config.revision,
        at=current.at if current else None,
        text=_lines(current, ()) if current else (),
        problems=watcher.problems,
        refused=tuple(_near(_lines(refused, watcher.problems))) if refused else (),
        pending=_difference(current, refused) if current and refused else None,
        last=_difference(*editions) if len(editions) == 2 else None,
    )


def _lines(edition: ConfigSnapshot, problems: Sequence[Problem]) -> tuple[ConfigLine, ...]:
    wrong: dict[int, list[str]] = {}
    for problem in problems:
        wrong.setdefault(problem.line, []).append(problem.message)
    shown = masked(edition.text)
    lines = shown.text.splitlines() if shown else ()
    return tuple(ConfigLine(number, line, tuple(wrong.get(number, ()))) for number, line in enumerate(lines, start=1))


def _near(lines: Sequence[ConfigLine]) -> Iterator[ConfigLine]:
    shown = {line.number + step for line in lines if line.wrong for step in range(-CONTEXT_LINES, CONTEXT_LINES + 1)}
    return (line for line in lines if line.number in shown)


def _difference(before: ConfigSnapshot, after: ConfigSnapshot) -> ConfigDifference | None:
    """Return the difference; None if one of the texts cannot be shown."""
    old, new = masked(before.text), masked(after.text)
    if old is None or new is None:
        return None
    lines = list(difflib.unified_diff(old.text.splitlines(), new.text.splitlines(), n=3, lineterm=""))[2:]
    return ConfigDifference(tuple(map(_changed, lines)), masked=old.left_out != new.left_out)


def _changed(line: str) -> ChangedLines:
    if line.startswith("@@"):
        return ChangedLines("range", line)
    kinds: dict[str, Literal["added", "removed", "same"]] = {"+": "added", "-": "removed", " ": "same"}
    return ChangedLines(kinds[line[0]], line[1:])
