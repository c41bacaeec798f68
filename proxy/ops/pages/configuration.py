"""routing.yaml as it is in force, what its last change was, and what is wrong with one that is refused.

The texts are shown with their secrets left out (`masking.py`).
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from proxy.config.problems import Problem
from proxy.ops.masking import masked
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer
from proxy.runtime.config_watcher import ConfigSnapshot, ConfigWatcher

NEAR: Final = 2
"""Lines of a refused file that are shown around each that is wrong."""


@dataclass(frozen=True, slots=True)
class ConfigLine:
    """A line of a file; `wrong` says what is wrong there."""

    number: int
    text: str
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangedLines:
    """A line of a diff. `place` is a heading such as `@@ -3,7 +3,6 @@`."""

    kind: Literal["added", "removed", "same", "place"]
    text: str


@dataclass(frozen=True, slots=True)
class ConfigDifference:
    """What has changed from one text to the next. `unseen`: something that is left out here has changed, too."""

    lines: tuple[ChangedLines, ...]
    unseen: bool


@dataclass(frozen=True, slots=True)
class Configuration:
    """`at` is since when this process goes by the text, in seconds since the epoch; None in its first second.

    `refused` are the lines near problems of the text as it stands, none where it is in force or cannot be shown.
    `pending` is how that text differs from the one in force, `last` how that one differs from the one before.
    """

    file: str
    revision: str
    at: float | None
    text: tuple[ConfigLine, ...]
    problems: tuple[Problem, ...]
    refused: tuple[ConfigLine, ...]
    pending: ConfigDifference | None
    last: ConfigDifference | None


def configuration(situation: ProcessView) -> Endpoint:
    """The page of the file."""

    async def show(request: Request) -> Response:
        view = await asyncio.to_thread(_view, situation.watcher)
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
    shown = {line.number + step for line in lines if line.wrong for step in range(-NEAR, NEAR + 1)}
    return (line for line in lines if line.number in shown)


def _difference(before: ConfigSnapshot, after: ConfigSnapshot) -> ConfigDifference | None:
    """None where one of them cannot be shown."""
    old, new = masked(before.text), masked(after.text)
    if old is None or new is None:
        return None
    lines = list(difflib.unified_diff(old.text.splitlines(), new.text.splitlines(), n=3, lineterm=""))[2:]
    return ConfigDifference(tuple(map(_changed, lines)), unseen=old.left_out != new.left_out)


def _changed(line: str) -> ChangedLines:
    if line.startswith("@@"):
        return ChangedLines("place", line)
    kinds: dict[str, Literal["added", "removed", "same"]] = {"+": "added", "-": "removed", " ": "same"}
    return ChangedLines(kinds[line[0]], line[1:])
