"""Paths, compared with encodeurl and `decodeURIComponent`, and patterns alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.express.error_pages import encode_url, error_page
from handlers.legacy.express.paths import Pattern, UndecodableError, decode_component
from tests.support.library_oracle import Libraries, Refused
from tests.support.profile import examples

LATIN = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=12)
ESCAPED = st.text(st.sampled_from("a%2EC39fF[]{}\xe9z"), max_size=12)


@settings(max_examples=examples(400), deadline=None)
@given(LATIN | ESCAPED)
def test_encodes_as_encodeurl(node: Libraries, text: str) -> None:
    try:
        expected = node.call("encodeUrl", text)
    except Refused as refusal:  # pragma: no cover
        pytest.fail(str(refusal))
    assert encode_url(text) == expected


@settings(max_examples=examples(300), deadline=None)
@given(ESCAPED)
def test_decodes_as_javascript(node: Libraries, text: str) -> None:
    try:
        expected = node.call("decode", text)
    except Refused:
        with pytest.raises(UndecodableError):
            decode_component(text)
    else:
        assert decode_component(text) == expected


def test_mount_covers_whole_segments() -> None:
    mount = Pattern("/api/notes", whole=False)
    assert mount.match("/API/notes/1/2") == (10, {})
    assert mount.match("/api/notes/") == (11, {})
    assert mount.match("/api/notes//x") == (10, {})
    assert mount.match("/api/notesx") is None


def test_route_parameters_are_decoded() -> None:
    route = Pattern("/:promptId/add-prompt/:transcriptId", whole=True)
    match = route.match("/a%2Fb/ADD-PROMPT/c%20d/")
    assert match is not None
    assert match.params == {"promptId": "a/b", "transcriptId": "c d"}
    assert route.match("/a/add-prompt/b//") is None


def test_status_without_a_phrase_has_a_page() -> None:
    assert b"<pre>undefined</pre>" in error_page(499)
