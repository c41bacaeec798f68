"""Log failures with the codes of MongoDB's errors, and without messages.

The messages of MongoDB, of the model and of Python's own exceptions quote documents and requests: E11000 contains
the duplicate email address.
"""

from __future__ import annotations

from common import failure_trace


def summary_of(error: BaseException) -> str:
    """Return the type of an error, its code if it has one, and those of its causes."""
    return " from ".join(map(_name, failure_trace.causes_of(error)))


def trace_of(error: BaseException) -> str:
    """Return the same with code locations and fingerprints."""
    return failure_trace.trace_of(error, _name)


def _name(error: BaseException) -> str:
    code = getattr(error, "code", None)
    name = failure_trace.type_of(error)
    return f"{name} (code {code})" if isinstance(code, int) else name
