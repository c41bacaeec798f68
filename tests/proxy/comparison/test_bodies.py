"""Bodies are compared by their values, without regard to their encoding."""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.bodies import read, words
from proxy.comparison.content_encoding import LIMIT, CodingError, OversizeError, decode
from proxy.comparison.exchanges import compare
from proxy.comparison.modes import DRY_RUN
from tests.support.exchanges import exchange, object_id

FORM = "application/x-www-form-urlencoded"


def bare(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": bare,
    "br": functools.partial(brotli.compress, quality=1),
    "identity": bytes,
    "": bytes,
}

GZIP = [("content-encoding", "gzip")]


def fields(legacy: bytes, native: bytes, kind: str, other: str = "") -> list[tuple[str, str]]:
    verdict = compare(exchange(legacy, kind), exchange(native, other or kind))
    return [(one.field, one.kind) for one in verdict.differences]


@given(st.binary(max_size=300), st.sampled_from(sorted(CODERS)))
def test_encoded_body_is_decoded(data: bytes, coding: str) -> None:
    assert decode(CODERS[coding](data), coding) == data


def test_codings_are_undone_in_reverse_order() -> None:
    assert decode(brotli.compress(gzip.compress(b"x")), "gzip, br") == b"x"


def test_gzip_may_have_members_and_padding() -> None:
    assert decode(gzip.compress(b"a") + gzip.compress(b"b") + b"\0\0", "gzip") == b"ab"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_truncated_or_corrupt_coding_raises_an_error(coding: str) -> None:
    packed = CODERS[coding](bytes(range(256)) * 9)
    for wrong in (packed[:-9], packed[: len(packed) // 2], b"\xff" * 40, b""):
        with pytest.raises(CodingError):
            decode(wrong, coding)


def test_unknown_coding_is_an_error() -> None:
    with pytest.raises(CodingError):
        decode(b"x", "zstd")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "Deflate", "br"])
def test_decoding_stops_at_the_limit(coding: str) -> None:
    assert len(decode(CODERS[coding](bytes(LIMIT)), coding)) == LIMIT
    for size in (LIMIT + 1, LIMIT * 10):
        with pytest.raises(OversizeError):
            decode(CODERS[coding](bytes(size)), coding)
    with pytest.raises(OversizeError):
        decode(gzip.compress(bytes(LIMIT)) * 2, "gzip")


@pytest.mark.parametrize("coding", sorted(CODERS))
def test_compressed_and_plain_answers_differ_in_content_encoding(coding: str) -> None:
    body = json.dumps({"note": "Rest and fluids. " * 20}).encode()
    packed = exchange(CODERS[coding](body), headers=[("content-encoding", coding)] if coding else [])
    plain = coding in ("", "identity")
    expected = [] if plain else [("header.content-encoding", "missing", "major")]
    assert [(one.field, one.kind, one.severity) for one in compare(packed, exchange(body)).differences] == expected
    assert compare(packed, packed).name == "match"


def test_broken_coding_is_a_difference_of_type() -> None:
    broken = exchange(b"not gzip", headers=[("content-encoding", "gzip")])
    plain = exchange(b"{}", headers=[("content-encoding", "gzip")])
    assert [one.kind for one in compare(broken, exchange(gzip.compress(b"{}"), headers=GZIP)).differences] == ["type"]
    assert compare(plain, plain).name == "match"
    assert compare(broken, broken).name == "match"


def test_charsets_are_decoded() -> None:
    text = '{"name":"Zoë"}'
    latin, wide = (exchange(text.encode(one), f"application/json; charset={one}") for one in ("latin-1", "utf-16"))
    verdict = compare(latin, wide)
    assert [one.field for one in verdict.differences] == ["header.content-type"]
    assert read(text.encode("latin-1"), 'text/plain; Charset="ISO-8859-1"').value == text


@pytest.mark.parametrize("charset", ["idna", "punycode", "unicode_escape", "hex", "zip", "nobody-knows"])
def test_unknown_charset_is_read_as_utf_8(charset: str) -> None:
    assert read("Zoë".encode(), f"text/plain; charset={charset}").value == "Zoë"


def test_bytes_outside_the_charset_are_binary() -> None:
    assert read(b"\xff\xfe\xfd", "text/plain").form == "binary"
    assert fields(b"\xff\x01", b"\xff\x02", "text/plain") == [("body", "value")]


@pytest.mark.parametrize(
    ("kind", "body", "form"),
    [
        ("application/json", b"[]", "json"),
        ("application/problem+json; charset=utf-8", b"{}", "json"),
        ("APPLICATION/JSON", b"1", "json"),
        ("application/json", b"{", "text"),
        (FORM, b"a=1", "form"),
        ("text/html", b"<p>", "html"),
        ("text/csv", b"a,b", "text"),
        ("image/svg+xml", b"<svg/>", "text"),
        ("", b"plain", "text"),
        ("image/png", b"\x89PNG", "binary"),
        ("application/octet-stream", b"text", "binary"),
        ("text/plain", b"", "none"),
    ],
)
def test_forms_of_bodies(kind: str, body: bytes, form: str) -> None:
    assert read(body, kind).form == form


def test_forms_compare_by_field() -> None:
    assert fields(b"a=1&b=x+y", b"a=1&b=x%20y", FORM) == [("body", "format")]
    assert fields(b"a=1&b=2", b"a=1&b=3", FORM) == [("body.b.*", "value")]
    assert fields(b"a=1&a=2", b"a=1", FORM) == [("body.a.*", "missing")]
    assert fields(b"a=", b"", FORM) == [("body", "missing")]
    assert read(b"a&" * 5000, FORM).form == "text"


def multipart(*parts: bytes, boundary: str) -> bytes:
    lines = (b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
    return b"".join(lines) + b"--%s--\r\n" % boundary.encode()


def test_multipart_compares_by_part_and_not_by_boundary() -> None:
    note = b'content-disposition: form-data; name="note"\r\nContent-Type: application/json\r\n\r\n{"a": %d}'
    file = b'content-disposition: form-data; name="f"\r\ncontent-type: image/png\r\n\r\n\x89%b'
    kinds = [f'multipart/form-data; boundary="{one}"' for one in ("one", "two")]
    legacy = multipart(note % 1, file % b"x", boundary="one")
    assert not fields(legacy, multipart(note % 1, file % b"x", boundary="two"), *kinds)
    assert fields(legacy, multipart(note % 2, file % b"y", boundary="two"), *kinds) == [
        ("body.*.body.a", "value"),
        ("body.*.body.sha256", "value"),
    ]


@pytest.mark.parametrize("head", [b'form-data; name="F"', b'form-data; name="f"; filename="a"', b"attachment"])
def test_head_of_a_part_is_compared_as_spelled(head: bytes) -> None:
    kind, part = "multipart/form-data; boundary=x", b"Content-Disposition: %b\r\n\r\n1"
    one, other = (multipart(part % each, boundary="x") for each in (b'form-data; name="f"', head))
    assert fields(one, other, kind, kind) == [("body.*.headers.content-disposition", "value")]
    assert not fields(one, one.replace(b"Content-D", b"content-d"), kind, kind)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/mixed; boundary="]
)
def test_malformed_multipart_is_binary(kind: str) -> None:
    assert read(b"--x\r\n\r\ncut short", kind).form == "binary"


def test_part_within_a_part_is_bytes() -> None:
    inner = b"content-type: multipart/mixed; boundary=y\r\n\r\n--y--"
    parts = read(multipart(inner, b"\r\nbare", boundary="x"), "multipart/mixed; boundary=x").as_json
    assert isinstance(parts, list)
    assert [one["form"] for one in parts if isinstance(one, dict)] == ["binary", "text"]


def test_html_compares_by_its_words_then_by_its_markup() -> None:
    page = b"<html><body><h1 class=a>Error</h1>\n <pre>Cannot GET /x &amp; y</pre></body></html>"
    other = b"<h1>Error</h1><pre>Cannot GET\n/x &#38; y</pre>"
    assert fields(page, other, "text/html") == [("body", "format")]
    assert fields(page, page.replace(b"GET", b"PUT"), "text/html; charset=utf-8") == [("body", "value")]
    assert words("a<b") == "a"
    assert words("<<p>x</p") == "x"


def test_text_compares_literally_except_for_ids() -> None:
    old, new = (f"note {object_id(serial)} is gone".encode() for serial in (1, 2))
    assert fields(old, new, "text/plain") == [("body", "value")]
    assert compare(exchange(old, "text/plain"), exchange(new, "text/plain"), mode=DRY_RUN).name == "match"
    assert fields(old, new.replace(b"gone", b"here"), "text/plain") == [("body", "value")]
    assert fields(old, b"note 1 is gone", "text/plain") == [("body", "value")]


def test_binary_compares_by_its_bytes() -> None:
    assert not fields(b"\x00\x01", b"\x00\x01", "image/png")
    assert fields(b"\x00\x01", b"\x00\x02", "image/png") == [("body", "value")]


@given(
    st.binary(max_size=80), st.sampled_from(["application/json", FORM, "text/html", "multipart/x; boundary=a", "", "x"])
)
def test_reading_a_body_never_fails(data: bytes, kind: str) -> None:
    assert compare(exchange(data, kind), exchange(data, kind)).name == "match"
    assert read(data, kind).form
