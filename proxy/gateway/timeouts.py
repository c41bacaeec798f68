"""Timeouts of a request to legacy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: for connecting; without progress before an answer begins; without progress within an answer.

    `body_delay`: seconds to wait for the first part of a body before the head may be sent without it.
    `continue_after`: seconds to wait for 100 Continue before sending the body anyway (RFC 9110 §10.1.1).
    """

    connect: float = 2.0
    response: float = 30.0
    idle: float = 60.0
    body_delay: float = 1.0
    continue_after: float = 1.0
