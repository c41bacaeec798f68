"""A contract at work: which operation a request is, and what of an answer breaks its contract. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.contract.payloads import PayloadError, is_json, media_type, read_payload
from proxy.contract.schemas import Schema
from proxy.contract.values import NOTHING, ContractViolation, Hints
from proxy.gateway.patterns import NEVER, WEBSOCKET, Parameter, Pattern, Trie
from proxy.types import JSON, ValuePath

OTHERWISE: Final = "otherwise"
_BODILESS: Final = (204, 205, 304)

Reading = Callable[[str, bytes], JSON]
"""Makes a value of a content type and a body, as `read_payload` does."""


@dataclass(frozen=True, slots=True)
class DeclaredHeader:
    """A response header; `schema` speaks of its value as text."""

    schema: Schema
    required: bool = False


@dataclass(frozen=True, slots=True)
class DeclaredAnswer:
    """What the contract says of one status: headers by name in lower case, bodies by media type."""

    headers: Mapping[str, DeclaredHeader] = field(default_factory=dict)
    media: Mapping[str, Schema] = field(default_factory=dict)

    def body(self, content_type: str) -> Schema | None:
        """The schema for a content type; `text/*` and `*/*` stand for what nothing nearer does."""
        media = media_type(content_type)
        ranges = (media, f"{media.partition('/')[0]}/*", "*/*")
        return next((self.media[one] for one in ranges if one in self.media), None)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path template; what no path takes is the operation `otherwise`, where there is one.

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

    @property
    def name(self) -> str:
        """`GET /api/notes/{id}`."""
        return f"{self.method} {self.template}"

    def declared(self, status: int) -> DeclaredAnswer | None:
        """What is said of a status: by itself, by its hundred (`4XX`), or by `default`."""
        keys = (str(status), f"{status // 100}XX", "default")
        return next((self.answers[key] for key in keys if key in self.answers), None)

    def hints(self, path: ValuePath, status: int = 200, content_type: str = "application/json") -> Hints:
        """What is said of the place `("body", "notes", 0, "_id")` in an answer, of `("header", "etag")`, of others.

        List indexes are all alike. Nothing where the contract does not know the place.
        """
        declared = self.declared(status)
        if declared is None or not path:
            return NOTHING
        if path[0] == "header" and len(path) == 2 and path[1] in declared.headers:
            return declared.headers[str(path[1])].schema.hints(())
        schema = declared.body(content_type) if path[0] == "body" else None
        return schema.hints(path[1:]) if schema else NOTHING

    def hides(self, status: int, content_type: str) -> bool:
        """Whether anything in such an answer's body is not to be compared (`x-compare: ignore`)."""
        declared = self.declared(status)
        schema = declared.body(content_type) if declared else None
        return schema is not None and schema.hides

    def violations(
        self, status: int, headers: Mapping[str, str], body: bytes, read: Reading = read_payload
    ) -> tuple[ContractViolation, ...]:
        """Every way in which an answer breaks the contract.

        Header names are in lower case; the body's content coding (gzip, br) has been undone. `read` is for who may
        have its value already.
        """
        declared = self.declared(status)
        if declared is None:
            unchanged = status == 304 and self.method in ("GET", "HEAD") and self.declared(200)  # RFC 9110, 15.4.5
            return (
                ()
                if unchanged
                else (ContractViolation(("status",), "status", f"{status} is not a status of {self.name}"),)
            )
        found = list(_header_violations(declared, headers))
        if self.method != "HEAD" and status >= 200 and status not in _BODILESS:
            found += _body_violations(declared, headers.get("content-type", ""), body, read)
        return tuple(found)

    def request_violations(self, content_type: str, body: bytes) -> tuple[ContractViolation, ...]:
        """Every way in which a request's JSON breaks the contract; other bodies do not."""
        schema = self.requests.get(media_type(content_type))
        if schema is None or not body or not is_json(media_type(content_type)):
            return ()
        try:
            return tuple(_within("request", schema.violations(read_payload(content_type, body))))
        except PayloadError as error:
            return (ContractViolation(("request",), "content-type", str(error)),)

    def frame_violations(self, direction: str, frame: JSON) -> tuple[ContractViolation, ...]:
        """Every way in which a WebSocket frame (JSON parsed, else text) breaks the contract."""
        schema = self.frames.get(direction)
        return tuple(_within("frame", schema.violations(frame))) if schema else ()


class Contract:
    """Every operation of a service, found by method and raw path as express finds its routes."""

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
        """The operation of a request, `WS` for a WebSocket; else `otherwise`, or None where there is none.

        The path is as sent: not decoded; a query is left out of account. HEAD is answered by GET's where it has none
        of its own.
        """
        raw = raw_path.encode("latin-1", "replace") if isinstance(raw_path, str) else raw_path
        path = raw.partition(b"?")[0].partition(b"#")[0]
        found = self._find(method, path)
        if found is None and method == "HEAD":
            get = self._find("GET", path)
            found = replace(get, method="HEAD") if get else None
        return found or self.otherwise

    def named(self, name: str) -> Operation | None:
        """The operation of an id."""
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
    """OpenAPI: concrete paths are matched before templates."""
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
        return  # bytes: nothing that a schema could speak of
    try:
        yield from _within("body", schema.violations(read(content_type, body)))
    except PayloadError as error:
        yield ContractViolation(("body",), "content-type", str(error))


def _within(part: str, found: Iterator[ContractViolation], *steps: str) -> Iterator[ContractViolation]:
    return (replace(one, path=(part, *steps, *one.path)) for one in found)
