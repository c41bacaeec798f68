"""Targets, compared with parseurl, and the targets that mounted routers read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.express.targets import UnroutableError, below, split_target
from tests.support.library_oracle import Libraries, Refused
from tests.support.profile import examples


def parsed(node: Libraries, target: str) -> list[str | None]:
    """Return the pathname and the query by parseurl, or the name on express's page for a target without a pathname."""
    try:
        path, query = node.call("target", target)
    except Refused:
        return ["resource"]
    return ["null"] if path is None else [path, query]


def in_python(target: str) -> list[str | None]:
    try:
        return list(split_target(target))
    except UnroutableError as error:
        return [str(error)]


TARGETS = [
    "/a",
    "/a?b",
    "/a?",
    "/a?b?c",
    "/a#b",
    "/a?b#c",
    "/a#b?c",
    "/a b",
    "/\xa0a",
    "/a\xa0",
    "//a#",
    "//a/b#c",
    "/\\a#b",
    "/a{b}|^`'\"<>#",
    "/a?{b}'#",
    "*",
    "http://host",
    "http://host/",
    "http://host/a?b",
    "http://host?b",
    "HTTP://HOST/a",
    "http://user:pass@host:80/a/b",
    "/http://x/y",
    "http://user:pass@host:port/a",
    "http://host;b/c",
    "http://[::1]",
    "http://[::1]:80?a",
    "http://host[/a",
    "javascript://host/a{b}",
    "x://host",
    "//a@b",
    "//a@b#",
    "//a@b/c#",
    "//a@b:80/c?d#e",
    "//a@b:c/d#",
    "//%@b/c#",
    "//a@b@c/d#",
    "//a/@b#",
    "/;{\xa0",
    "/a@b#{",
    f"http://{'h' * 256}",
]


@pytest.mark.parametrize("target", TARGETS)
def test_splits_targets_as_parseurl(node: Libraries, target: str) -> None:
    assert in_python(target) == parsed(node, target)


PIECES = st.sampled_from([*"/a?#%\\{'b=@:;[]", "//", "//a@b", "://", "%zz", "%2F"])
FORMS = st.sampled_from(["/", "//", "//a@b", "http://h", "https://a@h:1", "ftp://h;", "javascript://h", "*"])


@settings(max_examples=examples(500), deadline=None)
@given(st.tuples(FORMS, st.lists(PIECES, max_size=6)).map(lambda drawn: drawn[0] + "".join(drawn[1])))
def test_splits_any_target_as_parseurl(node: Libraries, target: str) -> None:
    assert in_python(target) == parsed(node, target)


@pytest.mark.parametrize(
    ("target", "length", "rest"),
    [
        ("/things/x#y", 7, "/x#y"),
        ("/things?x#y", 7, "/?x#y"),
        ("/things", 7, "/"),
        ("http://h/things/x?y", 7, "http://h/x?y"),
        ("http://h?x=/y", 1, "http://h?x=y"),
        ("//a@b/things/x#", 7, "/hings/x#"),
        ("*", 1, "/"),
    ],
)
def test_mounted_router_receives_the_remaining_path(target: str, length: int, rest: str) -> None:
    assert below(target, length) == rest
