"""How a failure is written to the log: what it is and where, never what it says.

The messages of MongoDB, of the model and of Python's own exceptions quote documents and requests (E11000 names the
address that is there twice), and the traceback of a RecursionError has a thousand frames.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

MAX_FRAMES: Final = 8
"""The innermost frames of each exception that are written."""
MAX_CAUSES: Final = 4


def summary_of(error: BaseException) -> str:
    """Return an error's type, its code where it has one, and those of what caused it."""
    return " from ".join(map(_name, _chain(error)))


def trace_of(error: BaseException) -> str:
    """Return the same with the innermost places in the code, as `file:line function`."""
    return " from ".join(f"{_name(each)} at {_places(each)}" for each in _chain(error))


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


def _places(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES)
    return ", ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames) or "-"
