"""Stored BSON of every type, written by neither backend: both read it alike, or the difference is declared."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest
from bson import encode
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from proxy.contract.divergences import explain
from tests.differential.people import TOKEN
from tests.support.backend_pair import DECLARED, AnswerPair, Twins, get, shows
from tests.support.clinic import CONSULTATION, DOCUMENTS

pytestmark = pytest.mark.asyncio(loop_scope="session")

RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(document_class=RawBSONDocument)
FIELDS: Final = {"consultations": "patient", "transcripts": "summary"}
PATHS: Final = {"consultations": "/api/consultation", "transcripts": f"/api/transcript/{CONSULTATION}"}


def string(text: bytes) -> bytes:
    return struct.pack("<i", len(text) + 1) + text + b"\0"


def element(kind: int, name: bytes, value: bytes) -> bytes:
    return bytes([kind]) + name + b"\0" + value


def document(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def binary(subtype: int, data: bytes) -> bytes:
    return struct.pack("<i", len(data)) + bytes([subtype]) + data


CODE: Final = string(b"f()") + document(element(16, b"a", struct.pack("<i", 1)))
REFERENCE: Final = (element(2, b"$ref", string(b"notes")), element(7, b"$id", bytes(12)))

ALIKE: Final[Mapping[str, tuple[int, bytes]]] = {
    "null": (10, b""),
    "symbol": (14, string(b"s")),
    "code with scope": (15, struct.pack("<i", len(CODE) + 4) + CODE),
    "MinKey": (0xFF, b""),
    "MaxKey": (0x7F, b""),
    "DBPointer": (12, string(b"notes") + bytes(12)),
    "DBRef": (3, document(*REFERENCE)),
    "DBRef with more": (3, document(*REFERENCE, element(2, b"$db", string(b"x")), element(2, b"z", string(b"x")))),
    "a name twice": (3, document(*(element(2, name, string(name)) for name in (b"a", b"b", b"a")))),
    "array with odd names": (4, document(element(2, b"5", string(b"x")), element(2, b"0", string(b"y")))),
    "date beyond JavaScript": (9, struct.pack("<q", 8_640_000_000_000_001)),
    "first date": (9, struct.pack("<q", -(2**63))),
    "Decimal128 NaN": (19, bytes(15) + b"\x7c"),
    "large Long": (18, struct.pack("<q", 2**53 + 1)),
    "-0": (1, struct.pack("<d", -0.0)),
    "NaN": (1, struct.pack("<d", float("nan"))),
    "timestamp": (17, struct.pack("<II", 1, 2)),
    "short UUID": (5, binary(4, b"abc")),
    "old binary": (5, binary(2, struct.pack("<i", 3) + b"abc")),
    "vector": (5, binary(9, b"\x03\0\1\2")),
    "regular expression with odd flags": (11, b"a\0xiz\0"),
}
DIFFERENT: Final[Mapping[str, tuple[int, bytes]]] = {
    "undefined": (6, b""),
    "name with invalid UTF-8": (3, document(element(2, b"a\xffb", string(b"x")))),
    "regular expression that JavaScript refuses": (11, b"(\0\0"),
}


async def read_value(twins: Twins, collection: str, field: str, kind: int, value: bytes) -> AnswerPair:
    """Store the first document of a collection with a raw value in a field on both sides; return a read of it."""
    twins.plant(DOCUMENTS)
    stored = {name: part for name, part in DOCUMENTS[collection][0].items() if name != field}
    raw = document(encode(stored)[4:-1], element(kind, field.encode(), value))
    for twin in (twins.legacy, twins.native):
        twin.database[collection].delete_many({})
        twin.database.get_collection(collection, codec_options=RAW).insert_one(RawBSONDocument(raw, RAW))
    return await twins.send(get(PATHS[collection], TOKEN))


@pytest.mark.parametrize("name", ALIKE)
async def test_foreign_value_is_read_alike(twins: Twins, name: str) -> None:
    for collection, field in FIELDS.items():
        answers = await read_value(twins, collection, field, *ALIKE[name])
        assert explain(DECLARED, answers.occurrence, answers.differences).unexplained == (), (field, answers)


@shows("foreign-bson")
@pytest.mark.parametrize("name", DIFFERENT)
async def test_value_that_the_drivers_read_differently_is_declared(twins: Twins, name: str) -> None:
    entry = [one for one in DECLARED if one.id == "foreign-bson"]
    for collection, field in FIELDS.items():
        answers = await read_value(twins, collection, field, *DIFFERENT[name])
        occurrence = replace(answers.occurrence, scenario="test-foreign-bson")
        assert answers.differences
        assert explain(entry, occurrence, answers.differences).unexplained == ()
        assert explain(entry, answers.occurrence, answers.differences).declared == ()
