"""The pause before a request to the model is repeated, as openai's Node SDK takes it from an answer's headers. Pure.

openai's Python SDK obeys delays of up to two minutes, and does not repeat after a longer one: a clinician would wait
for longer than the deadline, where the legacy repeats in half a second.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, MutableMapping
from email.utils import mktime_tz, parsedate_tz
from typing import Final

LIMIT: Final = 60_000.0
"""Milliseconds; longer delays, and this one, are ignored."""
IN_MILLISECONDS: Final = "retry-after-ms"
IN_SECONDS: Final = "retry-after"
_NUMBER: Final = re.compile(r"\s*([+-]?(?:Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))", re.ASCII)
"""The part of a text for `parseFloat`."""


def state_delay(headers: MutableMapping[str, str]) -> None:
    """Replace an answer's delay by the one that openai's Node SDK obeys, in milliseconds, or by none."""
    delay = delay_of(headers)
    for name in (IN_MILLISECONDS, IN_SECONDS):
        if name in headers:
            del headers[name]
    if delay is not None:
        headers[IN_MILLISECONDS] = str(delay)


def delay_of(headers: Mapping[str, str]) -> float | None:
    """Return the milliseconds to wait, None if the headers state no delay that is obeyed."""
    delay = _float(headers.get(IN_MILLISECONDS, ""))
    if not delay and (stated := headers.get(IN_SECONDS, "")):
        seconds = _float(stated)
        delay = _until(stated) if seconds is None else seconds * 1000
    return delay if delay and 0 < delay < LIMIT else None


def _float(text: str) -> float | None:
    match = _NUMBER.match(text)
    return None if match is None else float(match[1])


def _until(date: str) -> float | None:
    """Return the milliseconds until a date, None for another text."""
    parsed = parsedate_tz(date)
    return None if parsed is None else (mktime_tz(parsed) - time.time()) * 1000
