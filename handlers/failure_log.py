"""Log failures as types and code locations, without the messages of exceptions.

The messages of MongoDB, of the model and of Python's own exceptions quote documents and requests (E11000 contains
the duplicate email address), and the traceback of a RecursionError has a thousand frames.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

MAX_FRAMES: Final = 8
"""Innermost frames logged per exception."""
MAX_CAUSES: Final = 4


def summary_of(error: BaseException) -> str:
    """Return the type of an error, its code where it has one, and those of its causes."""
    return " from ".join(map(_name, _chain(error)))


def trace_of(error: BaseException) -> str:
    """Return the same with the innermost code locations, as `file:line function`, and a fingerprint of both."""
    return " from ".join(map(_describe, _chain(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if following is None:
            return
        yield following
        following = following.__cause__


def _name(error: BaseException) -> str:
    code = getattr(error, "code", None)
    return f"{type(error).__name__} (code {code})" if isinstance(code, int) else type(error).__name__


def _describe(error: BaseException) -> str:
    text = f"{_name(error)} at {_locations(error)}"
    return f"{text} [{hashlib.sha256(text.encode()).hexdigest()[:8]}]"


def _locations(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES)
    return ", ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames) or "-"
