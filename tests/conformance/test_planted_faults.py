"""The harness detects faults: with each one planted in the gateway, some case that was right becomes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.backends.legacy import connection, framing, headers, request
from proxy.server import body, request_head, response
from proxy.server.body import ChunkedBody, SizedBody
from proxy.server.request_head import RequestHead
from tests.conformance.cases import cases
from tests.conformance.entrances import LIMIT, SHORT_LIMIT
from tests.conformance.oracle import Oracle, node_oracle
from tests.conformance.run import Outcome, run_gateway

CASES = cases()
Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle | None]:
    with node_oracle() as opened:
        yield opened


def run(names: tuple[str, ...], directory: Path, oracle: Oracle | None, limit: float = LIMIT) -> list[Outcome]:
    chosen = [case for case in CASES if case.name in names]
    assert len(chosen) == len(names)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_gateway(chosen, directory, oracle, "oracle", lanes=1, limit=limit))


def drop_chunks(patch: pytest.MonkeyPatch) -> None:
    frame = request.RequestBody.frame
    patch.setattr(request.RequestBody, "frame", lambda self, _data, *, last: frame(self, b"", last=last))


def take_what_follows_an_answer_for_the_next(patch: pytest.MonkeyPatch) -> None:
    begin = connection.Connection.begin

    def begun(self: connection.Connection, **how: bool) -> None:
        left, complete = getattr(self, "left", b""), self.complete
        begin(self, **how)
        if complete and left:
            self.response.feed(left)

    def data_received(self: connection.Connection, data: bytes) -> None:
        self.left = data[data.find(b"HTTP/1.1", 1) :] if data.find(b"HTTP/1.1", 1) > 0 else b""  # type: ignore[attr-defined]
        receive(self, data)

    receive = connection.Connection.data_received
    patch.setattr(connection.Connection, "begin", begun)
    patch.setattr(connection.Connection, "data_received", data_received)
    patch.setattr(connection.Connection, "_end_response", lambda self, response: None)


def forward_transfer_encoding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(headers, "HOP_BY_HOP", headers.HOP_BY_HOP - {b"transfer-encoding"})
    patch.setattr(request, "_FRAMING", frozenset({b"content-length"}))


def forward_hop_by_hop_headers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(headers, "HOP_BY_HOP", frozenset({b"transfer-encoding"}))


def ignore_nominations(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(headers, "list_members", lambda _: [])


def let_connection_remove_host(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(headers, "PROTECTED", frozenset())


def forget_the_body_behind_an_upgrade(patch: pytest.MonkeyPatch) -> None:
    apply = request_head._apply_framing

    def forgetful(head: RequestHead, values: Mapping[bytes, bytes]) -> None:
        apply(head, values)
        if b"upgrade" in values:
            head.length = 0

    patch.setattr(request_head, "_apply_framing", forgetful)


def read_a_byte_too_few(patch: pytest.MonkeyPatch) -> None:
    begin = SizedBody.__init__
    patch.setattr(SizedBody, "__init__", lambda self, length: begin(self, max(1, length - 1)))


def take_lf_for_a_line_end(patch: pytest.MonkeyPatch) -> None:
    take = ChunkedBody._take_line

    def taken(self: ChunkedBody, line: bytes) -> None:
        take(self, line.rstrip(b"\r\n") + b"\r\n")

    patch.setattr(
        ChunkedBody, "_take_line", lambda self, line: take(self, line.removesuffix(b"\n").rstrip(b"\r") + b"\r\n")
    )


def trust_any_host(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(request_head, "_check_host", lambda *_: None)


def send_chunks_to_http_1_0(patch: pytest.MonkeyPatch) -> None:
    choose = response.ResponseFramer._choose_delimiter

    def chosen(self: response.ResponseFramer, method: str, _version: str, status: int) -> Any:
        return choose(self, method, "1.1", status)

    patch.setattr(response.ResponseFramer, "_choose_delimiter", chosen)


def end_a_cut_answer_as_if_whole(patch: pytest.MonkeyPatch) -> None:
    def end(self: framing.ResponseReader) -> bool:
        self.complete = True
        return True

    patch.setattr(framing.ResponseReader, "end", end)


def accept_an_answer_framed_twice(patch: pytest.MonkeyPatch) -> None:
    decide = framing._framing
    patch.setattr(framing, "_framing", lambda lengths, codings: decide([] if codings else lengths, codings))
    patch.setattr(framing, "_cached_decision", framing._decide)


def drop_the_check_of_chunk_sizes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(body.ChunkedBody, "_take_size", _take_any_size)


def _take_any_size(self: ChunkedBody, line: bytes) -> None:
    self.left = int(line.split(b";")[0].strip() or b"0", 16) % 2**32
    self._in_trailers = not self.left
    self._after_chunk = bool(self.left)


FAULTS: list[tuple[Plant, tuple[str, ...]]] = [
    (drop_chunks, ("Request framing: chunked",)),
    (take_what_follows_an_answer_for_the_next, ("Answer framing: a length, and an answer behind",)),
    (forward_transfer_encoding, ("Request framing: chunked", "Request framing: chunked and empty")),
    (forward_hop_by_hop_headers, ("Connections: hop by hop: TE: trailers",)),
    (ignore_nominations, ("Connections: Connection: 'X-A'", "Connections: Connection on two lines")),
    (let_connection_remove_host, ("Connections: Connection names host",)),
    (forget_the_body_behind_an_upgrade, ("Upgrade and Expect: h2c: a length", "Upgrade and Expect: x: chunks")),
    (read_a_byte_too_few, ("Request framing: a length",)),
    (take_lf_for_a_line_end, ("Chunked requests: chunks: data that ends in LF",)),
    (trust_any_host, ("Request heads: no Host", "Request heads: a Host with a space")),
    (send_chunks_to_http_1_0, ("Connections: HTTP/1.0 and a chunked answer",)),
    (end_a_cut_answer_as_if_whole, ("Answer framing: chunks cut before the last",)),
    (accept_an_answer_framed_twice, ("Answer framing: both a length and chunks",)),
    (drop_the_check_of_chunk_sizes, ("Chunked requests: chunks: a prefixed size",)),
]


def test_cases_pass_without_a_planted_fault(tmp_path: Path, oracle: Oracle | None) -> None:
    names = tuple(dict.fromkeys(name for _, names in FAULTS for name in names))
    assert [outcome.case.name for outcome in run(names, tmp_path, oracle) if outcome.finding.verdict] == []


@pytest.mark.parametrize(("plant", "names"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_planted_fault_is_detected(
    plant: Plant, names: tuple[str, ...], tmp_path: Path, oracle: Oracle | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert [outcome for outcome in run(names, tmp_path, oracle, SHORT_LIMIT) if outcome.finding.verdict]
