"""The native dialect compared with the real express: the same raw requests, answers, and order of headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message

from handlers.legacy.express import Application, Faults, Handler, Reply, Request, Router, encoded_json, json
from handlers.legacy.express.bodies import json_parser
from handlers.legacy.express.cors import Cors
from tests.support import express_pair
from tests.support.profile import examples, spread

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = ("Origin", "http://localhost:3000")
WELCOME_TAG = 'W/"1f-HGffxx6uobnTz2YvR5DpyWJg/Ao"'


PATHS = [
    "/",
    "//",
    "///",
    "/?",
    "/?a=1",
    "/nope",
    "/NOPE?x=1",
    "/%3Cscript%3E",
    "/<script>\"'&`{}|^[]",
    "/a%",
    "/a%zz%20",
    "/a#b",
    "/#",
    "/things#x",
    "/things/a#x?y=1",
    "/things/a{b}'#x",
    "/things?a=1#b=2",
    "/things",
    "/things/",
    "/things//",
    "/things///",
    "//things",
    "/THINGS",
    "/Things/Fixed",
    "/things/fixed/",
    "/things/fixed//",
    "/things/a/b",
    "/things//a",
    "/things/a%2Fb",
    "/things/a%20b/",
    "/things/%E2%82%AC",
    "/things/%e2%82",
    "/things/%",
    "/things/%zz",
    "/things/a+b",
    "/things/a;b=c,d@e:f$g",
    "/things/..",
    "/things/../x",
    "/things/./x",
    "/things/\\x",
    "/thingsx",
    "/things?x=1&x=2",
    "/things/?x",
    "/things//?x",
    "/api/things",
    "/api/things/",
    "/api/things/x/y/z",
    "/api//things",
    "/api/thing",
    "/echo",
    "/ECHO/a/B",
    "/echo/a//b/",
    "/echo?",
    "/echo?&&",
    "/echo??a=b",
    "/echo?a=b?c",
    "/echo/%zz?%zz",
    "/status/200",
    "/status/201",
    "/status/404",
    "/status/500",
    "/fail/302",
    "/fail/399",
    "/fail/600",
    "/fail/404",
    "/fail/413",
    "/fail/418",
    "/fail/499",
    "/fail/503",
    "http://example.com/echo/a?b=c",
    "http://example.com/things/x",
    "http://example.com/nope/<x>",
    "HTTP://example.com/THINGS",
    "http://h;a/things",
    "http://h%41/things",
    "http://[::1]/things/x#y",
    "file://h/things/x",
    "javascript://h/things",
    "//a@b/things",
    "//a@b/things#",
    "//a@b/things/x?y#",
    "//a@b;/things#",
    "//a:b@c:d/things#?x",
    "//a@b#",
    "//a@b?things#",
    "//%@b/things#",
    "//a@[b/things#",
    "/things\\x#",
    "/things\\x",
    "/things/{x}?{y}#",
    "/things#/x",
    "/things@#",
    "*",
]


ORIGINS = [
    [],
    [ORIGIN],
    [("Origin", "https://evil.example")],
    [("Origin", "HTTP://LOCALHOST:3000")],
    [("Origin", "")],
    [("Origin", "null")],
    [ORIGIN, ORIGIN],
    [ORIGIN, ("Access-Control-Request-Headers", "x-a,x-b"), ("Access-Control-Request-Method", "PUT")],
    [("Origin", "http://localhost:3001"), ("Access-Control-Request-Private-Network", "true")],
]
CONDITIONS = [
    [("If-None-Match", WELCOME_TAG)],
    [("If-None-Match", WELCOME_TAG[2:])],
    [("If-None-Match", f'"a", {WELCOME_TAG} , "b"')],
    [("If-None-Match", f'"a,{WELCOME_TAG}')],
    [("If-None-Match", '"a"'), ("If-None-Match", WELCOME_TAG)],
    [("If-None-Match", "*")],
    [("If-None-Match", "*, *")],
    [("If-None-Match", "")],
    [("If-None-Match", "w/" + WELCOME_TAG[2:])],
    [("If-None-Match", "W/" + WELCOME_TAG)],
    *(
        [("If-None-Match", f'"a",{before}{WELCOME_TAG}{after},"b"')]
        for before, after in product(("", " ", "  ", "\t", "\xa0", "\x85"), repeat=2)
    ),
    [("If-None-Match", "*"), ("Cache-Control", "no-cache")],
    [("If-None-Match", "*"), ("Cache-Control", "max-age=0, no-cache ,x")],
    [("If-None-Match", "*"), ("Cache-Control", "max-age=0"), ("Cache-Control", "no-cache")],
    [("If-None-Match", "*"), ("Cache-Control", "no-cache=x")],
    *([("If-None-Match", "*"), ("Cache-Control", f"no-cache{blank}")] for blank in ("\x85", "\xa0", " \t")),
    [("If-None-Match", "*"), ("Cache-Control", "NO-CACHE")],
    [("If-Modified-Since", "Sun, 22 Nov 2026 00:00:00 GMT")],
    [("If-None-Match", "*"), ("If-Modified-Since", "Sun, 22 Nov 2026 00:00:00 GMT")],
]
REPEATED = [
    [("Cookie", "a=1"), ("Cookie", "b=2"), ("X-A", "1"), ("X-A", "2"), ("x-a", "3")],
    [("Authorization", "a b"), ("Authorization", "c d")],
    [("User-Agent", "x"), ("User-Agent", "y"), ("Referer", "1"), ("Referer", "2")],
    [("Content-Type", "a/b"), ("Content-Type", "c/d"), ("If-Modified-Since", "1"), ("If-Modified-Since", "2")],
    [("X-Latin", "caf\xe9"), ("X-Space", "  a b \t"), ("X-Empty", ""), ("X-Empty", "1")],
    [("Accept", "a"), ("Accept", "b"), ("From", "a"), ("From", "b"), ("Server", "a"), ("Server", "b")],
    [("Age", "a"), ("Age", "b"), ("Expires", "a"), ("Expires", "b"), ("Retry-After", "1"), ("Retry-After", "2")],
    [("Expect", "100-continue")],
    [("Expect", "something")],
    [("Expect", "x, 100-CONTINUE")],
]


OTHER_METHODS = ("HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS")


@pytest.mark.parametrize("method", ["GET", *OTHER_METHODS])
async def test_answers_paths_as_express(express: int, native: int, method: str) -> None:
    targets = PATHS if method == "GET" else spread(PATHS, OTHER_METHODS.index(method), len(OTHER_METHODS))
    requests = {target: express_pair.request(method, target, [("Authorization", "x")]) for target in targets}
    assert await express_pair.differences(native, express, requests) == {}


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "HEAD"])
async def test_answers_origins_as_cors(express: int, native: int, method: str) -> None:
    requests = {
        f"{target} {headers}": express_pair.request(method, target, headers)
        for target in ("/", "/nope", "/api/things", "/things/%zz")
        for headers in ORIGINS
    }
    assert await express_pair.differences(native, express, requests) == {}


@pytest.mark.parametrize(("method", "way", "ways"), [("GET", 0, 2), ("HEAD", 1, 2), ("POST", 0, 3)])
async def test_freshness_equals_express(express: int, native: int, method: str, way: int, ways: int) -> None:
    conditional = [*product(("/", "/status/201", "/status/404", "/nope"), CONDITIONS)]
    requests = {
        f"{target} {headers}": express_pair.request(method, target, headers)
        for target, headers in spread(conditional, way, ways)
    }
    assert await express_pair.differences(native, express, requests) == {}


async def test_joins_headers_as_node(express: int, native: int) -> None:
    requests = {str(headers): express_pair.request("GET", "/headers", headers) for headers in REPEATED}
    assert await express_pair.differences(native, express, requests) == {}


async def test_reads_fields_as_a_script(express: int, native: int) -> None:
    requests = {
        f"{kind} {body!r}": express_pair.request("POST", "/take", [("Content-Type", kind)], body)
        for kind in ("application/json", "text/plain")
        for body in (None, b"", b"[]", b"[1]", b"{}", b'{"a":1}', b'{"b":null,"a":[]}', b"x")
    }
    assert await express_pair.differences(native, express, requests) == {}


SEGMENT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=6)
ODD = st.sampled_from(
    ["/", "//", "/things", "/api/things", "/echo", "%2F", "%", "%41", "%C3%A9", "?", "&", "=", "+", ".", "#", "\\", "@"]
)
ORIGIN_FORMS = st.sampled_from(["/", "/", "/", "//a@b", "//a@b/things", "http://h", "ftp://h:1/things"])
HOST = re.compile(r"\w+://(?:h|h:1)(?:[/?]|\Z)")  # the listener refuses any other authority than one of RFC 9112
TARGET = st.tuples(ORIGIN_FORMS, st.lists(ODD | SEGMENT, max_size=6)).map(lambda parts: parts[0] + "".join(parts[1]))


@settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(method=st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE"]), target=TARGET)
async def test_answers_any_path_as_express(express: int, native: int, method: str, target: str) -> None:
    assume(target.startswith("/") or HOST.match(target))
    raw = express_pair.request(method, target, [("Authorization", "x")])
    assert await express_pair.send(native, raw) == await express_pair.send(express, raw)


TAG_PIECES = st.sampled_from(
    [WELCOME_TAG, WELCOME_TAG[2:], *("*", ",", " ", "\t", '"', "W/", "w/", '"a"', "x", ";", "\xa0")]
)
CACHE_PIECES = st.sampled_from(
    ["no-cache", "NO-CACHE", "no-cache=x", "max-age=0", ",", " ", "\t", '"', "=", "\xa0", "\x85"]
)


def headers_of(name: str, pieces: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Draw a header of any pieces, at most twice."""
    return st.lists(st.lists(pieces, max_size=6).map(lambda drawn: (name, "".join(drawn))), max_size=2)


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(headers_of("If-None-Match", TAG_PIECES), headers_of("Cache-Control", CACHE_PIECES))
async def test_any_condition_is_fresh_as_in_express(
    express: int, native: int, tags: list[tuple[str, str]], cache: list[tuple[str, str]]
) -> None:
    raw = express_pair.request("GET", "/", [*tags, *cache])
    assert await express_pair.send(native, raw) == await express_pair.send(express, raw)


class Conversation:
    """One request to an application without a server: the messages that it receives, and those that it sends."""

    def __init__(self, *messages: Message, method: str = "GET", path: str = "/", headers: Headers = ()) -> None:
        self.sent: list[Message] = []
        self.messages = list(messages)
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": list(headers),
        }

    async def _receive(self) -> Message:
        return self.messages.pop(0)

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    async def hold(self, application: ASGIApp) -> tuple[int, bytes] | None:
        """Return the status and the body of the answer, or None if there is none."""
        await application(self.scope, self._receive, self._send)
        return (self.sent[0]["status"], self.sent[1]["body"]) if self.sent else None


Headers = Sequence[tuple[bytes, bytes]]
GONE: Message = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def application(handler: Handler, faults: Faults | None = None) -> Application:
    router = Router()
    router.use("/", json_parser(100))
    router.use("/", handler)
    return Application(router, Cors([], "GET", "X"), faults)


async def crash(_: Request) -> Reply:
    raise LookupError("a secret")


async def test_crash_page_shows_no_details(caplog: pytest.LogCaptureFixture) -> None:
    answer = await Conversation().hold(application(crash))
    assert answer is not None
    assert answer[0] == 500
    assert b"<pre>Internal Server Error</pre>" in answer[1]
    assert "LookupError" in caplog.text
    assert "a secret" not in caplog.text


async def test_registered_error_has_its_own_answer() -> None:
    def explain(error: Exception) -> Reply:
        return json(503, {"msg": str(error)})

    answer = await Conversation().hold(application(crash, {LookupError: explain}))
    assert answer == (503, b'{"msg":"a secret"}')
    answer = await Conversation().hold(application(crash, {OSError: explain}))
    assert answer is not None
    assert answer[0] == 500


BODY = ((b"content-type", b"application/json"), (b"transfer-encoding", b"chunked"))


async def test_disconnect_during_the_body_gets_no_answer() -> None:
    for messages in ((GONE,), (piece(b'{"a"', more=True), GONE)):
        assert await Conversation(*messages, method="POST", headers=BODY).hold(application(crash)) is None


async def test_disconnect_before_the_error_page_gets_no_answer() -> None:
    headers = ((b"transfer-encoding", b"chunked"),)
    assert await Conversation(piece(b"x", more=True), GONE, headers=headers).hold(application(crash)) is None


async def test_page_waits_for_the_whole_body() -> None:
    conversation = Conversation(piece(b"x" * 200, more=True), piece(b"", more=True), piece(b"y"), headers=BODY)
    answer = await conversation.hold(application(crash))
    assert answer is not None
    assert answer[0] == 413
    assert conversation.messages == []


async def test_handler_can_await_the_disconnect() -> None:
    async def wait(request: Request) -> Reply:
        await request.wait_for_disconnect()
        return json(200, {})

    for messages in ((GONE,), (piece(b"x", more=True), GONE), (piece(b"x"), GONE)):
        headers = ((b"content-length", b"1"),)
        assert await Conversation(*messages, headers=headers).hold(application(wait)) == (200, b"{}")


async def test_router_after_one_that_passes_sees_the_whole_path() -> None:
    async def answer(request: Request) -> Reply:
        return json(200, {"path": request.path, "id": request.params["id"]})

    router, passing, answering = Router(), Router(), Router()
    passing.get("/c", answer)
    answering.get("/b/:id", answer)
    for each in (passing, answering):
        router.use("/a", each)
    conversation = Conversation(path="/a/b/7")
    assert await conversation.hold(Application(router, Cors([], "GET", "X"))) == (200, b'{"path":"/b/7","id":"7"}')


async def test_reply_accepts_serialised_json() -> None:
    async def answer(_: Request) -> Reply:
        return encoded_json(200, b'{"a":1}')

    conversation = Conversation()
    assert await conversation.hold(application(answer)) == (200, b'{"a":1}')
    assert (b"content-type", b"application/json; charset=utf-8") in conversation.sent[0]["headers"]


async def test_not_modified_answer_keeps_its_own_headers() -> None:
    async def answer(_: Request) -> Reply:
        reply = json(200, {})
        reply.headers += ((b"x-own", b"1"),)
        return reply

    conversation = Conversation(headers=[(b"if-none-match", b"*")])
    assert await conversation.hold(application(answer)) == (304, b"")
    names = [name for name, _ in conversation.sent[0]["headers"]]
    assert names == [b"x-powered-by", b"vary", b"access-control-allow-credentials", b"x-own", b"etag"]


async def test_target_is_built_from_path_and_query_without_a_gateway() -> None:
    async def show(request: Request) -> Reply:
        return json(200, [request.target, dict(request.query)])

    conversation = Conversation(path="/a%20b")
    conversation.scope["query_string"] = b"x=%20"
    assert await conversation.hold(application(show)) == (200, b'["/a%20b?x=%20",{"x":" "}]')
