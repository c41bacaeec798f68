"""Timeouts of a request to legacy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: for connecting; without progress before an answer begins; without progress within an answer."""

    connect: float = 2.0
    response: float = 30.0
    idle: float = 60.0
