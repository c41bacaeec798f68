"""Kinds of cases that both modules of answers have."""

from __future__ import annotations

from tests.conformance.case import Case, answered


def broken(name: str, section: str, answer: bytes, **more: object) -> Case:
    """Return the case of an answer that breaks off: within its body, or with 502 in its place."""
    return Case(name, section, answer=answer, broken=True, or_refused=True, **more)  # type: ignore[arg-type]


def bad(name: str, section: str, answer: bytes, **more: object) -> Case:
    """Return the case of an answer that is not HTTP."""
    return Case(name, section, returns=(502,), answer=answer, **more)  # type: ignore[arg-type]


def interim(*statuses: int) -> bytes:
    """Return interim answers, each with a header of its own."""
    return b"".join(answered(f"X-Interim: {status}", start=f"HTTP/1.1 {status} Interim") for status in statuses)
