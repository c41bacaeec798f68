"""A strict reader of the answers on a client's connection, independent of the parser that the gateway uses. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
BODILESS = (204, 304)


class Malformed(Exception):
    """The bytes on the client's connection are not an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `head` has lower-case names; `complete` is false if it breaks off or is still arriving."""

    status: int
    head: tuple[bytes, ...]
    body: bytes
    complete: bool
    interim: tuple[int, ...] = ()

    def value(self, name: bytes) -> bytes | None:
        """Return the values of a header, joined by commas."""
        values = [line.split(b":", 1)[1].strip() for line in self.head if line.split(b":", 1)[0] == name]
        return b",".join(values) if values else None


def read_answers(data: bytes, methods: Sequence[bytes], *, closed: bool) -> list[Answer]:
    """Return the answers in `data`, the n-th one to a request of the n-th method (GET beyond). Raises `Malformed`."""
    answers: list[Answer] = []
    while data:
        method = methods[len(answers)] if len(answers) < len(methods) else b"GET"
        taken = _read_answer(data, method, closed)
        if taken is None:
            break
        answer, data = taken
        answers.append(answer)
        if not answer.complete:
            break
    return answers


def _read_answer(data: bytes, method: bytes, closed: bool) -> tuple[Answer, bytes] | None:
    interim: list[int] = []
    while True:
        head, end, data = data.partition(b"\r\n\r\n")
        if not end:
            if closed:
                raise Malformed(f"a head that breaks off: {head[:80]!r}")
            return None
        status, lines = _read_head(head)
        if status >= 200 or status == 101:
            break
        interim.append(status)
    bare = Answer(status, lines, b"", True, tuple(interim))
    if method == b"HEAD" or status in BODILESS or status == 101:
        return bare, data
    body, complete, rest = _read_body(bare, data, closed)
    return Answer(status, lines, body, complete, tuple(interim)), rest


def _read_head(head: bytes) -> tuple[int, tuple[bytes, ...]]:
    first, *lines = head.split(b"\r\n")
    match = STATUS.fullmatch(first)
    if match is None:
        raise Malformed(f"not a status line: {first[:80]!r}")
    return int(match[1]), tuple(_read_header(line) for line in lines)


def _read_header(line: bytes) -> bytes:
    match = HEADER.fullmatch(line)
    if match is None:
        raise Malformed(f"not a header: {line[:80]!r}")
    return match[1].lower() + b": " + match[2].rstrip(b" \t")


def _read_body(answer: Answer, data: bytes, closed: bool) -> tuple[bytes, bool, bytes]:
    coding, length = answer.value(b"transfer-encoding"), answer.value(b"content-length")
    if coding is not None:
        if length is not None:
            raise Malformed("both a length and a coding")
        if coding.lower() == b"chunked":
            return _read_chunks(data)
        return data, closed, b""
    if length is not None:
        if not length.isdigit():
            raise Malformed(f"a length of {length!r}")
        return data[: int(length)], len(data) >= int(length), data[int(length) :]
    return data, closed, b""


def _read_chunks(data: bytes) -> tuple[bytes, bool, bytes]:
    """Return the body so far, its completeness and the bytes after it."""
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end:
            return body, False, b""
        size = line.split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]+", size):
            raise Malformed(f"a chunk size of {line[:40]!r}")
        count = int(size, 16)
        if count == 0:
            break
        body += rest[:count]
        if len(rest) < count + 2:
            return body, False, b""
        if rest[count : count + 2] != b"\r\n":
            raise Malformed("a chunk that does not end where it should")
        data = rest[count + 2 :]
    while True:  # trailers
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            return body, False, b""
        if not line:
            return body, True, rest
        _read_header(line)
