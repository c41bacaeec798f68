"""Faults of a native backend, each with the exact differences that a comparison must name.

A fault changes an `Answer`, whose `value` is written as the legacy writes JSON unless a fault replaced `body`.
"""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.comparison.headers import entity_tag

Headers = dict[str, str]
Expected = frozenset[tuple[str, str]]

OTHER_ID: Final = "64b7f0f0f0f0f0f0f0f0f0f9"
STORED_AT: Final = "2026-01-02T03:04:05"
HEADERS: Final[Headers] = {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
    "set-cookie": "sid=a; Path=/; HttpOnly; Expires=Fri, 31 Dec 2066 10:00:00 GMT",
}


@dataclass
class Answer:
    """An answer that a fault may change. `body` is None as long as it is the JSON of `value`."""

    value: Any
    status: int = 200
    headers: Headers = field(default_factory=dict)
    body: bytes | None = None

    def written(self) -> bytes:
        """Return the body's bytes."""
        return compact(self.value) if self.body is None else self.body


@dataclass(frozen=True)
class PlantedFault:
    """A fault, the answer that it is for (`note`, `page`, `error`), and the differences that it makes."""

    name: str
    plant: Callable[[Answer], None]
    expected: Expected
    answer: str = "note"


def compact(value: Any) -> bytes:
    """Return JSON as JSON.stringify writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def sound(kind: str) -> Answer:
    """Return the answer that legacy gives: a `note`, a `page` or an `error`."""
    if kind == "page":
        return Answer(None, 404, {"content-type": "text/html; charset=utf-8"}, page("Cannot GET /nope"))
    if kind == "error":
        return Answer({"success": False, "message": "not found"}, 404, dict(HEADERS))
    return Answer(note(), 200, dict(HEADERS))


def with_generated(answer: Answer, made: str, at: str) -> Answer:
    """Add the values that a write generates: an id and a date of the backend's own, each twice."""
    if isinstance(answer.value, dict):
        answer.value |= {"made": {"_id": made, "at": at}, "log": f"created {made} at {at}"}
    return answer


def note() -> Any:
    """Return the value of the answer that most faults are for: documents stored long before the request."""
    notes = [
        {"_id": f"64b7f0f0f0f0f0f0f0f0f0f{n}", "body": f"Rest and fluids, {n} times a day.", "order": n}
        for n in range(1, 4)
    ]
    return {
        "success": True,
        "message": "found",
        "data": {
            "_id": "64b7f0f0f0f0f0f0f0f0f0f0",
            "created_at": f"{STORED_AT}.123Z",
            "updated_at": f"{STORED_AT}.000Z",
            "patient": {"name": "Zoë", "age": 40, "weight": 71.5, "allergy": None, "smoker": False},
            "notes": notes,
        },
    }


def _set(*path: str | int, to: object) -> Callable[[Answer], None]:
    """Return a fault that sets the value at a path."""

    def plant(answer: Answer) -> None:
        target = answer.value
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to

    return plant


def _patient(change: Callable[[dict[str, Any]], None]) -> Callable[[Answer], None]:
    return lambda answer: change(answer.value["data"]["patient"])


def _notes(change: Callable[[list[Any]], None]) -> Callable[[Answer], None]:
    return lambda answer: change(answer.value["data"]["notes"])


def _header(name: str, value: str | None) -> Callable[[Answer], None]:
    def plant(answer: Answer) -> None:
        if value is None:
            del answer.headers[name]
        else:
            answer.headers[name] = value

    return plant


def _cookie(old: str, new: str) -> Callable[[Answer], None]:
    return _header("set-cookie", HEADERS["set-cookie"].replace(old, new))


def _strong_tag(answer: Answer) -> None:
    answer.headers["etag"] = entity_tag(answer.written()).removeprefix("W/")


def _status(status: int, value: object = ...) -> Callable[[Answer], None]:
    def plant(answer: Answer) -> None:
        answer.status = status
        answer.value = answer.value if value is ... else value

    return plant


def _body(write: Callable[[bytes], bytes], **headers: str) -> Callable[[Answer], None]:
    def plant(answer: Answer) -> None:
        answer.body = write(answer.written())
        answer.headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    return plant


def _rename(patient: dict[str, Any]) -> None:
    patient["full_name"] = patient.pop("name")


def _reorder_names(patient: dict[str, Any]) -> None:
    patient["name"] = patient.pop("name")


def _swap_ids(notes: list[Any]) -> None:
    notes[0]["_id"], notes[1]["_id"] = notes[1]["_id"], notes[0]["_id"]


def _replace_second(notes: list[Any]) -> None:
    notes[1] = {"_id": OTHER_ID, "body": "Another patient's note.", "order": 2}


def _double_notes(notes: list[Any]) -> None:
    notes.append(dict(notes[0]))


def _stringify(answer: Answer) -> None:
    answer.value["data"]["notes"] = json.dumps(answer.value["data"]["notes"])


def _page(text: str) -> Callable[[Answer], None]:
    return lambda answer: setattr(answer, "body", page(text))


def page(text: str) -> bytes:
    """Return a page as express writes it."""
    return f"<!DOCTYPE html>\n<html><body>\n<pre>{text}</pre>\n</body></html>\n".encode()


def _spaced(body: bytes) -> bytes:
    return json.dumps(json.loads(body), ensure_ascii=False).encode()


PLAIN_TEXT: Final = "text/plain; charset=utf-8"
NOTES: Final = "body.data.notes"
PATIENT: Final = "body.data.patient"
TABLE: Final[tuple[tuple[str, Callable[[Answer], None], tuple[tuple[str, str], ...]], ...]] = (
    ("a renamed field", _patient(_rename), ((f"{PATIENT}.name", "missing"), (f"{PATIENT}.full_name", "extra"))),
    ("a text for a number", _set("data", "patient", "age", to="40"), ((f"{PATIENT}.age", "type"),)),
    ("a number for a boolean", _set("data", "patient", "smoker", to=0), ((f"{PATIENT}.smoker", "type"),)),
    ("an object for a list", _set("data", "notes", to={}), ((NOTES, "type"),)),
    ("a list reversed", _notes(lambda notes: notes.reverse()), ((NOTES, "order"),)),
    ("names in another order", _patient(_reorder_names), ((PATIENT, "order"),)),
    ("a missing field", _patient(lambda patient: patient.pop("age")), ((f"{PATIENT}.age", "missing"),)),
    ("an extra field", _set("data", "patient", "debug", to=1), ((f"{PATIENT}.debug", "extra"),)),
    ("null for an absent field", _set("data", "patient", "middle", to=None), ((f"{PATIENT}.middle", "extra"),)),
    (
        "an absent field for null",
        _patient(lambda patient: patient.pop("allergy")),
        ((f"{PATIENT}.allergy", "missing"),),
    ),
    ("an empty text for null", _set("data", "patient", "allergy", to=""), ((f"{PATIENT}.allergy", "type"),)),
    ("off by one", _set("data", "patient", "age", to=41), ((f"{PATIENT}.age", "value"),)),
    ("a float for an integer", _set("data", "patient", "age", to=40.25), ((f"{PATIENT}.age", "type"),)),
    ("40.0 for 40", _set("data", "patient", "age", to=40.0), ((f"{PATIENT}.age", "format"),)),
    ("a rounded number", _set("data", "patient", "weight", to=71.4), ((f"{PATIENT}.weight", "value"),)),
    ("a flipped boolean", _set("data", "patient", "smoker", to=True), ((f"{PATIENT}.smoker", "value"),)),
    ("microseconds", _set("data", "created_at", to=f"{STORED_AT}.123000+00:00"), (("body.data.created_at", "format"),)),
    ("no milliseconds", _set("data", "updated_at", to=f"{STORED_AT}Z"), (("body.data.updated_at", "format"),)),
    (
        "another zone",
        _set("data", "created_at", to="2026-01-02T04:04:05.123+01:00"),
        (("body.data.created_at", "format"),),
    ),
    ("no zone", _set("data", "created_at", to=f"{STORED_AT}.123"), (("body.data.created_at", "format"),)),
    ("a cut second", _set("data", "created_at", to=f"{STORED_AT}.000Z"), (("body.data.created_at", "value"),)),
    ("a date as a number", _set("data", "created_at", to=1767323045123), (("body.data.created_at", "type"),)),
    ("ids swapped", _notes(_swap_ids), ((f"{NOTES}.*._id", "value"),)),
    ("an id in capitals", _set("data", "_id", to="64B7F0F0F0F0F0F0F0F0F0F0"), (("body.data._id", "format"),)),
    ("a name for an id", _set("data", "_id", to="zoe"), (("body.data._id", "type"),)),
    (
        "a decomposed letter",
        _set("data", "patient", "name", to=unicodedata.normalize("NFD", "Zoë")),
        ((f"{PATIENT}.name", "format"),),
    ),
    (
        "a text encoded twice",
        _set("data", "patient", "name", to="Zoë".encode().decode("latin-1")),
        ((f"{PATIENT}.name", "value"),),
    ),
    (
        "white space in a text",
        _set("data", "notes", 0, "body", to="Rest and  fluids, 1 times a day."),
        ((f"{NOTES}.*.body", "value"),),
    ),
    ("a stale value", _set("data", "notes", 2, "body", to="Rest."), ((f"{NOTES}.*.body", "value"),)),
    ("one item too few", _notes(lambda notes: notes.pop()), ((f"{NOTES}.*", "missing"),)),
    ("an item twice", _notes(_double_notes), ((f"{NOTES}.*", "extra"),)),
    (
        "the wrong item of a list",
        _notes(_replace_second),
        ((f"{NOTES}.*._id", "value"), (f"{NOTES}.*.body", "value")),
    ),
    ("a list as a text", _stringify, ((NOTES, "type"),)),
    ("a missing header", _header("cache-control", None), (("header.cache-control", "missing"),)),
    ("another value of a header", _header("cache-control", "public"), (("header.cache-control", "header"),)),
    ("an extra header", _header("x-framework", "starlette"), (("header.x-framework", "extra"),)),
    ("another content type", _header("content-type", PLAIN_TEXT), (("header.content-type", "header"),)),
    ("a cookie for scripts", _cookie("; HttpOnly", ""), (("header.set-cookie", "header"),)),
    ("a cookie for a day longer", _cookie("Fri, 31 Dec 2066", "Sat, 01 Jan 2067"), (("header.set-cookie", "header"),)),
    ("a session cookie", _header("set-cookie", "sid=a; Path=/; HttpOnly"), (("header.set-cookie", "header"),)),
    ("another entity tag", _header("etag", 'W/"1f-HGffxx6uobnTz2YvR5DpyWJg/Ao"'), (("header.etag", "header"),)),
    ("an entity tag of another hash", _header("etag", 'W/"9a0364b9e99bb480"'), (("header.etag", "header"),)),
    ("a strong entity tag", _strong_tag, (("header.etag", "header"),)),
    ("no cookie", _header("set-cookie", None), (("header.set-cookie", "missing"),)),
    ("another status of its class", _status(203), (("status", "status"),)),
    ("an error", _status(500, {"message": "Internal Server Error"}), (("status", "status"),)),
    ("spaces in the JSON", _body(_spaced), (("body", "format"),)),
    ("escapes in the JSON", _body(lambda body: body.replace("ë".encode(), b"\\u00eb")), (("body", "format"),)),
    ("compression", _body(gzip.compress, content_encoding="gzip"), (("header.content-encoding", "extra"),)),
    (
        "a coding that the body lacks",
        _header("content-encoding", "gzip"),
        (("header.content-encoding", "extra"), ("body", "type")),
    ),
    ("a body cut short", _body(lambda body: body[:-20]), (("body", "type"),)),
    ("JSON within JSON", _body(lambda body: compact(body.decode())), (("body", "type"),)),
    ("an empty body", _body(lambda body: b""), (("body", "missing"),)),
    (
        "another charset",
        _body(
            lambda body: body.decode().encode("latin-1"), content_type="application/json; charset=iso-8859-1"
        ),
        (("header.content-type", "header"),),
    ),
)  # fmt: skip
OTHERS: Final = (
    PlantedFault("another text of a page", _page("Cannot POST /nope"), frozenset({("body", "value")}), "page"),
    PlantedFault("another error message", _set("message", to="no"), frozenset({("body.message", "value")}), "error"),
    PlantedFault("an empty answer for 404", _status(200, []), frozenset({("status", "status")}), "error"),
)


def planted_faults() -> Iterator[PlantedFault]:
    """Yield every fault."""
    for name, plant, expected in TABLE:
        yield PlantedFault(name, plant, frozenset(expected))
    yield from OTHERS
