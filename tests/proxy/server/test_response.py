"""Responses on the wire: which statuses and headers pass, and how each body is delimited."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.response import MAX_ZEROS, InvalidResponse, ResponseFramer

RawHeaders = list[tuple[bytes, bytes]]


def frame(
    status: int = 200,
    headers: RawHeaders | None = None,
    *,
    method: str = "GET",
    version: str = "1.1",
    keep_alive: bool = True,
) -> ResponseFramer:
    return ResponseFramer(method, version, status, headers or [], keep_alive=keep_alive)


class Received:
    """A client that reads an answer by llhttp."""

    complete = False
    body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def length(number: int) -> RawHeaders:
    return [(b"content-length", b"%d" % number)]


def test_body_of_known_length_is_sent_verbatim() -> None:
    framer = frame(headers=[(b"Content-Type", b"text/plain"), *length(5)])
    assert framer.head == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\n"
    assert framer.frame(b"abc", more=True) + framer.frame(b"de", more=False) == b"abcde"
    assert framer.keep_alive
    assert not framer.broken


def test_body_of_unknown_length_is_chunked() -> None:
    framer = frame()
    assert framer.head.endswith(b"transfer-encoding: chunked\r\n\r\n")
    parts = framer.frame(b"abc", more=True), framer.frame(b"", more=True), framer.frame(b"d" * 17, more=False)
    assert parts == (b"3\r\nabc\r\n", b"", b"11\r\n" + b"d" * 17 + b"\r\n0\r\n\r\n")


@given(st.lists(st.tuples(st.integers(0, 2 * MAX_ZEROS), st.binary(max_size=40))))
def test_probes_leave_a_chunked_body_as_it_is(parts: list[tuple[int, bytes]]) -> None:
    framer, written = frame(), b""
    for probes, body in parts:
        zeros = b"".join([framer.probe() for _ in range(probes)])
        assert set(zeros) <= set(b"0")
        written += zeros + framer.frame(body, more=True)
    assert framer.ends_with_connection is (not written.endswith(b"\r\n") and written != b"")
    written += framer.frame(b"", more=False)
    received = Received()
    httptools.HttpResponseParser(received).feed_data(framer.head + written)
    assert received.complete
    assert received.body == b"".join([body for _, body in parts])


@pytest.mark.parametrize("framer", [frame(headers=length(5)), frame(version="1.0"), frame(204), frame(method="HEAD")])
def test_only_chunked_bodies_can_be_probed(framer: ResponseFramer) -> None:
    assert framer.probe() == b""


def test_http_1_0_answer_without_a_length_closes() -> None:
    framer = frame(version="1.0")
    assert framer.head == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    assert framer.frame(b"abc", more=False) == b"abc"
    assert not framer.keep_alive


def test_http_1_0_keep_alive_is_echoed_for_a_known_length() -> None:
    framer = frame(headers=length(3), version="1.0")
    assert b"\r\nconnection: keep-alive\r\n" in framer.head
    assert framer.keep_alive


@pytest.mark.parametrize("status", [200, 299, 304, 404, 599, 600, 755, 999])
def test_final_status_is_encoded(status: int) -> None:
    assert frame(status).head.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("status", [-1, 0, 20, 99, 100, 101, 103, 199, 1000])
def test_status_that_is_not_final_is_refused(status: int) -> None:
    with pytest.raises(InvalidResponse):
        frame(status)


@pytest.mark.parametrize(
    ("method", "status", "has_length"),
    [("HEAD", 200, True), ("GET", 304, True), ("HEAD", 304, True), ("GET", 204, False)],
)
def test_bodiless_response_sends_no_body(method: str, status: int, has_length: bool) -> None:
    framer = frame(status, length(5), method=method)
    assert (b"content-length: 5\r\n" in framer.head) is has_length
    assert b"transfer-encoding" not in framer.head
    assert framer.frame(b"hello", more=False) == b""
    assert framer.keep_alive


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("status", [204, 304])
def test_bodiless_status_keeps_the_connection(status: int, version: str) -> None:
    assert frame(status, version=version).keep_alive


def test_upgrade_header_of_426_is_kept_and_listed() -> None:
    head = frame(426, [(b"upgrade", b"HTTP/3"), *length(0)]).head
    assert b"upgrade: HTTP/3\r\n" in head
    assert b"connection: upgrade\r\n" in head


def test_connection_close_of_the_app_is_respected() -> None:
    framer = frame(headers=[(b"connection", b"Close"), *length(0)])
    assert framer.head.count(b"connection: close\r\n") == 1
    assert not framer.keep_alive


def test_framing_headers_of_the_app_are_ignored() -> None:
    head = frame(headers=[(b"transfer-encoding", b"gzip"), (b"connection", b"keep-alive"), *length(2)]).head
    assert head == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize("value", [b"\x80\xff", b"\xc3\xa9", b"tab\there", b"\x01", b""])
def test_header_value_passes_unchanged(value: bytes) -> None:
    assert b"\r\nx: " + value + b"\r\n" in frame(headers=[(b"x", value)]).head


@given(st.binary(max_size=8), st.binary(max_size=8), st.sampled_from([b"\r", b"\n", b"\0", b"\r\n", b"\r\n\r\n"]))
def test_line_breaks_in_headers_are_refused(before: bytes, after: bytes, bad: bytes) -> None:
    for headers in ([(b"x", before + bad + after)], [(b"x" + bad, b"y")]):
        with pytest.raises(InvalidResponse):
            frame(headers=headers)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"\xe9", b"(x)"])
def test_invalid_header_name_is_refused(name: bytes) -> None:
    with pytest.raises(InvalidResponse):
        frame(headers=[(name, b"x")])


@pytest.mark.parametrize("values", [[b"x"], [b"-1"], [b"1", b"2"], [b""], [b"1, 1"]])
def test_faulty_content_length_is_refused(values: list[bytes]) -> None:
    with pytest.raises(InvalidResponse):
        frame(headers=[(b"content-length", value) for value in values])


def test_repeated_equal_lengths_are_merged() -> None:
    assert frame(headers=[*length(3), *length(3)]).head.count(b"content-length") == 1


@given(st.integers(0, 20), st.lists(st.binary(max_size=8), min_size=1, max_size=5))
def test_body_never_exceeds_its_length_and_a_mismatch_closes(announced: int, parts: list[bytes]) -> None:
    framer = frame(headers=length(announced))
    sent = b""
    for index, part in enumerate(parts):
        sent += framer.frame(part, more=index < len(parts) - 1)
        if framer.broken:
            break
    whole = b"".join(parts)
    assert whole.startswith(sent)
    assert len(sent) <= announced
    assert framer.broken == (len(whole) != announced)
    assert framer.keep_alive != framer.broken


NAMES = st.sampled_from(
    [b"a", b"Content-Length", b"connection", b"upgrade", b"bad name", b"date", b"transfer-encoding"]
)
VALUES = st.sampled_from([b"", b"5", b"7", b"close", b"x-a, keep-alive", b"a\r\nb", b"a\n"])


@given(st.sampled_from([200, 204, 304, 426, 99]), st.lists(st.tuples(NAMES, VALUES), max_size=5), st.booleans())
def test_recurring_headers_are_framed_as_the_first_time(status: int, headers: RawHeaders, keep_alive: bool) -> None:
    def outcome(given_headers: RawHeaders | tuple[tuple[bytes, bytes], ...]) -> object:
        try:
            framer = ResponseFramer("GET", "1.1", status, given_headers, keep_alive=keep_alive)
        except InvalidResponse as invalid:
            return str(invalid)
        return framer.head, framer.keep_alive, framer.frame(b"12345", more=False), framer.broken

    assert outcome(tuple(headers)) == outcome(tuple(headers)) == outcome(headers)


def test_added_headers_follow_and_cannot_break_the_head() -> None:
    added = [(b"x-request-id", b"1")]
    framer = ResponseFramer("GET", "1.1", 200, tuple(length(0)), keep_alive=True, added=added)
    assert framer.head == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-request-id: 1\r\n\r\n"
    with pytest.raises(InvalidResponse):
        ResponseFramer("GET", "1.1", 200, (), keep_alive=True, added=[(b"a", b"1\r\nb: 2")])
