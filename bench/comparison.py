"""Measure comparisons per second on one core, of equal and different answers with 20 kB of consultations."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from proxy.comparison.exchange import Body, Exchange
from proxy.comparison.exchanges import compare
from proxy.comparison.modes import DRY_RUN, READ, Mode
from proxy.contract.model import DeclaredAnswer, Operation
from proxy.contract.schemas import Schema
from proxy.types import JSON

COUNT = 10_000
SIZE = 20_000
NOW = 1_795_376_469
PROSE = (
    "Patient reports a dull headache for three days, worse in the morning, no fever and no visual disturbance. "
    "Blood pressure 128/82. Advised rest and fluids, paracetamol 500 mg up to four times daily, review in two weeks."
)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of processor time for `count` comparisons of `size` bytes, and their verdict."""

    title: str
    verdict: str
    size: int
    count: int
    seconds: float

    @property
    def microseconds(self) -> float:
        """Return the processor time of one comparison in µs."""
        return self.seconds / self.count * 1e6


def comparison(count: int = COUNT) -> list[Pace]:
    """Measure equal bodies, one changed field in the last item, and new ids and dates in each response.

    A read compares ids and dates as they are spelled, a dry run by role.
    """
    legacy, changed = _answer(_body(0, PROSE)), _answer(_body(0, PROSE, last="Another name"))
    generated = _answer(_body(1, PROSE))
    contenders = (
        ("the same bytes", legacy, READ),
        ("one value differs", changed, READ),
        ("every id and date is new", generated, READ),
        ("every id and date is new, in a dry run", generated, DRY_RUN),
    )
    return [
        _pace(f"{title}, {known}", legacy, native, operation, count, mode)
        for title, native, mode in contenders
        for known, operation in (("no contract", None), ("validated against a contract", _operation()))
    ]


def _pace(title: str, legacy: Exchange, native: Exchange, operation: Operation | None, count: int, mode: Mode) -> Pace:
    verdict = compare(legacy, native, operation, mode=mode)
    started = time.process_time()
    for _ in range(count):
        compare(legacy, native, operation, mode=mode)
    return Pace(title, verdict.name, legacy.body.length, count, time.process_time() - started)


def _answer(body: bytes) -> Exchange:
    headers = ((b"content-type", b"application/json; charset=utf-8"), (b"vary", b"Origin"))
    return Exchange(
        "GET", b"/api/consultation", (), Body(), "response", 200, headers, Body.of(body), float(NOW), 0.0, 0.0
    )


def _body(shift: int, prose: str, last: str = "Patient name") -> bytes:
    """Return as many consultations as fit; `shift` changes ids and dates."""
    items: list[JSON] = []
    while len(json.dumps(items, separators=(",", ":"))) < SIZE:
        items.append(_consultation(len(items) * 10 + shift * 100_000, shift, prose))
    items[-1] = {**_consultation(len(items) * 10 + shift * 100_000, shift, prose), "patient": {"name": last}}
    return json.dumps({"success": True, "data": items}, separators=(",", ":")).encode()


def _consultation(serial: int, shift: int, prose: str) -> dict[str, JSON]:
    date = f"2026-11-22T19:41:{serial % 60:02d}.{shift:03d}Z"
    clinician: JSON = {"_id": _id(shift * 100_000 + 7), "username": "amara", "email": "amara@clinic.example"}
    return {
        "_id": _id(serial),
        "clinician": clinician,
        "patient": {"name": "Patient name", "age": 40},
        "transcript": {"_id": _id(serial + 1), "transcript_text": prose, "created_at": date},
        "notes": [{"_id": _id(serial + 2), "body": "Rest and fluids.", "clinician": clinician}],
        "started_at": date,
        "status": "active",
        "__v": 1,
    }


def _id(serial: int) -> str:
    return f"{NOW:08x}{serial:016x}"


def _operation() -> Operation:
    """Return the contract of such a response."""
    text: JSON = {"type": "string"}
    ident: JSON = {"type": "string", "format": "objectid"}
    date: JSON = {"type": "string", "format": "date-time"}
    clinician = _object({"_id": ident, "username": text, "email": text})
    note = _object({"_id": ident, "body": text, "clinician": clinician})
    transcript = _object({"_id": ident, "transcript_text": text, "created_at": date})
    consultation = _object(
        {
            "_id": ident,
            "clinician": clinician,
            "patient": {"type": "object"},
            "transcript": transcript,
            "notes": {"type": "array", "items": note},
            "started_at": date,
            "status": {"enum": ["active", "ended"]},
            "__v": {"type": "integer"},
        }
    )
    schema = _object({"success": {"type": "boolean"}, "data": {"type": "array", "items": consultation}})
    declared = DeclaredAnswer(media={"application/json": Schema(schema)})
    return Operation("listConsultations", "GET", "/api/consultation", {"200": declared})


def _object(properties: dict[str, JSON]) -> JSON:
    return {"type": "object", "properties": properties, "required": list(properties)}
