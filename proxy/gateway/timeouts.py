"""Timeouts of a request to legacy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: for connecting; without progress before an answer begins; without progress within an answer.

    `continue_after`: seconds to wait for 100 Continue before sending the body anyway (RFC 9110 §10.1.1).
    """

    connect: float = 2.0
    response: float = 30.0
    idle: float = 60.0
    continue_after: float = 1.0
