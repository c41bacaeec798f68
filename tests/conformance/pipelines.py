"""Pipelines of requests, as Node's server answers them beside the gateway."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.conformance.answers import Answer, read_answers
from tests.conformance.client import connect
from tests.conformance.entrances import Entrance
from tests.conformance.oracle import Oracle, Read
from tests.conformance.run import read_recording
from tests.conformance.upstream import Recording

DECLARED: Final = re.compile(
    rb"RTSP|ICE/|HTTP/0\.9|HTTP/2\.0|(?m:^)[A-Z-]+ (?![^\r\n]* HTTP/1\.[01]\r?(?m:$))"
    rb"|(?i:expect:|proxy-connection|connect |//|connection:[^\r\n]*upgrade)"
    rb"|(?i:connection|encoding|length)[^\r\n]*\t|(?i:encoding): *\r\n"
    rb"|(?m:^)[0-9A-Fa-f]+;[^\r\n]*[;=](?:\r|;|=)|(?m:^)[0-9A-Fa-f]{17}"
)
"""Bytes that occur where the gateway may differ from Node ("Differences from Node" in docs/http.md)."""


@dataclass(frozen=True, slots=True)
class PipelineOutcome:
    """The outcome of one pipeline.

    `answers`: the status of each complete answer, and `METHOD target` that the server read if it answered 200 with a
    body. `reached`: the complete requests that got a 200, as method, target, body. `closed`: the connection was closed.
    """

    answers: tuple[tuple[int, bytes], ...]
    reached: tuple[tuple[bytes, bytes, bytes], ...]
    closed: bool


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """Node's outcome, and the requests that it read."""

    outcome: PipelineOutcome
    requests: tuple[Read, ...]

    @property
    def methods(self) -> list[bytes]:
        """The methods of the requests."""
        return [request.method for request in self.requests]

    def is_declared(self, sent: bytes) -> bool:
        """Return whether a documented difference may show: the gateway is stricter, above all about `Host`."""
        hosts = ([line for line in each.head if line.startswith(b"host:")] for each in self.requests)
        return DECLARED.search(sent) is not None or any(each != [b"host: a"] for each in hosts)


def play_on_node(oracle: Oracle, sent: bytes) -> NodeOutcome:
    """Return the outcome of the bytes with Node's server, which gets each when those before it are answered."""
    view = oracle.read_requests(sent, stepped=True)
    methods = [request.method for request in view.requests]
    answers = [answer for answer in read_answers(view.answers, methods, closed=view.closed) if answer.complete]
    served = [each for each, answer in zip(view.requests, answers, strict=False) if answer.status == 200]
    lines = iter([each.method + b" " + each.target for each in served])
    shown = tuple((each.status, next(lines) if each.status == 200 else b"") for each in answers)
    return NodeOutcome(PipelineOutcome(shown, tuple(map(_facts, served)), view.closed), view.requests)


async def play_on_gateway(
    entrance: Entrance, oracle: Oracle, pieces: list[bytes], expected: NodeOutcome
) -> PipelineOutcome:
    """Return the outcome with the gateway, as soon as it has answered as often as Node did, and closed if Node did."""
    recordings = entrance.upstream.recordings
    del recordings[:-1]  # the pool keeps at most one
    marks = [len(each.segments) for each in recordings]
    client = await connect(entrance.port)
    try:
        await client.write(pieces, entrance.pause)
        await client.wait_for(len(expected.outcome.answers), expected.methods, entrance.timeout)
        if expected.outcome.closed:
            await client.wait_for(len(pieces) + 1000, expected.methods, entrance.timeout)
        answers, closed = client.answers(expected.methods), client.closed
    finally:
        client.transport.abort()
    marks += [0] * (len(recordings) - len(marks))
    news = [Recording(each.segments[mark:], each.ended) for each, mark in zip(recordings, marks, strict=True)]
    reached = tuple(_facts(read) for each in news for read in read_recording(each, oracle) if read.complete)
    lines = zip(answers, [*expected.requests, *[None] * len(answers)], strict=False)
    return PipelineOutcome(tuple((each.status, _echo(each, read)) for each, read in lines), reached, closed)


def _echo(answer: Answer, read: Read | None) -> bytes:
    """Return the request that an echo repeats; for a HEAD, which has no body, the one that Node read."""
    if answer.status == 200 and not answer.body and read is not None and read.method == b"HEAD":
        return b"HEAD " + read.target
    return answer.body.rpartition(b" ")[0] if answer.status == 200 else b""


def _facts(read: Read) -> tuple[bytes, bytes, bytes]:
    return read.method, read.target, read.body
