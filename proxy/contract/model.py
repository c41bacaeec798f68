"""The contract as values: find the operation of a request, and the violations in its answer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from proxy.contract.payloads import PayloadError, is_json, media_type, read_payload
from proxy.contract.schemas import Schema
from proxy.contract.values import NOTHING, ContractViolation, Hints
from proxy.gateway.patterns import NEVER, WEBSOCKET, Parameter, Pattern, Trie
from proxy.types import JSON, ValuePath

OTHERWISE: Final = "otherwise"
_BODILESS: Final = (204, 205, 304)

Reading = Callable[[str, bytes], JSON]
"""Reads a value from a content type and a body, as `read_payload` does."""
HintsAt: TypeAlias = Callable[[ValuePath], Hints]
"""Returns the hints for a path in an answer."""
MAX_KINDS: Final = 64
"""Maximum number of statuses and content types of one operation whose hints are kept."""


@dataclass(frozen=True, slots=True)
class DeclaredHeader:
    """A response header; `schema` describes its value as text."""

    schema: Schema
    required: bool = False


@dataclass(frozen=True, slots=True)
class DeclaredAnswer:
    """The declaration of one status: headers by lower-case name, bodies by media type."""

    headers: Mapping[str, DeclaredHeader] = field(default_factory=dict)
    media: Mapping[str, Schema] = field(default_factory=dict)

    def body(self, content_type: str) -> Schema | None:
        """Return the schema for a content type; `text/*` and `*/*` apply if nothing more specific does."""
        media = media_type(content_type)
        ranges = (media, f"{media.partition('/')[0]}/*", "*/*")
        return next((self.media[one] for one in ranges if one in self.media), None)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path template; requests that no path matches belong to the operation `otherwise`, if declared.

    `answers` are by status as OpenAPI writes it: `200`, `4XX`, `default`. `requests` are bodies by media type,
    `frames` the schemas of a WebSocket's frames by direction, `sent` (by the client) and `received`; `queries` the
    names that a query may have.
    """

    id: str
    method: str
    template: str
    answers: Mapping[str, DeclaredAnswer] = field(default_factory=dict)
    requests: Mapping[str, Schema] = field(default_factory=dict)
    frames: Mapping[str, Schema] = field(default_factory=dict)
    queries: frozenset[str] = frozenset()
    _hints: dict[tuple[int, str], HintsAt] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """`GET /api/notes/{id}`."""
        return f"{self.method} {self.template}"

    def declared(self, status: int) -> DeclaredAnswer | None:
        """Return the declaration of a status: its own, that of its class (`4XX`), or `default`."""
        keys = (str(status), f"{status // 100}XX", "default")
        return next((self.answers[key] for key in keys if key in self.answers), None)

    def hints(self, path: ValuePath, status: int = 200, content_type: str = "application/json") -> Hints:
        """Return the hints on a value of an answer, at `("body", "notes", 0, "_id")`, `("header", "etag")` and so on.

        `("frames", 3, "text")` is a value of a WebSocket's messages. All indices of an array are alike. Unknown paths
        have no hints.
        """
        if path[:1] == ("frames",):
            received = self.frames.get("received")
            return received.hints(path[2:]) if received is not None else NOTHING
        declared = self.declared(status)
        if declared is None or not path:
            return NOTHING
        if path[0] == "header" and len(path) == 2 and path[1] in declared.headers:
            return declared.headers[str(path[1])].schema.hints(())
        schema = declared.body(content_type) if path[0] == "body" else None
        return schema.hints(path[1:]) if schema else NOTHING

    def hints_of(self, status: int, content_type: str) -> HintsAt:
        """Return `hints` for one kind of answer, whose schema is looked up once: the same object for each call."""
        known = self._hints.get((status, content_type))
        if known is None:
            if len(self._hints) >= MAX_KINDS:  # content types come from live answers
                self._hints.clear()
            known = self._hints[status, content_type] = self._hints_at(status, content_type)
        return known

    def _hints_at(self, status: int, content_type: str) -> HintsAt:
        schema = self._body_schema(status, content_type)

        def hints(path: ValuePath) -> Hints:
            if schema is not None and path[:1] == ("body",):
                return schema.hints(path[1:])
            return self.hints(path, status, content_type)

        return hints

    def hides(self, status: int, content_type: str) -> bool:
        """Return whether `x-compare: ignore` applies anywhere in such an answer's body."""
        schema = self._body_schema(status, content_type)
        return schema is not None and schema.hides

    def _body_schema(self, status: int, content_type: str) -> Schema | None:
        declared = self.declared(status)
        return declared.body(content_type) if declared is not None else None

    def violations(
        self, status: int, headers: Mapping[str, str], body: bytes, read: Reading = read_payload
    ) -> tuple[ContractViolation, ...]:
        """Return every violation in an answer.

        Header names are in lower case; the body's content coding (gzip, br) is undone. A caller that has parsed the
        body supplies its value through `read`.
        """
        declared = self.declared(status)
        if declared is None:
            unchanged = status == 304 and self.method in ("GET", "HEAD") and self.declared(200)  # RFC 9110, 15.4.5
            return (
                ()
                if unchanged
                else (ContractViolation(("status",), "status", f"{status} is not a status of {self.name}"),)
            )
        result = list(_header_violations(declared, headers))
        if self.method != "HEAD" and status >= 200 and status not in _BODILESS:
            result += _body_violations(declared, headers.get("content-type", ""), body, read)
        return tuple(result)

    def request_violations(self, content_type: str, body: bytes) -> tuple[ContractViolation, ...]:
        """Return every violation in a request's JSON; other bodies are not checked."""
        schema = self.requests.get(media_type(content_type))
        if schema is None or not body or not is_json(media_type(content_type)):
            return ()
        try:
            return tuple(_within("request", schema.violations(read_payload(content_type, body))))
        except PayloadError as error:
            return (ContractViolation(("request",), "content-type", str(error)),)

    def frame_violations(self, direction: str, frame: JSON) -> tuple[ContractViolation, ...]:
        """Return every violation in a WebSocket frame (parsed JSON, or else text)."""
        schema = self.frames.get(direction)
        return tuple(_within("frame", schema.violations(frame))) if schema else ()


class Contract:
    """All operations of a service, matched by method and raw path as express matches its routes."""

    def __init__(self, operations: Sequence[Operation], otherwise: Operation | None = None) -> None:
        self.operations: Final = tuple(operations)
        self.otherwise: Final = otherwise
        self._ranked: Final = sorted(self.operations, key=_rank)
        self._tries: Final[dict[str, Trie]] = {}
        self._cuts = 1
        for index, operation in enumerate(self._ranked):
            pattern = Pattern.parse(operation.name)
            self._tries.setdefault(operation.method, Trie()).add(pattern, index)
            self._cuts = max(self._cuts, len(pattern.segments) + 1)

    def operation(self, method: str, raw_path: str | bytes) -> Operation | None:
        """Return the operation of a request (`WS` for a WebSocket), or else `otherwise`, or None.

        The path is as sent, not decoded; a query is ignored. HEAD belongs to GET's operation if it has none of its
        own.
        """
        raw = raw_path.encode("latin-1", "replace") if isinstance(raw_path, str) else raw_path
        path = raw.partition(b"?")[0].partition(b"#")[0]
        result = self._find(method, path)
        if result is None and method == "HEAD":
            get = self._find("GET", path)
            result = replace(get, method="HEAD") if get else None
        return result or self.otherwise

    def named(self, name: str) -> Operation | None:
        """Return the operation of an id."""
        every = (*self.operations, self.otherwise) if self.otherwise else self.operations
        return next((operation for operation in every if operation.id == name), None)

    def _find(self, method: str, path: bytes) -> Operation | None:
        trie, exact = self._tries.get(method), method == WEBSOCKET
        if trie is None or path[:1] != b"/":
            return None
        folded = path if exact else path.lower()
        index = trie.find(folded[1:].split(b"/", self._cuts), exact=exact)
        return None if index == NEVER else self._ranked[index]


def _rank(operation: Operation) -> tuple[bool, ...]:
    """Order operations as OpenAPI demands: concrete paths match before templates."""
    return tuple(isinstance(segment, Parameter) for segment in Pattern.parse(operation.name).segments)


def _header_violations(declared: DeclaredAnswer, headers: Mapping[str, str]) -> Iterator[ContractViolation]:
    for name, header in declared.headers.items():
        if name in headers:
            yield from _within("header", header.schema.violations(headers[name]), name)
        elif header.required:
            yield ContractViolation(("header", name), "required", "is missing")


def _body_violations(
    declared: DeclaredAnswer, content_type: str, body: bytes, read: Reading
) -> Iterator[ContractViolation]:
    if not body and not declared.media:
        return
    schema = declared.body(content_type)
    if schema is None:
        media = media_type(content_type) or "none"
        yield ContractViolation(
            ("header", "content-type"), "content-type", f"{media} is not a content type of this status"
        )
        return
    if not is_json(media_type(content_type)) and not content_type.lower().startswith("text/"):
        return  # bytes, which a schema cannot describe
    try:
        yield from _within("body", schema.body_violations(content_type, body, read))
    except PayloadError as error:
        yield ContractViolation(("body",), "content-type", str(error))


def _within(part: str, result: Iterable[ContractViolation], *steps: str) -> Iterator[ContractViolation]:
    return (replace(one, path=(part, *steps, *one.path)) for one in result)
