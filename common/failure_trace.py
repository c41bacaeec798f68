"""Describe a failure by types, code locations and fingerprints, without the messages of exceptions.

Messages may quote documents and requests. The traceback of a RecursionError has a thousand frames. An example:

    ValueError at app.py:12 read, json.py:7 parse [3f9a01c2] from KeyError at - [8c4410de]
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Final

MAX_FRAMES: Final = 8
"""Maximum number of code locations per exception, innermost first."""
MAX_CAUSES: Final = 4


def type_of(error: BaseException) -> str:
    """Return the name of an error's type."""
    return type(error).__name__


def trace_of(error: BaseException, name_of: Callable[[BaseException], str] = type_of) -> str:
    """Return the names of an error and of its causes, each with its innermost code locations and its fingerprint.

    Errors of the same name at the same locations have the same fingerprint.
    """
    return " from ".join(_describe(each, name_of(each)) for each in causes_of(error))


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its cause and so on, at most `MAX_CAUSES`."""
    following: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if following is None:
            return
        yield following
        following = following.__cause__


def _describe(error: BaseException, name: str) -> str:
    locations = _locations(error)
    fingerprint = hashlib.sha256(f"{name} {locations}".encode()).hexdigest()[:8]
    return f"{name} at {locations} [{fingerprint}]"


def _locations(error: BaseException) -> str:
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-MAX_FRAMES, lookup_lines=False
    )
    return ", ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames) or "-"
