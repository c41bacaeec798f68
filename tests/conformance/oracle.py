"""Node's HTTP as the oracle of bytes: the requests that its server reads, or the answer that its client reads."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from tests.support.waiting import HANG_TIMEOUT

SCRIPT: Final = Path(__file__).with_name("oracle.cjs")
NODE: Final = shutil.which("node")


@dataclass(frozen=True, slots=True)
class Read:
    """One request that Node reads. `head` has lower-case names; `complete` is false if the bytes end within it."""

    method: bytes
    target: bytes
    head: tuple[bytes, ...]
    body: bytes
    trailers: tuple[bytes, ...]
    complete: bool

    @property
    def line(self) -> bytes:
        """The request as a case's `reaches` names it."""
        return b" ".join(part for part in (self.method, self.target, self.body) if part)


@dataclass(frozen=True, slots=True)
class ServerView:
    """Node's server on the bytes of one connection. `answers`: the raw bytes that it writes."""

    requests: tuple[Read, ...]
    answers: bytes
    closed: bool


@dataclass(frozen=True, slots=True)
class ClientView:
    """Node's client on the bytes of one answer; `status` is 0 and `error` set if it refuses them."""

    status: int
    body: bytes
    complete: bool
    error: str


class Oracle:
    """A Node process that evaluates one input at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def read_requests(self, data: bytes, *, strict: bool = False, stepped: bool = False) -> ServerView:
        """Return the requests that Node's server reads on a connection that carries `data`.

        `strict`: as Node's server comes; else it looks only at the framing, and takes any `Expect`. `stepped`: strict,
        and the server gets each byte when it has answered those before it.
        """
        kind = "stepped" if stepped else "strict" if strict else "framing"
        view = self._query({"kind": kind, "bytes": base64.b64encode(data).decode()})
        requests = tuple(_read(request) for request in view["requests"])
        return ServerView(requests, view["answers"].encode("latin-1"), view["closed"])

    def read_answer(self, data: bytes, method: bytes) -> ClientView:
        """Return the answer that Node's client reads in `data`, which ends with the connection."""
        view = self._query({"kind": "answer", "bytes": base64.b64encode(data).decode(), "method": method.decode()})
        return ClientView(view["status"], base64.b64decode(view["body"]), view["complete"], view["error"])

    def _query(self, question: dict[str, str]) -> dict[str, Any]:
        stdin, stdout = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        stdin.write(json.dumps(question).encode() + b"\n")
        stdin.flush()
        return cast("dict[str, Any]", json.loads(stdout.readline()))


@contextmanager
def node_oracle() -> Iterator[Oracle | None]:
    """Run the oracle; None if Node is not installed."""
    if NODE is None:
        yield None
        return
    with subprocess.Popen([NODE, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Oracle(process)
        finally:
            cast("IO[bytes]", process.stdin).close()
            process.wait(HANG_TIMEOUT)


def _read(request: dict[str, Any]) -> Read:
    return Read(
        request["method"].encode("latin-1"),
        request["target"].encode("latin-1"),
        _lines(request["headers"]),
        base64.b64decode(request["body"]),
        _lines(request["trailers"]),
        request["complete"],
    )


def _lines(flat: list[str]) -> tuple[bytes, ...]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return tuple(f"{name.lower()}: {value}".encode("latin-1") for name, value in pairs)
