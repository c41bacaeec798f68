"""The legacy's HTTP behaviour: express 5 with its default settings, as a plain ASGI application.

Resources are routers of handlers, which take a `Request` and return a `Reply`. This module does the processing around
them: its order, headers and error pages. For speed, it does not use Starlette's request and response objects.

    cors -> the router's layers, in the order in which they were added -> the page for unanswered requests
              a route: answers, or passes by returning None
              a middleware or mounted router: the same, below its path
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from starlette.types import Receive, Scope, Send

from handlers.dependency_failures import report_failure
from handlers.disconnect import ClientDisconnectedError, wait_for_disconnect
from handlers.failure_log import trace_of
from handlers.legacy.express import error_pages
from handlers.legacy.express.cors import UNROUTED, Cors
from handlers.legacy.express.cors import Headers as RawHeaders
from handlers.legacy.express.etag import is_fresh, weak_tag
from handlers.legacy.express.headers import Headers
from handlers.legacy.express.long_tag import weak_tag_in_slices
from handlers.legacy.express.paths import Pattern, UndecodableError
from handlers.legacy.express.query import Query
from handlers.legacy.express.query import parse as parse_query
from handlers.legacy.express.targets import UnroutableError, below, is_plain, split_target
from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, JsonText, Value, stringify
from handlers.sliced_json import write_in_slices

_CONTINUE: Final = re.compile(rb"(?:^|\W)100-continue(?:\Z|\W)", re.IGNORECASE)

logger = logging.getLogger("handlers.legacy")

_LONG_BODY: Final = 1 << 20
"""Size of an answer, in bytes, from which its digest is computed in slices."""

_JSON: Final = (b"content-type", b"application/json; charset=utf-8")


class HttpError(Exception):
    """An error with a status (http-errors 2). If no handler catches it, the answer is that status's page."""

    def __init__(self, status: int, message: str = "", headers: RawHeaders = ()) -> None:
        super().__init__(message or error_pages.PHRASES.get(status, ""))
        self.status = status
        self.headers = headers


class Reply:
    """An answer before it is sent: `headers` follow those of every answer, `body` is complete.

    `tagged` answers carry an entity tag and are subject to `If-None-Match`.
    """

    __slots__ = ("body", "headers", "status", "tagged")

    def __init__(self, status: int, headers: RawHeaders, body: bytes, *, tagged: bool = True) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.tagged = tagged


def json(status: int, value: object) -> Reply:
    """Return `res.status(status).json(value)`; JSON text is sent unchanged."""
    text = value if isinstance(value, JsonText) else stringify(value)
    return Reply(status, (_JSON,), text.encode())


def encoded_json(status: int, body: bytes) -> Reply:
    """Return the same reply for a body that is already encoded JSON."""
    return Reply(status, (_JSON,), body)


async def json_in_slices(status: int, value: object) -> Reply:
    """Return `json(status, value)`, with long strings written in slices: for values that a client has chosen."""
    return encoded_json(status, await write_in_slices(value, stringify))


def page(status: int, body: bytes | None = None, headers: RawHeaders = ()) -> Reply:
    """Return one of express's HTML pages, which carry no entity tag."""
    return Reply(status, headers + error_pages.HEADERS, body or error_pages.error_page(status), tagged=False)


class Request:
    """A request as seen by a handler.

    `target` is the request line's, `path` the pathname below the current router, `params` the route's parameters,
    `body` the JSON parser's result (`UNDEFINED` if it did not run), `user_id` the token's claim (any JSON value)
    and `token` the token. `url` is Node's `req.url` below the current router, or None for a plain target. `path` is
    empty if the target has no pathname.
    """

    __slots__ = (
        "_query",
        "_query_text",
        "_receive",
        "_scope",
        "_unread",
        "body",
        "full_path",
        "has_body",
        "headers",
        "method",
        "params",
        "path",
        "state",
        "target",
        "token",
        "url",
        "user_id",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self.method: str = scope["method"]
        self.headers = Headers(scope["headers"])
        self.target = request_target(scope)
        self.url = None if is_plain(self.target) else self.target
        self._query_text: str | None = None
        try:
            self.full_path, self._query_text = split_target(self.target)
            self.path = self.full_path
        except UnroutableError as error:
            self.full_path, self.path = str(error), ""
        self.params: dict[str, str] = {}
        self.body: Value = UNDEFINED
        self.user_id: Value = UNDEFINED
        self.token = ""
        self.state: dict[str, object] = {}
        self._receive = receive
        self._query: Query | None = None
        raw = self.headers.raw
        self.has_body = b"transfer-encoding" in raw or b"content-length" in raw
        self._unread = self.has_body

    @property
    def query(self) -> Query:
        """Return the query string, parsed on first use."""
        if self._query is None:
            self._query = parse_query(self._query_text)
        return self._query

    def fields(self, *names: str) -> list[Value]:
        """Return the fields of `const {a, b} = req.body`; raises `JavaScriptTypeError` without a body."""
        if self.body is UNDEFINED:
            problem = f"Cannot destructure property '{names[0]}' of 'req.body' as it is undefined."
            raise JavaScriptTypeError(problem)
        body = self.body
        return [body.get(name, UNDEFINED) if isinstance(body, dict) else UNDEFINED for name in names]

    def field(self, name: str) -> Value:
        """Return the field of `req.body.name`; raises `JavaScriptTypeError` without a body."""
        if self.body is UNDEFINED:
            raise JavaScriptTypeError(f"Cannot read properties of undefined (reading '{name}')")
        return self.body.get(name, UNDEFINED) if isinstance(self.body, dict) else UNDEFINED

    def enter_mount(self, length: int) -> None:
        """Remove the first characters of the path, on which a router is mounted."""
        if self.url is None:
            rest = self.path[length:]
            self.path = rest if rest.startswith("/") else "/" + rest
            return
        self.url = below(self.url, length)
        try:
            self.path, self._query_text = split_target(self.url)
        except UnroutableError:
            self.path = ""

    @property
    def client_host(self) -> str:
        """Return the client's address, empty if it is unknown."""
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    def report_failure(self, error: Exception) -> None:
        """Report a failed dependency to the gateway, for a handler that answers the failure itself."""
        report_failure(self._scope, error)

    async def read_chunk(self) -> bytes | None:
        """Return the next chunk of the body, `None` after the last; raises `ClientDisconnectedError`."""
        if not self._unread:
            return None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        self._unread = message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    async def drain(self) -> None:
        """Read and discard the rest of the body, as express does before it answers with a page."""
        while self._unread:
            await self.read_chunk()

    async def wait_for_disconnect(self) -> None:
        """Return when the client has disconnected; read and discard the rest of its body."""
        try:
            await self.drain()
        except ClientDisconnectedError:
            return
        await wait_for_disconnect(self._receive)


def request_target(scope: Scope) -> str:
    """Return the request line's target: the gateway's copy, or reassembled; Latin-1, as in Node."""
    target: bytes | None = scope.get("proxy.target")
    if target is None:
        target = scope.get("raw_path") or scope["path"].encode()
        query: bytes = scope.get("query_string", b"")
        target = target + b"?" + query if query else target
    return target.decode("latin-1")


Handler = Callable[[Request], Awaitable[Reply | None]]


class Layer(NamedTuple):
    """A step of a router: a pattern (`None` matches all), the handlers, and their method."""

    pattern: Pattern | None
    handlers: tuple[Handler, ...]
    method: str | None


class Router:
    """Routes, middleware and mounted routers, called in the order in which they were added."""

    def __init__(self) -> None:
        self._layers: list[Layer] = []

    def use(self, path: str, *handlers: Handler) -> None:
        """Run handlers for every path below `path`; they see the path without it."""
        self._layers.append(Layer(None if path == "/" else Pattern(path, whole=False), handlers, None))

    def route(self, method: str, path: str, *handlers: Handler) -> None:
        """Run handlers for one method (GET includes HEAD) of one path."""
        self._layers.append(Layer(Pattern(path, whole=True), handlers, method))

    def get(self, path: str, *handlers: Handler) -> None:
        """Route GET, and HEAD."""
        self.route("GET", path, *handlers)

    def post(self, path: str, *handlers: Handler) -> None:
        """Route POST."""
        self.route("POST", path, *handlers)

    def patch(self, path: str, *handlers: Handler) -> None:
        """Route PATCH."""
        self.route("PATCH", path, *handlers)

    def delete(self, path: str, *handlers: Handler) -> None:
        """Route DELETE."""
        self.route("DELETE", path, *handlers)

    async def __call__(self, request: Request) -> Reply | None:
        """Answer, or pass (`None`). An undecodable parameter is a 400 for every method."""
        path, url, method = request.path, request.url, request.method
        if not path:
            return None
        method = "GET" if method == "HEAD" else method
        for pattern, handlers, only in self._layers:
            if pattern is not None:
                try:
                    match = pattern.match(path)
                except UndecodableError as error:
                    raise HttpError(400, "Failed to decode param") from error
                if match is None or (only is not None and only != method):
                    continue
                request.params = match.params
                if only is None:
                    request.enter_mount(match.end)
            for handler in handlers:
                reply = await handler(request)
                if reply is not None:
                    return reply
            request.path, request.url = path, url
        return None


Faults = Mapping[type[Exception], Callable[[Exception], Reply]]


class Application:
    """The ASGI application: CORS, a router, and express's pages for requests that no route answers.

    `faults` maps exceptions that every endpoint answers alike, such as an unavailable database, to replies.
    """

    def __init__(self, router: Router, cors: Cors, faults: Faults | None = None) -> None:
        self._router = router
        self._cors = cors
        self._faults = faults or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        raw = request.headers.raw
        if b"expect" in raw and scope["http_version"] == "1.1" and not _CONTINUE.search(raw[b"expect"]):
            await _transmit(send, 417, (), b"")
            return
        origin = raw.get(b"origin", b"").rstrip(b" \t")
        if request.method == "OPTIONS" and request.path:
            await _transmit(send, 204, self._cors.preflight(origin), b"")
            return
        try:
            reply = await self._answer(request, scope)
        except ClientDisconnectedError:
            return
        preface = self._cors.preface(origin) if request.path else UNROUTED
        if not reply.tagged:
            await _transmit(send, *_untagged(request, reply, preface))
            return
        body = reply.body
        tag = weak_tag(body) if len(body) <= _LONG_BODY else await weak_tag_in_slices(body)
        await _transmit(send, *_tagged(request, reply, preface, tag))

    async def _answer(self, request: Request, scope: Scope) -> Reply:
        try:
            reply = await self._router(request)
            if reply is not None:
                return reply
            reply = page(404, error_pages.missing_page(request.method, request.full_path))
        except ClientDisconnectedError:
            raise
        except Exception as error:
            report_failure(scope, error)
            reply = self._reply_to(error)
        await request.drain()
        return reply

    def _reply_to(self, error: Exception) -> Reply:
        if isinstance(error, HttpError) and 400 <= error.status < 600:
            return page(error.status, headers=error.headers)
        for kind, make in self._faults.items():
            if isinstance(error, kind):
                logger.warning("answered a fault: %s", type(error).__name__)
                return make(error)
        logger.error("unhandled error: %s", trace_of(error))
        return page(500)


def _untagged(request: Request, reply: Reply, preface: RawHeaders) -> tuple[int, RawHeaders, bytes]:
    """Complete a page; the answer to HEAD has no body."""
    length = (b"content-length", str(len(reply.body)).encode())
    return reply.status, (*preface, *reply.headers, length), _sent_body(request, reply)


def _tagged(request: Request, reply: Reply, preface: RawHeaders, tag: str) -> tuple[int, RawHeaders, bytes]:
    """Complete a reply as `res.send` does: entity tag, freshness, and no body for HEAD and 304."""
    tag_header = (b"etag", tag.encode())
    if request.method in ("GET", "HEAD") and 200 <= reply.status < 300 and _is_known(request.headers, tag):
        remaining = tuple(header for header in reply.headers if header[0] != b"content-type")
        return 304, (*preface, *remaining, tag_header), b""
    length = (b"content-length", str(len(reply.body)).encode())
    return reply.status, (*preface, *reply.headers, length, tag_header), _sent_body(request, reply)


def _sent_body(request: Request, reply: Reply) -> bytes:
    return b"" if request.method == "HEAD" else reply.body


def _is_known(headers: Headers, tag: str) -> bool:
    if b"if-none-match" not in headers.raw:
        return False
    return is_fresh(tag, headers.get("if-none-match"), headers.get("cache-control"))


async def _transmit(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
