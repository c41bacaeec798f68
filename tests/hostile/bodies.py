"""Hostile bodies: each content at a random endpoint, as a random field of its body, in a random coding, in three sizes.

A round plays every content once in every size; other rounds have other endpoints, fields, codings and mixtures.
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import brotli  # type: ignore[import-untyped]

from tests.hostile.person import Person, endpoints
from tests.hostile.request import HostileRequest
from tests.hostile.values import mixtures, texts

JSON: Final = "application/json"
FRACTIONS: Final = (1, 10, 150)
"""Parts of the size that are played: about the limit of a body, more than one slice of work, about one slice."""
CODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "identity": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": lambda data: zlib.compress(data, 1),
    "br": lambda data: bytes(brotli.compress(data, quality=1)),
}
CHARSETS: Final = ("utf-8", "utf-16", "utf-16le", "utf-32", "utf-32le", "utf-7", "utf-7-imap")
NOT_TEXT: Final = (b"\xff", b"\xe2\x82", b"\x00\xd8", b"\x00\xd8\x00\x00", b"+-", b"&-", b"[\0\0\0", b"\x80")


def hostile_bodies(person: Person, size: int, seed: int) -> Iterator[HostileRequest]:
    """Yield the requests of one round; `size` is that of the largest bodies, in bytes after decoding."""
    chance = Random(seed)
    yield from _combinations(person, size, chance)
    yield from _charsets(size, chance)
    yield from _multipart(person, size)
    yield from _compressed(size)


def _combinations(person: Person, size: int, chance: Random) -> Iterator[HostileRequest]:
    for fraction in FRACTIONS:
        for name, text in itertools.chain(texts(size // fraction), mixtures(size // fraction, chance)):
            method, path, fields = chance.choice(list(endpoints(person)))
            field = chance.choice(("body", *fields, *(("images[]",) if "images" in fields else ())))
            coding = chance.choice(list(CODINGS))
            headers = {**person.headers, "content-type": JSON, "content-encoding": coding}
            content = CODINGS[coding](_placed(text, field, fields).encode("utf-8", "surrogatepass"))
            yield HostileRequest(f"{name} in {field}, {size // fraction} as {coding}", method, path, headers, content)


def _placed(text: str, field: str, fields: tuple[str, ...]) -> str:
    """Return a body in which a text is the whole, a field beside valid ones, or the member of a list."""
    if field == "body":
        return text
    if field == "images[]":
        return f'{{"images":[{text}]}}'
    others = "".join(f'"{other}":"x",' for other in fields if other != field)
    return f'{{{others}"{field}":{text}}}'


def _charsets(size: int, chance: Random) -> Iterator[HostileRequest]:
    for charset, content in itertools.product(CHARSETS, NOT_TEXT):
        coding = chance.choice(list(CODINGS))
        headers = {"content-type": f"{JSON}; charset={charset}", "content-encoding": coding}
        body = content * (chance.choice((size, 65_000)) // len(content))
        yield HostileRequest(
            f"{content!r} in {charset}, {len(body)} as {coding}", "POST", "/users/login", headers, CODINGS[coding](body)
        )


def _multipart(person: Person, size: int) -> Iterator[HostileRequest]:
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    headers = {**person.headers, "content-type": "multipart/form-data; boundary=b"}
    for name, content in (
        ("parts", part * (size // len(part))),
        ("boundaries", b"--b\r\n" * (size // 5)),
        ("headers", b"--b\r\n" + b"a: b\r\n" * (size // 6)),
        ("nothing", b"-" * size),
    ):
        for path in ("/users/login", "/api/v1/users/login", "/api/v1/ai/images"):
            yield HostileRequest(f"multipart: {name}", "POST", path, headers, content)


def _compressed(size: int) -> Iterator[HostileRequest]:
    """Yield small bodies that decompress to more than is read, or to nothing in many steps."""
    for coding in ("gzip", "deflate", "br"):
        headers = {"content-type": JSON, "content-encoding": coding}
        for name, byte in (("brackets", b"["), ("zeros", b"\0"), ("white space", b" ")):
            content = CODINGS[coding](byte * (20 * size))
            yield HostileRequest(f"too many {name} as {coding}", "POST", "/users/login", headers, content)
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    for name, member in (("empty", gzip.compress(b"")), ("full", gzip.compress(b" "))):
        yield HostileRequest(f"many {name} members", "POST", "/users/login", headers, member * (size // 80))
