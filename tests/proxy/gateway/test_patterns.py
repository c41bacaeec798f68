"""Patterns in `match:`, and patterns that hide others."""

from __future__ import annotations

import pytest

from proxy.gateway.patterns import Cover, Parameter, Pattern, PatternError, answers


def test_pattern_is_a_method_and_segments() -> None:
    pattern = Pattern.parse("PATCH /api/prompts/{promptId}/add-prompt/{transcriptId}")
    assert pattern.method == "PATCH"
    assert pattern.segments == ("api", "prompts", Parameter("promptId"), "add-prompt", Parameter("transcriptId"))
    assert not pattern.rest


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("GET  /api/prompts/", "GET /api/prompts"),
        (" GET / ", "GET /"),
        ("* /*", "* /*"),
        ("GET /files/{id}/*", "GET /files/{id}/*"),
        ("WS /socket.io/", "WS /socket.io/"),
        ("WS /", "WS /"),
        ("GET /caf%C3%A9", "GET /caf%C3%A9"),
        ("M-SEARCH /a:b@c", "M-SEARCH /a:b@c"),
    ],
)
def test_pattern_prints_in_its_canonical_form(text: str, written: str) -> None:
    assert str(Pattern.parse(text)) == written
    assert Pattern.parse(written) == Pattern.parse(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a method and a path"),
        ("/api", "a method and a path"),
        ("GET /a b", "a method and a path"),
        ("GTE /a", "did you mean GET?"),
        ("get /a", "did you mean GET?"),
        ("FROB /a", "use an HTTP method"),
        ("CONNECT /a", "is not a method"),
        ("GET api", "must begin with a slash"),
        ("GET /a?b=1", "only the path is matched"),
        ("GET /a#b", "only the path is matched"),
        ("GET /café", "percent-encode"),
        ("GET /a//b", "an empty segment"),
        ("GET //", "an empty segment"),
        ("GET /:id", "write the parameter :id as {id}"),
        ("GET /{id}.json", "a parameter is a whole segment"),
        ("GET /{}", "a parameter is a whole segment"),
        ("GET /{a}/{a}", "names the parameter {a} twice"),
        ("GET /*/b", "may only be the last segment"),
        ("GET /a*", "may only be the last segment"),
        ("GET /%zz", "no request path"),
        ("GET /a\\b", "no request path"),
    ],
)
def test_invalid_pattern_is_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern.parse(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "method", "taken"),
    [
        ("GET", "GET", True),
        ("GET", "HEAD", True),
        ("HEAD", "GET", False),
        ("*", "DELETE", True),
        ("*", "WS", False),
        ("WS", "WS", True),
        ("GET", "WS", False),
        ("WS", "GET", False),
    ],
)
def test_get_pattern_matches_head_and_no_websocket(declared: str, method: str, taken: bool) -> None:
    assert answers(declared, method) is taken


@pytest.mark.parametrize(
    ("earlier", "later", "covered"),
    [
        ("GET /a", "GET /a/", True),
        ("GET /a", "GET /A", True),
        ("WS /a", "WS /A", False),
        ("WS /a", "WS /a/", False),
        ("GET /a/{x}", "GET /a/b", True),
        ("GET /a/{x}", "GET /a/{y}", True),
        ("GET /a/b", "GET /a/{x}", False),
        ("GET /a/*", "GET /a/{x}", True),
        ("GET /a/*", "GET /a/b/{c}/*", True),
        ("GET /a/*", "GET /a", False),
        ("GET /*", "GET /", False),
        ("GET /a/{x}", "GET /a/*", False),
        ("GET /{a}/{b}", "GET /a/b", True),
        ("GET /{a}/b", "GET /a/{b}", False),
        ("WS /a/*", "WS /a/", False),
        ("WS /a/{x}", "WS /a/", False),
        ("WS /a/*", "WS /a/b/", True),
        ("GET /a", "HEAD /a", True),
        ("HEAD /a", "GET /a", False),
        ("* /a", "POST /a", True),
        ("POST /a", "* /a", False),
        ("* /a", "WS /a", False),
    ],
)
def test_earlier_pattern_covers_a_later_one(earlier: str, later: str, covered: bool) -> None:
    cover = Cover()
    cover.add(Pattern.parse(earlier), 7)
    assert cover.covering(Pattern.parse(later)) == (7 if covered else None)


def test_first_of_several_covers_is_named() -> None:
    cover = Cover()
    for index, text in enumerate(["* /a/*", "GET /a/{x}", "GET /{y}/b"]):
        cover.add(Pattern.parse(text), index)
    assert cover.covering(Pattern.parse("GET /a/b")) == 0
    assert cover.covering(Pattern.parse("GET /c/b")) == 2
