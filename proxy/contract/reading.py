"""Read openapi.yaml into a Contract, or report every fault in it with file and line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

from proxy.contract.faults import ContractError, Fault
from proxy.contract.model import OTHERWISE, Contract, DeclaredAnswer, DeclaredHeader, Operation
from proxy.contract.rules import hiding_faults, schema_faults
from proxy.contract.schemas import Schema
from proxy.contract.tree import Tree, read_tree
from proxy.gateway.patterns import Parameter, Pattern, PatternError
from proxy.wording import did_you_mean

_Read = TypeVar("_Read")
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "document": frozenset(
        ("openapi", "info", "jsonSchemaDialect", "servers", "paths", "webhooks", "components", "security", "tags",
         "externalDocs", "x-otherwise")
    ),
    "path": frozenset(("summary", "description", "servers", "parameters", *METHODS)),
    "operation": frozenset(
        ("tags", "summary", "description", "externalDocs", "operationId", "parameters", "requestBody", "responses",
         "callbacks", "deprecated", "security", "servers", "x-frames")
    ),
    "response": frozenset(("description", "headers", "content", "links")),
    "media": frozenset(("schema", "example", "examples", "encoding")),
    "header": frozenset(
        ("description", "required", "deprecated", "style", "explode", "schema", "example", "examples", "content")
    ),
    "parameter": frozenset(
        ("name", "in", "description", "required", "deprecated", "allowEmptyValue", "style", "explode", "allowReserved",
         "schema", "example", "examples", "content")
    ),
    "body": frozenset(("description", "content", "required")),
    "otherwise": frozenset(("summary", "description", "responses")),
    "frames": frozenset(("sent", "received")),
}  # fmt: skip
_PARAMETER_LOCATIONS: Final = ("path", "query", "header", "cookie")


def load(path: Path) -> Contract:
    """Load an OpenAPI 3.1 file and the files it refers to. Raises ContractError with every fault."""
    tree = read_tree(path)
    reading = _ContractReader()
    contract = reading.contract(tree)
    if reading.faults or contract is None:
        raise ContractError(tuple(reading.faults))
    return contract


class _ContractReader:
    """Reads on after a fault, so that all faults are reported."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._answers_read: dict[int, DeclaredAnswer] = {}  # by the id of the tree's value, which the tree keeps alive
        self._schemas_read: dict[int, Schema] = {}

    def contract(self, root: Tree) -> Contract | None:
        if not self._mapping(root, "document"):
            return None
        version = root.get("openapi")
        if version is None or not str(version.value).startswith("3.1."):
            self._fault(version or root, "must be an OpenAPI 3.1 document: `openapi: 3.1.1`", "openapi")
        paths, otherwise = root.get("paths"), root.get("x-otherwise")
        operations: list[tuple[Operation, Tree]] = []
        if paths is None:
            self._fault(root, "has no `paths`")
        elif not isinstance(paths.value, dict):
            self._fault(paths, "must be a mapping (`key: value`)", "paths")
        else:
            operations += self._paths(paths)
        whatever = self._otherwise(otherwise) if otherwise else None
        return None if self.faults else Contract([operation for operation, _ in operations], whatever)

    def _paths(self, paths: Tree) -> Iterator[tuple[Operation, Tree]]:
        collected: list[tuple[Operation, Tree]] = []
        shapes: dict[object, tuple[str, Tree]] = {}
        for template, item in paths.entries():
            if template.startswith("x-") or not self._path(template, item, shapes):
                continue
            for method in METHODS:
                tree = item.get(method)
                if tree is not None and self._mapping(tree, "operation", f"{method.upper()} {template}"):
                    collected.append((self._operation(method.upper(), template, tree, item), tree))
        self._ids(collected)
        return iter(collected)

    def _path(self, template: str, item: Tree, shapes: dict[object, tuple[str, Tree]]) -> bool:
        try:
            shape = Pattern.parse(f"GET {template}").shape
        except PatternError as error:
            self._fault(item, str(error), template)
            return False
        if shape in shapes:
            other, tree = shapes[shape]
            self._fault(item, f"matches the same requests as {other} ({tree.file.name}:{tree.line})", template)
        shapes.setdefault(shape, (template, item))
        return self._mapping(item, "path", template)

    def _ids(self, collected: list[tuple[Operation, Tree]]) -> None:
        first: dict[str, Operation] = {}
        for operation, tree in collected:
            if operation.id in first:
                message = f"the operationId {operation.id} is that of {first[operation.id].name} too"
                self._fault(tree.get("operationId") or tree, message, operation.name)
            first.setdefault(operation.id, operation)

    def _operation(self, method: str, template: str, tree: Tree, item: Tree) -> Operation:
        frames = tree.get("x-frames")
        name = f"{'WS' if frames else method} {template}"
        identity = tree.get("operationId")
        if identity is not None and not isinstance(identity.value, str):
            self._fault(identity, "must be text", name)
        queries = self._parameters(template, tree, item, name)
        body = tree.get("requestBody")
        bodies = self._content(body, name) if body and self._mapping(body, "body", name) else {}
        given = str(identity.value) if identity else name
        talk = self._frames(frames, name) if frames else {}
        return Operation(given, name.split(" ")[0], template, self._answers(tree, name), bodies, talk, queries)

    def _otherwise(self, tree: Tree) -> Operation | None:
        if not self._mapping(tree, "otherwise", "x-otherwise"):
            return None
        return Operation(OTHERWISE, "*", "/*", self._answers(tree, "x-otherwise"))

    def _frames(self, tree: Tree, name: str) -> dict[str, Schema]:
        return {side: self._schema(one, name) for side, one in tree.entries()} if self._mapping(tree, "frames") else {}

    def _parameters(self, template: str, tree: Tree, item: Tree, name: str) -> frozenset[str]:
        """Return the names of query parameters, and check that the path parameters are those of the template."""
        given: set[tuple[str, str]] = set()
        for holder in (item, tree):
            parameters = holder.get("parameters")
            for parameter in parameters.below.values() if parameters else ():
                if self._mapping(parameter, "parameter", name):
                    given |= self._parameter(parameter, name)
        segments = Pattern.parse(f"GET {template}").segments
        wanted = {segment.name for segment in segments if isinstance(segment, Parameter)}
        described = {called for where, called in given if where == "path"}
        for lacking in sorted(wanted - described):
            self._fault(tree, f"the parameter {{{lacking}}} is not described", name)
        for extra in sorted(described - wanted):
            self._fault(tree, f"describes the parameter {{{extra}}}, which is not in the path", name)
        return frozenset(called for where, called in given if where == "query")

    def _parameter(self, tree: Tree, name: str) -> set[tuple[str, str]]:
        """Return a parameter's location and name; nothing if they are missing."""
        where, called = (entry.value if (entry := tree.get(key)) else None for key in ("in", "name"))
        if where not in _PARAMETER_LOCATIONS or not isinstance(called, str):
            self._fault(tree, f"a parameter needs a `name`, and `in`: one of {', '.join(_PARAMETER_LOCATIONS)}", name)
            return set()
        required = tree.get("required")
        if where == "path" and (required is None or required.value is not True):
            self._fault(tree, f"the path parameter {{{called}}} must be `required: true`", name)
        schema = tree.get("schema")
        if schema is not None:
            self._schema(schema, name)
        return {(str(where), called)}

    def _answers(self, tree: Tree, name: str) -> dict[str, DeclaredAnswer]:
        responses = tree.get("responses")
        if responses is None or not responses.below:
            self._fault(responses or tree, "has no `responses`", name)
            return {}
        return {
            status: self._once(answer, f"{name} {status}", self._answer, self._answers_read)
            for status, answer in responses.entries()
            if not status.startswith("x-") and self._status(status, answer, name)
        }

    def _status(self, status: str, tree: Tree, name: str) -> bool:
        number = status[:1] in "12345" and len(status) == 3 and (status[1:].isdecimal() or status[1:] == "XX")
        if not number and status != "default":
            self._fault(tree, f"{status} is not a status: three digits, 4XX or default", name)
            return False
        return self._mapping(tree, "response", f"{name} {status}")

    def _answer(self, tree: Tree, name: str) -> DeclaredAnswer:
        if tree.get("description") is None:
            self._fault(tree, "a response needs a `description`", name)
        headers: dict[str, DeclaredHeader] = {}
        declared = tree.get("headers")
        for called, header in declared.entries() if declared else ():
            if self._mapping(header, "header", f"{name} {called}"):
                headers[called.lower()] = self._header(header, f"{name} {called}")
        return DeclaredAnswer(headers, self._content(tree, name))

    def _header(self, tree: Tree, name: str) -> DeclaredHeader:
        schema, required = tree.get("schema"), tree.get("required")
        return DeclaredHeader(
            self._schema(schema, name) if schema else Schema(True), bool(required and required.value is True)
        )

    def _content(self, tree: Tree, name: str) -> dict[str, Schema]:
        content, collected = tree.get("content"), dict[str, Schema]()
        for media, entry in content.entries() if content else ():
            if "/" not in media:
                self._fault(entry, f"{media} is not a media type", name)
            elif self._mapping(entry, "media", f"{name} {media}"):
                schema = entry.get("schema")
                self.faults += hiding_faults(schema, f"{name} {media}") if schema else ()
                collected[media.lower()] = self._schema(schema, f"{name} {media}") if schema else Schema(True)
        return collected

    def _schema(self, tree: Tree, name: str) -> Schema:
        return self._once(tree, name, self._checked_schema, self._schemas_read)

    def _checked_schema(self, tree: Tree, name: str) -> Schema:
        self.faults += schema_faults(tree, name)
        return Schema(tree.value)

    def _once(self, tree: Tree, name: str, read: Callable[[Tree, str], _Read], known: dict[int, _Read]) -> _Read:
        """Return what is read of a tree. One that is referred to several times is read once, unless it has faults."""
        result = known.get(id(tree.value))
        if result is None:
            number = len(self.faults)
            result = read(tree, name)
            if len(self.faults) == number:
                known[id(tree.value)] = result
        return result

    def _mapping(self, tree: Tree, kind: str, name: str = "") -> bool:
        if not isinstance(tree.value, dict):
            self._fault(tree, "must be a mapping (`key: value`)", name)
            return False
        for key, entry in tree.entries():
            if key not in _KEYS[kind] and not (key.startswith("x-") and key not in ("x-compare", "x-report")):
                hint = did_you_mean(key, sorted(_KEYS[kind]), "`{}`".format)
                self._fault(entry, f"unknown key `{key}`{hint}", name)
        return True

    def _fault(self, tree: Tree, message: str, name: str = "") -> None:
        self.faults.append(tree.fault(message, name))
