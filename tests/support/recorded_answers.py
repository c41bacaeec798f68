"""The answers of the legacy's recordings, as exchanges in which random faults are planted."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from proxy.comparison.exchange import Exchange, ExchangeRecorder
from proxy.recordings.model import load
from proxy.types import ValuePath
from tests.support.exchanges import NOW, exchange

RECORDINGS: Final = Path(__file__).parents[2] / "contracts" / "recordings"
LATER: Final = NOW + 86_400.0
"""The time of the exchanges: no recorded id or date counts as made just now."""


def recorded() -> list[Exchange]:
    """Return the distinct complete answers of the recordings, of JSON with white space nowhere."""
    exchanges: dict[tuple[int, bytes], Exchange] = {}
    for scenario in load(RECORDINGS, counterexamples=False).scenarios:
        for step in scenario.steps:
            answer, headers = step.answer, dict(step.answer.headers)
            if answer.outcome == "response" and not answer.blocks and "content-encoding" not in headers:
                kind = headers.pop("content-type", "")
                made = exchange(answer.body, kind, status=answer.status, headers=headers.items(), target="/x")
                exchanges.setdefault((answer.status, answer.body), made._replace(started=LATER))
    return list(exchanges.values())


def is_related(path: ValuePath, planted: ValuePath) -> bool:
    """Return True if a difference is at, above or below the planted one."""
    return all(one == other or "*" in (one, other) for one, other in zip(path, planted, strict=False))


def exceeding(body: bytes, limit: int) -> Exchange:
    """Return an exchange of JSON whose body is recorded as digests."""
    recorder = ExchangeRecorder({"type": "http", "method": "GET", "raw_path": b"/x", "headers": []}, limit)
    recorder.sent({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    recorder.sent({"type": "http.response.body", "body": body})
    return recorder.exchange()
