"""Stored documents of other programs, and requests that read and write them one after the other.

    histories(seed)          # edits of valid documents, then requests, without end
    documents(seed)          # single documents as BSON, without end

The edits are of BSON's bytes: every type in every field, missing members, further ones with names that JavaScript's or
mongoose's objects have.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from handlers.legacy.mongoose.inherited import INHERITED
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential import raw_bson as raw
from tests.differential.people import (
    ABSENT,
    AMARA,
    BOLA,
    CONSULTATIONS,
    HASH,
    NOTES,
    OTHER_TOKEN,
    PROMPTS,
    TOKEN,
    TRANSCRIPTS,
    USERS,
    identity,
)
from tests.differential.raw_bson import Member, Raw
from tests.support.backend_pair import get, post

T = TypeVar("T")
Collections = dict[str, list[list[Member]]]


def _day(number: int) -> Raw:
    return raw.int64(1_709_632_800_000 + number * 86_400_000, raw.DATE)


def _texts(**fields: str) -> list[Member]:
    return [(name.encode(), raw.text(value.encode())) for name, value in fields.items()]


def _ids(**fields: str) -> list[Member]:
    return [(name.encode(), raw.identity(value)) for name, value in fields.items()]


def _sound() -> Collections:
    """Return two of each kind, linked as the legacy links them; the second ones are another clinician's."""
    documents: Collections = {name: [] for name in KINDS}
    for index, (owner, name) in enumerate(((AMARA, "amara"), (BOLA, "bola"))):
        own = {kind: identity(number, index) for kind, number in KINDS.items()}
        empty, version = raw.array([]), (b"__v", raw.int32(0))
        user = [*_ids(_id=own["users"]), *_texts(username=name, email=f"{name}@x", password=HASH, role="clinician")]
        user += [(field, empty) for field in (b"prompts", b"notes", b"transcripts")]
        documents["users"].append([*user, (b"createdAt", _day(0)), version])
        documents["consultations"].append(
            [
                *_ids(_id=own["consultations"], clinician=owner),
                (b"patient", raw.embedded(_texts(name="Jane"))),
                (b"notes", raw.array([raw.identity(own["notes"])])),
                (b"started_at", _day(1 + index)),
                *_texts(status="active"),
                version,
                *_ids(transcript=own["transcripts"]),
            ]
        )
        documents["transcripts"].append(
            [
                *_ids(_id=own["transcripts"], clinician=owner, consultation=own["consultations"]),
                *_texts(transcript_text="Chest pain.", summary="Before."),
                *_ids(prompt_used=own["prompts"]),
                (b"created_at", _day(2)),
                (b"updated_at", _day(3)),
                version,
            ]
        )
        documents["notes"].append(
            [
                *_ids(_id=own["notes"], clinician=owner, transcript=own["transcripts"]),
                *_ids(consultation=own["consultations"]),
                *_texts(body="Note."),
                (b"created_at", _day(4 + index)),
                (b"updated_at", _day(6)),
            ]
        )
        documents["prompts"].append(
            [
                *_ids(_id=own["prompts"]),
                *_texts(prompt_name="P", prompt_text="Sum up."),
                (b"is_shareable", Raw(raw.BOOLEAN, bytes([index]))),
                (b"is_deleted", Raw(raw.BOOLEAN, b"\0")),
                *_ids(clinician=owner),
                (b"transcript_ids", empty),
                (b"created_at", _day(7 + index)),
                version,
            ]
        )
    return documents


KINDS: Final = {
    "users": USERS,
    "consultations": CONSULTATIONS,
    "transcripts": TRANSCRIPTS,
    "notes": NOTES,
    "prompts": PROMPTS,
}
SOUND: Final = _sound()

NAMES: Final = (
    *(b"extra", b"__v", b"id", b"_id", b"ended_at", b"updated_at", b"consultation_id", b"body", b"name", b"type"),
    *(b"", b"a.b", b"$x", b"$set", b"0", b"10", b"01", b"4294967295", b"length", b"toString", b"valueOf", b"toJSON"),
    *(b"toObject", b"toBSON", b"constructor", b"prototype", b"__proto__", b"hasOwnProperty", b"isPrototypeOf"),
    *(b"_bsontype", b"$isNew", b"isNew", b"errors", b"schema", b"save", b"get", b"set", b"db"),
    *(b"isMongooseBuffer", b"$isMongooseMap", b"$__schema", b"collection", b"emit"),
    *(b"populated", b"$init", b"init", b"inspect", b"$locals", b"$op", b"$where", b"listeners", b"on", b"remove"),
    *(b"source", b"flags", b"then", b"caf\xc3\xa9", b"validate", b"clinician", b"status", b"__parentArray"),
)
"""Names of members: the schemas' own, those of JavaScript's and mongoose's objects, and odd ones."""

_TEXTS: Final = (
    *(b"", b" ", b"x", b"active", b"ended", b" padded\xc2\xa0", b"nul\0in", b"\xef\xbb\xbfbom", b"\xf0\x9f\x98\x80"),
    *(b"true", b"no", b"0", b"1e3", b"-0", b"2024-03-05", b"123456789012", b"not a date", b"FAIL-AI", b"BADJSON"),
    *(AMARA.encode(), BOLA.upper().encode(), ABSENT.encode(), b"ObjectId", b"Double", b"Decimal128", b"Long"),
    *(b"Binary", b"BSONRegExp", b"x" * 5000, b"RegExp", b"Date", b"Map", b"\xe2\x80\xa8", b"<b>&\"'"),
)
_NUMBERS: Final = (0.0, -0.0, 1.0, 1.5, -1.0, 2.0**31, 2.0**53, 2.0**53 + 2, 1e21, 1e-7, 5e-324, 1.7e308)
_SPECIAL: Final = (float("nan"), float("inf"), float("-inf"))
_SMALL: Final = (0, 1, -1, 2**31 - 1, -(2**31))
_INTEGERS: Final = (*_SMALL, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
_MOMENTS: Final = (
    *(0, -1, 1_709_632_800_000, 8_640_000_000_000_000, 8_640_000_000_000_001, -8_640_000_000_000_001),
    *(-62_135_596_800_001, -62_198_755_200_000, 253_402_300_800_000, 2**63 - 1, -(2**63)),
)
_DECIMALS: Final = (bytes(15) + b"\x7c", bytes(15) + b"\x78", bytes(15) + b"\xf8", b"\1" + bytes(13) + b"\x40\x30")
KNOWN_IDS: Final = tuple(identity(kind, index) for kind in KINDS.values() for index in (0, 1))
_REFERENCES: Final = (*KNOWN_IDS, ABSENT)
_PATTERNS: Final = (b"a", b"", b"a/b", b"[/]", b"\n", b"\xc3\xa9")
_SUBTYPES: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 128, 255)


class Draw:
    """Draws raw values by one random number generator."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self._makers: tuple[Callable[[int], Raw], ...] = (
            lambda _: raw.text(self.pick(_TEXTS)),
            lambda _: raw.text(self.pick(_TEXTS)),
            lambda _: raw.number(self.pick((*_NUMBERS, *_SPECIAL))),
            lambda _: raw.int32(self.pick(_SMALL)),
            lambda _: raw.int64(self.pick(_INTEGERS)),
            lambda _: raw.int64(self.pick(_MOMENTS), raw.DATE),
            lambda _: raw.identity(self.pick(_REFERENCES)),
            lambda _: raw.identity(self.pick(_REFERENCES)),
            lambda _: Raw(raw.NULL, b""),
            lambda _: Raw(raw.BOOLEAN, self.pick((b"\0", b"\1"))),
            lambda _: Raw(self.pick((raw.MIN_KEY, raw.MAX_KEY)), b""),
            lambda _: Raw(raw.TIMESTAMP, self.pick((b"\1\0\0\0\2\0\0\0", b"\xff" * 8))),
            lambda _: Raw(raw.DECIMAL, self.pick((*_DECIMALS, self.source.randbytes(16)))),
            lambda _: raw.binary(self.pick(_SUBTYPES), self._bytes()),
            lambda _: raw.regex(self.pick(_PATTERNS), self.pick((b"", b"i", b"imsx", b"gz"))),
            lambda _: raw.text(self.pick((b"f()", b"", b"x" * 300)), self.pick((raw.CODE, raw.SYMBOL))),
            lambda _: Raw(raw.POINTER, raw.text(self.pick((b"notes", b"x.users"))).payload + bytes(12)),
            lambda depth: raw.scoped_code(b"f()", self._members(depth)),
            lambda depth: raw.embedded(self._members(depth)),
            lambda depth: raw.embedded(self._members(depth)),
            lambda depth: raw.array(self._items(depth)),
            lambda depth: raw.array(self._items(depth)),
            lambda depth: raw.embedded(self._members(depth), raw.ARRAY),
            lambda _: self._reference(),
        )

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of them."""
        return self.source.choice(choices)

    def value(self, depth: int = 3) -> Raw:
        """Draw any value; containers end at a depth."""
        return self.pick(self._makers[: None if depth else 17])(depth - 1)

    def _bytes(self) -> bytes:
        return self.pick((b"", b"abc", bytes(range(16)), b"\3\0\1\2", bytes.fromhex(AMARA), b"\x27\0" + bytes(4)))

    def _items(self, depth: int) -> list[Raw]:
        return [self.value(depth) for _ in range(self.pick((0, 1, 1, 2, 3)))]

    def _members(self, depth: int) -> list[Member]:
        return [self._member(depth) for _ in range(self.pick((0, 1, 1, 2, 3)))]

    def _member(self, depth: int) -> Member:
        """Draw a member, without an object below the name of a method: see `polluted-methods` in divergences.yaml."""
        name, value = self.pick(NAMES), self.value(depth)
        return name, self.value(0) if value.kind == raw.OBJECT and name.decode() in INHERITED else value

    def _reference(self) -> Raw:
        parts: list[Member] = [(b"$ref", raw.text(b"users")), (b"$id", raw.identity(AMARA))]
        return raw.embedded([*parts, *([(b"$db", raw.text(b"x"))] if self.source.random() < 0.5 else [])])


@dataclass(frozen=True)
class Edit:
    """A change of one stored document: the member gets a value, or none if `value` is None."""

    collection: str
    index: int
    name: bytes
    value: Raw | None

    def apply(self, members: list[Member]) -> list[Member]:
        """Return the document's members after the change."""
        if self.value is None:
            return [member for member in members if member[0] != self.name]
        if any(name == self.name for name, _ in members):
            return [(name, self.value if name == self.name else value) for name, value in members]
        return [*members, (self.name, self.value)]

    def __str__(self) -> str:
        value = "removed" if self.value is None else f"{self.value.kind:#x} {self.value.payload[:80]!r}"
        return f"{self.collection}[{self.index}].{self.name!r} {value}"


def edited(edits: Sequence[Edit]) -> dict[str, list[bytes]]:
    """Return the valid documents after some edits, as BSON."""
    documents = {name: list(each) for name, each in SOUND.items()}
    for edit in edits:
        documents[edit.collection][edit.index] = edit.apply(documents[edit.collection][edit.index])
    return {name: [raw.document(members) for members in each] for name, each in documents.items()}


def draw_edit(draw: Draw, collection: str, index: int = 0) -> Edit:
    """Draw an edit of a document, mostly of one of the members that the legacy writes."""
    own = [name for name, _ in SOUND[collection][index] if name not in (b"_id", b"email")]
    chance = draw.source.random()
    if chance < 0.6:
        return Edit(collection, index, draw.pick(own), draw.value())
    if chance < 0.7:
        return Edit(collection, index, draw.pick(own), None)
    return Edit(collection, index, draw.pick([name for name in NAMES if name != b"_id"]), draw.value())


_ID: Final = {kind: [identity(number, index) for index in (0, 1)] for kind, number in KINDS.items()}


def requests(index: int, token: str = TOKEN) -> list[RecordedRequest]:
    """Return the requests that reach the documents of an index."""
    own = {kind: ids[index] for kind, ids in _ID.items()}
    consultation, transcript, note, prompt = (own[k] for k in ("consultations", "transcripts", "notes", "prompts"))
    writes: list[tuple[str, str, JSON]] = [
        ("POST", f"/api/notes/{consultation}", {"body": "b", "transcriptId": transcript}),
        ("POST", f"/api/consultation/{consultation}/end", {"prompt_used": prompt}),
        ("POST", "/api/transcript/update-text", {"transcript_id": transcript, "transcript_text": "New."}),
        ("PATCH", f"/api/notes/{note}", {"body": "Changed."}),
        ("PATCH", f"/api/notes/{note}", {}),
        ("PATCH", f"/api/prompts/{prompt}", {"prompt_name": "n"}),
        ("PATCH", f"/api/prompts/{prompt}", {"transcript_ids": [transcript], "__v": 3}),
        ("PATCH", f"/api/prompts/{prompt}/add-prompt/{transcript}", {}),
        ("DELETE", f"/api/prompts/{prompt}", {}),
        ("DELETE", f"/api/notes/{note}", {}),
    ]
    reads = [
        "/users/profile",
        "/api/consultation",
        f"/api/consultation/{consultation}",
        f"/api/transcript/{consultation}",
        f"/api/notes/{consultation}",
        "/api/prompts",
    ]
    result = [post(path, body, token, method) for method, path, body in writes]
    return [*result, *(get(path, token) for path in reads)]


@dataclass(frozen=True)
class History:
    """Edits of the valid documents, then requests."""

    edits: tuple[Edit, ...]
    requests: tuple[RecordedRequest, ...]

    def __str__(self) -> str:
        lines = [*map(str, self.edits), *(f"{r.method} {r.target} {r.body!r}" for r in self.requests)]
        return "\n".join(f"  {line}" for line in lines)


def histories(seed: int) -> Iterator[History]:
    """Yield histories without end."""
    draw = Draw(random.Random(seed))
    own, others = requests(0), [*requests(1, OTHER_TOKEN), *requests(1)]
    while True:
        collections = [draw.pick((*KINDS, "consultations")) for _ in range(draw.pick((1, 1, 2, 3)))]
        edits = tuple(draw_edit(draw, collection, draw.pick((0, 0, 0, 0, 1))) for collection in collections)
        chosen = tuple(draw.pick(own) if draw.source.random() < 0.8 else draw.pick(others) for _ in range(10))
        yield History(edits, chosen)


def documents(seed: int) -> Iterator[tuple[str, tuple[Edit, ...], bytes]]:
    """Yield stored documents without end: their collection, edits and BSON, now and then in another order."""
    draw = Draw(random.Random(seed))
    while True:
        collection = draw.pick(tuple(KINDS))
        edits = tuple(draw_edit(draw, collection) for _ in range(draw.pick((1, 1, 1, 2, 2, 3))))
        members = list(SOUND[collection][0])
        for edit in edits:
            members = edit.apply(members)
        if draw.source.random() < 0.2:
            draw.source.shuffle(members)
        yield collection, edits, raw.document(members)
