"""Traces name failures by type, code location and fingerprint, and quote none of their messages."""

from __future__ import annotations

import re

from common.failure_trace import MAX_CAUSES, MAX_FRAMES, causes_of, trace_of

CANARY = "jane.roe@clinic.example"


def failure(depth: int = 0) -> Exception:
    def fail(left: int) -> None:
        if left:
            fail(left - 1)
        raise ValueError(CANARY) from KeyError(CANARY)

    try:
        fail(depth)
    except ValueError as error:
        return error
    raise AssertionError


def test_trace_holds_types_locations_and_fingerprints() -> None:
    trace = trace_of(failure())
    assert re.fullmatch(
        r"ValueError at test_failure_trace.py:\d+ .*\[[0-9a-f]{8}\] from KeyError at - \[[0-9a-f]{8}\]", trace
    )
    assert CANARY not in trace


def test_fingerprint_depends_on_the_location_alone() -> None:
    assert trace_of(failure()) == trace_of(failure()) != trace_of(failure(1))


def test_trace_holds_the_innermost_locations() -> None:
    trace, *_ = trace_of(failure(2 * MAX_FRAMES)).split(" [")
    assert re.findall(r"test_failure_trace\.py:\d+ (\w+)", trace) == ["fail"] * MAX_FRAMES
    lines = [int(line) for line in re.findall(r":(\d+) fail", trace)]
    assert lines[-1] == max(lines) > lines[0]


def test_name_of_an_error_is_part_of_its_fingerprint() -> None:
    error = failure()
    named = trace_of(error, lambda each: f"{type(each).__name__} (code 7)")
    assert re.match(r"ValueError \(code 7\) at .* from KeyError \(code 7\) at -", named)
    assert re.findall(r"\[\w+\]", named) != re.findall(r"\[\w+\]", trace_of(error))


def test_error_during_which_another_was_raised_is_no_cause() -> None:
    error = failure()
    error.__cause__, error.__context__ = None, KeyError(CANARY)
    assert list(causes_of(error)) == [error]


def test_causes_are_limited() -> None:
    error = ValueError()
    error.__cause__ = error
    assert list(causes_of(error)) == [error] * MAX_CAUSES
