"""The table matches as express does: compared with the real router, and by its own laws."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.models import Route
from proxy.gateway.patterns import Pattern, Segment
from proxy.gateway.routing import RouteTable
from tests.support.profile import examples

LEGACY = Path(__file__).parents[3] / "demo" / "legacy"


def table(*matches: str) -> RouteTable:
    return RouteTable([Route(name=f"r{index}", match=match) for index, match in enumerate(matches)])


def matched(routes: RouteTable, method: str, path: str) -> str | None:
    match = routes.match(method, path.encode("latin-1"))
    return match.route.match if match else None


def lines_run(call: Callable[[], object]) -> int:
    """Count the lines of Python that a call runs: the same on every machine, under any load."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "path", ["/api/prompts", "/api/prompts/", "/API/Prompts", "/api/prompts#x", "/api/prompts/#/y", "/aPI/prompts#"]
)
def test_path_matches_in_any_case_and_with_one_trailing_slash(path: str) -> None:
    assert matched(table("GET /api/prompts"), "GET", path) == "GET /api/prompts"


@pytest.mark.parametrize(
    "path", ["", "*", "/api", "/api/prompts//", "//api/prompts", "/api//prompts", "/api/prompts/x", "/%61pi/prompts"]
)
def test_path_unknown_to_express_does_not_match(path: str) -> None:
    assert matched(table("GET /api/prompts", "GET /api/prompts/{a}/{b}"), "GET", path) is None


def test_encoded_slash_stays_inside_its_segment() -> None:
    routes = table("GET /api/notes/{id}")
    match = routes.match("GET", b"/api/notes/a%2Fb%20c/")
    assert match is not None
    assert match.params == {"id": "a/b c"}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"caf%C3%A9", "café"),
        (b"%E9", "%E9"),
        (b"%zz", "%zz"),
        (b"a%", "a%"),
        (b"%ED%A0%80", "%ED%A0%80"),
        (b"%2525", "%25"),
        (b"caf\xe9", "caf\xe9"),
    ],
)
def test_undecodable_parameter_matches(raw: bytes, value: str) -> None:
    match = table("GET /a/{x}").match("GET", b"/a/" + raw)
    assert match is not None
    assert match.params == {"x": value}


def test_wildcard_matches_all_paths_below() -> None:
    routes = table("GET /files/{owner}/*")
    match = routes.match("GET", b"/Files/Amara/a/B%20c//d/")
    assert match is not None
    assert match.params == {"owner": "Amara", "*": "a/B c//d/"}
    assert matched(routes, "GET", "/files/amara/") is None
    assert matched(routes, "GET", "/files/amara//") == "GET /files/{owner}/*"


def test_root_matches_two_slashes_as_in_express() -> None:
    routes = table("GET /")
    assert [matched(routes, "GET", path) for path in ("/", "//", "///")] == ["GET /", "GET /", None]


def test_first_route_in_the_file_wins() -> None:
    routes = table("GET /a/{x}/c", "* /a/b/{y}", "POST /a/b/c", "* /*")
    assert matched(routes, "GET", "/a/b/c") == "GET /a/{x}/c"
    assert matched(routes, "POST", "/a/b/c") == "* /a/b/{y}"
    assert matched(routes, "DELETE", "/a/b") == "* /*"
    assert matched(table("GET /{x}", "* /b"), "GET", "/b") == "GET /{x}"
    assert matched(table("GET /{x}", "* /b"), "POST", "/b") == "* /b"


def test_get_matches_head_unless_a_head_route_precedes() -> None:
    assert matched(table("GET /a"), "HEAD", "/a") == "GET /a"
    assert matched(table("HEAD /a", "GET /a"), "HEAD", "/a") == "HEAD /a"
    assert matched(table("HEAD /a"), "GET", "/a") is None


def test_star_matches_every_method_but_no_websocket() -> None:
    routes = table("* /a")
    assert [matched(routes, method, "/a") for method in ("GET", "HEAD", "OPTIONS", "FROB", "WS")] == [
        *["* /a"] * 4,
        None,
    ]


def test_websocket_paths_match_to_the_letter() -> None:
    routes = table("WS /transcription-stream", "WS /rooms/{room}", "WS /socket.io/", "GET /transcription-stream")
    assert matched(routes, "WS", "/transcription-stream") == "WS /transcription-stream"
    assert matched(routes, "WS", "/rooms/A") == "WS /rooms/{room}"
    assert matched(routes, "WS", "/socket.io/") == "WS /socket.io/"
    for path in ("/transcription-stream/", "/Transcription-stream", "/rooms/a/", "/rooms/", "/socket.io", "/ROOMS/a"):
        assert matched(routes, "WS", path) is None
    assert matched(table("WS /"), "WS", "/") == "WS /"
    assert matched(table("WS /"), "WS", "//") is None


def test_table_survives_pickling() -> None:
    routes = pickle.loads(pickle.dumps(table("GET /a", "GET /b/{x}")))
    assert matched(routes, "GET", "/b/c") == "GET /b/{x}"
    assert len({routes.match("GET", b"/a"), routes.match("GET", b"/a")}) == 1


def test_five_hundred_routes_are_matched_as_fast_as_twenty() -> None:
    def steps(count: int) -> int:
        routes = table(*(f"GET /api/{kind}{n}/{{id}}" for n in range(count // 2) for kind in ("notes", "prompts")))
        return lines_run(lambda: routes.match("GET", b"/api/notes7/64b7f0f0f0f0f0f0f0f0f0f0"))

    assert steps(500) == steps(20)


def test_cost_of_a_long_path_is_bounded_by_the_templates() -> None:
    routes = table("GET /a/{b}/c")
    assert lines_run(lambda: routes.match("GET", b"/" * 65_536)) == lines_run(lambda: routes.match("GET", b"/" * 64))


# The real router 2 and path-to-regexp 8: one path a line.

ROUTER = """
const Router = require('router')
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { routes, requests } = JSON.parse(line)
  const router = new Router()
  let taken
  routes.forEach(([method, path], index) => {
    router.route(path)[method](function take (req, res) { taken = [index, req.params] })
  })
  const answers = requests.map(([method, url]) => {
    taken = null
    router({ method, url }, {}, (error) => { if (error) taken = ['error'] })
    return taken
  })
  setImmediate(() => console.log(JSON.stringify(answers)))
})
"""

Taken = list[Any] | None


class Express:
    """A Node process that returns the route which the real router selects."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def take(self, patterns: Sequence[Pattern], requests: Sequence[tuple[str, str]]) -> list[Taken]:
        routes = [[pattern.method.lower().replace("*", "all"), express_path(pattern)] for pattern in patterns]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"routes": routes, "requests": requests}) + "\n")
        self._process.stdin.flush()
        answers: list[Taken] = json.loads(self._process.stdout.readline())
        return answers


def express_path(pattern: Pattern) -> str:
    def written(part: Segment) -> str:
        if not isinstance(part, str):
            return f":{part.name}"
        return "".join(f"\\{sign}" if sign in "(){}[]+?!:*\\" else sign for sign in part)

    return "/" + "/".join([*map(written, pattern.segments), *(["*rest"] if pattern.rest else [])])


@pytest.fixture(scope="module")
def express() -> Iterator[Express]:
    if shutil.which("node") is None or not (LEGACY / "node_modules" / "router").is_dir():
        pytest.skip("needs node and `npm ci` in demo/legacy")
    command = ["node", "-e", ROUTER]
    with subprocess.Popen(command, cwd=LEGACY, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Express(process)
        assert process.stdin is not None
        process.stdin.close()


words = st.sampled_from(["a", "B", "api", "a.b", "x-y", "c+d", "(e)", "%2F", "f:g", "@", "~h!"])
parts = st.one_of(words, st.sampled_from(["{x}", "{y}"]))
templates = st.builds(
    lambda middle, rest: "/" + "/".join([*middle, *(["*"] if rest else [])]),
    st.lists(parts, max_size=4).filter(lambda middle: middle.count("{x}") < 2 and middle.count("{y}") < 2),
    st.booleans(),
)
methods = st.sampled_from(["GET", "HEAD", "POST", "DELETE", "*"])
pieces = st.one_of(
    words, words.map(str.swapcase), st.sampled_from(["", "%2f", "%41", "%zz", "%E9", "caf\xe9", "a%20b"])
)
paths = st.lists(pieces, max_size=6).map(lambda segments: "/" + "/".join(segments))
sent = st.tuples(st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"]), paths)


@settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    declared=st.lists(st.tuples(methods, templates), min_size=1, max_size=8),
    requests=st.lists(sent, min_size=1, max_size=12),
)
def test_table_matches_as_express(
    express: Express, declared: list[tuple[str, str]], requests: list[tuple[str, str]]
) -> None:
    routes = table(*(f"{method} {path}" for method, path in declared))
    taken = express.take([route.pattern for route in routes.routes], requests)
    for (method, path), by_express in zip(requests, taken, strict=True):
        matched = routes.match(method, path.encode("latin-1"))
        if by_express == [
            "error"
        ]:  # a parameter that cannot be decoded, perhaps of another method: the backends answer 400
            assert any(routes.match(each.pattern.method, path.encode("latin-1")) for each in routes.routes)
        elif by_express is None:
            assert matched is None, (method, path)
        else:
            index, params = by_express
            assert matched is not None, (method, path)
            assert matched.route.name == f"r{index}", (method, path)
            rest = {"*": "/".join(params.pop("rest"))} if "rest" in params else {}
            assert matched.params == {**params, **rest}
