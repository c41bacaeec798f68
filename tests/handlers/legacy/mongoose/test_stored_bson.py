"""Stored documents of other programs, as BSON, are read, shown and saved as by the real mongoose."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion

from handlers.legacy.javascript import JavaScriptTypeError
from handlers.legacy.mongoose import MongooseError, Schema, arrange, write
from tests.differential import raw_bson
from tests.differential.people import ABSENT
from tests.differential.raw_bson import Raw
from tests.differential.stored_states import KNOWN_IDS, Edit, documents, edited
from tests.support.mongoose_documents import ordered, read_and_save, without_fresh_values
from tests.support.mongoose_oracle import Oracle
from tests.support.profile import IS_QUICK
from tests.support.random_seed import seed_of

COUNT: Final = 300 if IS_QUICK else 1000
NEW_NOTE: Final = "64b7f0f0f0f0f0f0f0f0f0f1"
CHANGES: Final[Mapping[str, Sequence[tuple[dict[str, Any], dict[str, Any]]]]] = {
    "consultations": [
        ({}, {}),
        ({"status": "ended"}, {}),
        ({"notes": []}, {"notes": NEW_NOTE}),
        ({}, {"notes": NEW_NOTE}),
    ],
    "notes": [({}, {}), ({"body": "New."}, {})],
}
"""The fields that the legacy sets and pushes before it saves a document of a collection."""
CODE: Final = raw_bson.scoped_code(b"f()", [(b"a", raw_bson.int32(1)), (b"b", raw_bson.text(b"x" * 80))])
EXAMPLES: Final[Sequence[Sequence[Edit]]] = [
    [Edit("consultations", 0, b"patient", Raw(raw_bson.POINTER, raw_bson.text(b"x.users").payload + bytes(12)))],
    [Edit("notes", 0, b"body", Raw(raw_bson.POINTER, raw_bson.text(b"x.users").payload + bytes(12)))],
    [Edit("notes", 0, b"body", raw_bson.embedded([(b"code", CODE)]))],
    [Edit("consultations", 0, b"patient", raw_bson.scoped_code(b"f()", [(b"inner", CODE)]))],
    [Edit("consultations", 0, b"patient", raw_bson.embedded([(b"constructor", CODE)]))],
    [Edit("consultations", 0, b"notes", raw_bson.text(b"x")), Edit("consultations", 0, b"toString", CODE)],
    [Edit("consultations", 0, b"toString", CODE)],
    [
        Edit(
            "consultations",
            0,
            b"notes",
            raw_bson.array([raw_bson.array([]), Raw(raw_bson.MAX_KEY, b""), raw_bson.int32(1)]),
        )
    ],
    *(
        [Edit(collection, 0, b"isMongooseBuffer", value)]
        for collection in ("consultations", "notes", "transcripts")
        for value in (
            raw_bson.text(b"x"),
            raw_bson.text(b""),
            raw_bson.text(b"", raw_bson.CODE),
            raw_bson.binary(0, b""),
        )
    ),
    [Edit("consultations", 0, b"transcript", raw_bson.embedded([(b"$isMongooseMap", raw_bson.int32(1))]))],
]
_DATES: Final[CodecOptions[dict[str, Any]]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


@dataclass(frozen=True)
class Case:
    """A stored document, and the fields that are set and pushed before it is saved."""

    collection: str
    edits: Sequence[Edit]
    stored: bytes
    set: dict[str, Any]
    push: dict[str, Any]

    @property
    def question(self) -> dict[str, object]:
        """Return the question to the oracle."""
        document = base64.b64encode(self.stored).decode()
        return {"model": self.collection, "document": document, "set": self.set, "push": self.push}

    def compare(self, answer: dict[str, Any]) -> str:
        """Return what differs from mongoose's answer, empty if nothing does."""
        schema, stored = Schema.known[self.collection], bson.decode(self.stored, _DATES)
        native = read_and_save(schema, stored, self.set, self.push)
        native["table"] = _show(schema, stored)
        if "delta" in answer:
            answer["delta"] = ordered(answer["delta"])
        expected = {**answer, "error": answer.get("error", {}).get("message"), "table": answer.get("json")}
        names = ["error", *({"json", "changed", "delta", "table"} & {*answer, *({} if expected["error"] else native)})]
        different = [
            name for name in names if self._comparable(native.get(name)) != self._comparable(expected.get(name))
        ]
        edits = "\n".join(map(str, self.edits))
        return "".join(f"{edits}\n{name}:\n{expected.get(name)}\n{native.get(name)}\n" for name in different)

    def _comparable(self, value: object) -> object:
        return without_fresh_values(value, [*KNOWN_IDS, ABSENT, NEW_NOTE, "0" * 24])


def _show(schema: Schema, stored: dict[str, Any]) -> str | None:
    try:
        return str(write(arrange(schema, [stored]), alone=True)[0])
    except (MongooseError, JavaScriptTypeError):
        return None


def _cases(collection: str, edits: Sequence[Edit], stored: bytes) -> Iterator[Case]:
    for changed, pushed in CHANGES.get(collection, [({}, {})]):
        yield Case(collection, edits, stored, changed, pushed)


def _differences(oracle: Oracle, cases: Sequence[Case]) -> list[str]:
    answers = oracle.call_all("read", [case.question for case in cases])
    pairs = zip(cases, answers, strict=True)
    return [text for case, answer in pairs if not _is_unanswerable(answer) and (text := case.compare(answer))]


def _is_unanswerable(answer: Mapping[str, Any]) -> bool:
    """Return whether the oracle cannot show the update: extended JSON has no regular expression with `g`."""
    return "regular expression option" in answer.get("error", {}).get("message", "")


def test_examples_are_read_and_saved_as_by_mongoose(oracle: Oracle) -> None:
    examples = [(edits[0].collection, edits) for edits in EXAMPLES]
    cases = [case for name, edits in examples for case in _cases(name, edits, edited(edits)[name][0])]
    assert not _differences(oracle, cases)


@pytest.mark.seeded
def test_random_documents_are_read_and_saved_as_by_mongoose(oracle: Oracle) -> None:
    drawn = islice(documents(seed_of(1)), COUNT)
    cases = [case for collection, edits, stored in drawn for case in _cases(collection, edits, stored)]
    differing = _differences(oracle, cases)
    assert not differing, differing[0]
