"""Merge the results of samples into a contract, and change nothing else.

New operations, statuses, content types, headers, parameters and fields are added. An existing part is changed only if
a sample contradicts it, and only as far as necessary: an absent field becomes optional, null is allowed, an enum
grows, a format is removed. Other content (descriptions, examples, `x-compare`, `x-report`, stricter rules that hold)
is not touched. A rule that no longer holds and cannot be loosened here stays, and `contracts check` reports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from proxy.contract.model import OTHERWISE
from proxy.gateway.patterns import WEBSOCKET, Pattern, PatternError
from proxy.inference import operations
from proxy.inference.editing import Files, NodeSlot, written
from proxy.inference.inferred_schema import InferredSchema
from proxy.inference.operations import Field, ObservedAnswer, ObservedRequest
from proxy.inference.samples import Observed
from proxy.inference.widening import widen
from proxy.types import JSON

_RESERVED: Final = ("openapi", "divergences")
_BEARER: Final[dict[str, JSON]] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def merge(files: Files, everything: list[Observed], title: str = "Recorded service") -> list[str]:
    """Merge every operation; return the changes, one line each: `added …` or `loosened …`."""
    main = files.root()
    if "openapi" not in main:
        main.put("openapi", "3.1.1")
        main.put("info", {"title": title, "version": "1"})
    main.make("paths")
    merging = _Merging(main, operations.header_values(everything))
    return [change for observed in everything for change in merging.operation(observed)]


class _Merging:
    """One run: the main file, and each header's values over all answers."""

    def __init__(self, main: NodeSlot, headers: Mapping[str, InferredSchema]) -> None:
        self._main = main
        self._headers = headers

    def operation(self, observed: Observed) -> Iterator[str]:
        """Merge one operation."""
        operation = observed.operation
        if operation.id == OTHERWISE:
            if observed.answered:
                yield from self._answers(self._main.make("x-otherwise"), observed, "x-otherwise")
            return
        if not observed.answered and not observed.opened:
            return
        path = _path(self._main, operation.template, operation.id)
        method = "get" if operation.method == WEBSOCKET else operation.method.lower()
        if method not in path:
            path.put(method, {"operationId": operation.id})
            yield f"added {operation.name}"
        slot = path.make(method)
        if operation.method == WEBSOCKET:
            yield from _merge_frames(slot, observed)
        else:
            yield from self._request(path, slot, observed)
            yield from self._answers(slot, observed, operation.name)

    def _request(self, path: NodeSlot, slot: NodeSlot, observed: Observed) -> Iterator[str]:
        observed_request, name = operations.request(observed), observed.operation.name
        new = "responses" not in slot
        yield from _merge_parameters(path, slot, observed, observed_request)
        if new and observed_request.bearer:
            slot.put("security", [{"bearer": []}])
            schemes = self._main.make("components").make("securitySchemes")
            schemes.node.setdefault("bearer", written(_BEARER))
        if "requestBody" not in slot and observed_request.media:
            optional: dict[str, JSON] = {} if new else {"required": False}
            slot.put("requestBody", {**operations.describe_body(observed_request), **optional})
            return
        body = slot.get("requestBody")
        if body is not None:
            if body.node.get("required") and not observed_request.bodies_always:
                body.put("required", False)
                yield f"loosened {name} body: optional"
            yield from _merge_media(body, observed_request.media, f"{name} request")

    def _answers(self, slot: NodeSlot, observed: Observed, name: str) -> Iterator[str]:
        responses = slot.make("responses")
        for status, answer in operations.answers(observed).items():
            there = responses.get(status)
            if there is None:
                responses.put(status, operations.describe_answer(status, answer))
                self._describe_headers(responses.make(status), answer.headers)
                yield f"added {name} {status}"
            else:
                yield from self._answer(there, answer, f"{name} {status}")

    def _answer(self, there: NodeSlot, answer: ObservedAnswer, name: str) -> Iterator[str]:
        known = there.get("headers")
        declared = {called.lower(): called for called in known.node} if known else {}
        new = {called: one for called, one in answer.headers.items() if called not in declared}
        for called, header in new.items():
            header.absent += 1  # earlier samples did not have the header
            yield f"added {name} {operations.title(called)}"
        self._describe_headers(there, new)
        for called, written_as in declared.items():
            yield from _merge_header(there.make("headers"), written_as, answer.headers.get(called), name)
        yield from _merge_media(there, answer.media, name)

    def _describe_headers(self, there: NodeSlot, headers: Mapping[str, Field]) -> None:
        """Describe headers.

        The first of each name is shared under `components`, since answers mostly have the same ones.
        """
        for called, header in sorted(headers.items()):
            described = operations.describe_header(header, self._headers[called])
            name = operations.title(called)
            shared = self._main.make("components").make("headers")
            shared.node.setdefault(name, written(described))
            alike = shared.make(name).node == described
            pointer: JSON = {"$ref": there.refer(self._main.file, f"/components/headers/{name}")}
            there.make("headers").put(name, pointer if alike else described)


def _merge_header(headers: NodeSlot, name: str, header: Field | None, location: str) -> Iterator[str]:
    """Merge one header; a shared header is copied into the answer before it is changed."""
    observed_header = header or Field(InferredSchema(), 1)
    if headers.make(name).node.get("required") and not observed_header.required:
        if "$ref" in headers.node[name]:
            headers.put(name, dict(headers.make(name).node))
        headers.make(name).put("required", False)
        yield f"loosened {location} {name}: optional"
    if header is not None:
        yield from _merge_schema(headers.make(name), "schema", header.shape, f"{location} {name}")


def _path(main: NodeSlot, template: str, operation_id: str) -> NodeSlot:
    """Return the path item of a template; a new one goes to its resource's file, by ids such as `notes.create`."""
    paths = main.make("paths")
    shape = Pattern.parse(f"GET {template}").shape
    for known in paths.node:
        if not known.startswith("x-") and _shape(known) == shape:
            return paths.make(known)
    resource, dot, _ = operation_id.partition(".")
    if not dot or resource in _RESERVED:
        return paths.make(template)
    file = main.file.parent / f"{resource}.yaml"
    pointer = "/" + template.replace("~", "~0").replace("/", "~1")
    paths.put(template, {"$ref": main.refer(file, pointer)})
    return main.files.root(file).make(template)


def _shape(template: str) -> object:
    try:
        return Pattern.parse(f"GET {template}").shape
    except PatternError:
        return None


def _merge_frames(slot: NodeSlot, observed: Observed) -> Iterator[str]:
    frames = slot.make("x-frames")
    for direction, shape in operations.frames(observed).items():
        yield from _merge_schema(frames, direction, shape, f"{observed.operation.name} {direction}")
    if "101" not in slot.make("responses"):
        slot.make("responses").put("101", {"description": operations.phrase("101")})


def _merge_parameters(
    path: NodeSlot, slot: NodeSlot, observed: Observed, observed_request: ObservedRequest
) -> Iterator[str]:
    name = observed.operation.name
    known = [*path.items("parameters"), *slot.items("parameters")]
    by_name = {(str(one.node.get("in")), str(one.node.get("name"))): one for one in known}
    positional = iter([one for (location, _), one in by_name.items() if location == "path"])
    for called, shape in observed_request.path.items():
        there = by_name.get(("path", called)) or next(positional, None)
        yield from _merge_parameter(slot, there, "path", called, Field(shape), name)
    for called, parameter in observed_request.query.items():
        if "responses" in slot and ("query", called) not in by_name:
            parameter.absent += 1
        yield from _merge_parameter(slot, by_name.get(("query", called)), "query", called, parameter, name)
    for (location, called), there in by_name.items():
        if location == "query" and called not in observed_request.query and there.node.get("required"):
            there.put("required", False)
            yield f"loosened {name} ?{called}: optional"


def _merge_parameter(
    slot: NodeSlot, there: NodeSlot | None, location: str, called: str, parameter: Field, name: str
) -> Iterator[str]:
    if there is None:
        slot.node.setdefault("parameters", []).append(
            written(operations.describe_parameter(location, called, parameter))
        )
        return
    if location != "path" and there.node.get("required") and not parameter.required:
        there.put("required", False)
        yield f"loosened {name} ?{called}: optional"
    yield from _merge_schema(there, "schema", parameter.shape, f"{name} {called}")


def _merge_media(there: NodeSlot, media: Mapping[str, InferredSchema], name: str) -> Iterator[str]:
    for called, shape in media.items():
        content = there.make("content")
        if called not in content:
            content.put(called, {"schema": shape.schema()})
            yield f"added {name} {called}"
        else:
            yield from _merge_schema(content.make(called), "schema", shape, name)


def _merge_schema(holder: NodeSlot, key: str, shape: InferredSchema, name: str) -> Iterator[str]:
    schema = holder.get(key)
    if schema is None and key not in holder:
        holder.put(key, shape.schema())
    elif schema is not None:
        yield from (f"loosened {name}{change}" for change in widen(schema, shape))
