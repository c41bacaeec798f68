"""Convert a YAML document to a Config: substitute references, build models, report problems with lines."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from proxy.config import error_messages, groups, rules, target_rules, yaml_nodes
from proxy.config.credentials import mask_credentials
from proxy.config.environment import SubstitutionError, UnsetVariableError, references, substitute
from proxy.config.inheritance import inherited
from proxy.config.models import Config, Route, RoutingFile
from proxy.config.problems import ConfigError, Problem
from proxy.config.service_models import MongoSettings
from proxy.config.targets import ListReader
from proxy.types import Backend

Location = tuple[int | str, ...]
_NO_VALUE: Final = "has no value, and counts as absent: give it one, or remove the key"
_OF_KEYS: Final = ("unknown key", "renamed", "is missing", _NO_VALUE)
"""Beginnings of messages about a key rather than its value."""
_Model = TypeVar("_Model", bound=BaseModel)
PIN_VARIABLE: Final = "SCRIBE_PROXY_PIN"
MONGODB_VARIABLE: Final = "MONGODB_URL"
_SECRETS: Final[frozenset[Location]] = frozenset(
    {
        ("overrides", "secret"),
        ("reports", "key"),
        ("mongodb", "url"),
        ("notify", "url"),
        ("notify", "secret"),
        ("tokens", "secret"),
    }
)
ROUTE_SECTIONS: Final = frozenset({"bucketing", "defaults", "groups", "routes"})
"""The sections that determine the routes, their shares in the file, and each caller's bucket."""
SHARE_SECTIONS: Final = frozenset({"defaults", "groups", "mongodb", "routes"})
"""The sections that determine the routes, their shares, and the MongoDB that stores those in force."""
REPORT_SECTIONS: Final = SHARE_SECTIONS | {"contracts"}
"""The sections that determine the stored reports, their routes, and the contracts that explain them."""
_PLACEHOLDERS: Final[Mapping[str, Any]] = {
    "legacy": {"url": "http://unset"},
    "native": "unset:app",
    "tokens": {"secret": "unset"},
}
"""Values of sections without which a file with the same routes may be invalid."""


class ConfigReader:
    """The plain values of a document, their lines, and the problems collected so far.

    `needed`: other sections may have variables that are not set, and have other values then; by default none may.
    """

    def __init__(
        self,
        root: yaml_nodes.Mapping,
        env: Mapping[str, str],
        lists: ListReader | None = None,
        needed: Container[str] | None = None,
    ) -> None:
        self._lists: Final = lists
        self._needed: Final = needed
        self._root: Final = root
        self._env: Final = env
        self._lines: dict[Location, int] = {(): root.line}
        self._columns: dict[Location, int] = {}  # of the value if it is on the line of its key, else of the key
        self._key_columns: dict[Location, int] = {}
        self._filled: set[Location] = set()  # values from the environment: never quoted
        self._lacking: set[Location] = set()  # values whose variable is not set, reported once
        self._unset: set[str] = set()  # sections that are not needed, with such a value
        self._empty: dict[Location, Problem] = {}  # keys without a value, with their warnings
        self._origins: dict[Location, Location] = {}  # locations at which inherited settings are written
        self._inherited_at: dict[Problem, Location] = {}
        self._problems: list[Problem] = []
        self._names: Final = _names(root)
        self._data: Final[dict[str, Any]] = self._plain(root, ())
        self._replace_unset()

    def config(self, duplicates: Iterable[Problem]) -> Config:
        """Return the configuration. Raises ConfigError with every problem."""
        self._problems += duplicates
        head = self._head()
        routes = self._routes(head)
        native = self._data.get("native") is not None
        self._problems += rules.between(self._outlines(), self._locate)
        self._problems += rules.within(routes, native=native, locate=self._locate)
        if head is not None:
            named = {outline.group for outline in self._outlines() if outline.group is not None}
            self._problems += groups.problems(routes, head.groups, named, self._locate)
            verifies = bool(head.tokens.secret.get_secret_value())
            self._problems += target_rules.problems(routes, verifies=verifies, locate=self._locate)
        self._problems += self._mispinned()
        self._problems += rules.overall(head, native=native, locate=self._locate) if head is not None else ()
        if self._problems or head is None:
            raise ConfigError(tuple(self._problems))
        values = {name: getattr(head, name) for name in head.model_fields_set}
        values["routes"] = tuple(route for _, route in routes)
        values["mongodb"] = self._mongodb(head)
        shared = bool(values["mongodb"].url.get_secret_value())
        warnings = [*self._empty.values(), *rules.notes(routes, docs=head.docs, shared=shared, locate=self._locate)]
        warnings += groups.notes(routes, head.groups, self._locate)
        verifies = bool(head.tokens.secret.get_secret_value())
        warnings += target_rules.notes(routes, head.bucketing.key, verifies=verifies, locate=self._locate)
        notes = tuple(sorted(self._without_partial(warnings)))
        values |= {"pin": self._pin(), "revision": _digest(self._root, routes), "notes": notes}
        values["unset"] = frozenset(self._unset)
        return Config.model_construct(set(values), **values)  # each value is validated already

    def _mongodb(self, head: RoutingFile) -> MongoSettings:
        """Return the section in the file, or else the MongoDB of the environment."""
        url = self._env.get(MONGODB_VARIABLE, "")
        if "url" in head.mongodb.model_fields_set or not url:
            return head.mongodb
        return head.mongodb.model_copy(update={"url": SecretStr(url)})

    def _pin(self) -> Backend | None:
        value = self._env.get(PIN_VARIABLE, "")
        return next((backend for backend in get_args(Backend) if backend == value), None)

    def _mispinned(self) -> Iterator[Problem]:
        value = self._env.get(PIN_VARIABLE, "")
        if value and self._pin() is None:
            yield Problem(0, PIN_VARIABLE, f"the environment variable must be legacy or native, not {value[:60]!r}")
        if value == "native" and self._data.get("native") is None:
            yield Problem(0, PIN_VARIABLE, "the environment variable pins all to native; there is no `native:` app")

    def _routes(self, head: RoutingFile | None) -> list[rules.Placed]:
        """Return the valid routes, each with its index in the list; inherited settings are included."""
        listed = self._data.get("routes")
        items = enumerate(listed if isinstance(listed, list) else ())
        read = [
            (index, self._validated(Route, self._with_inherited(index, item, head), ("routes", index)))
            for index, item in items
        ]
        return [(index, route) for index, route in read if route is not None]

    def _with_inherited(self, index: int, item: object, head: RoutingFile | None) -> object:
        """Return a route's plain values with inherited settings, and record where those are written."""
        if not isinstance(item, dict) or head is None:
            return item
        inherited_values = inherited(item, head.defaults, head.groups)
        self._origins |= {("routes", index, key): location for key, (_, location) in inherited_values.items()}
        return {**item, **{key: value for key, (value, _) in inherited_values.items()}}

    def _without_partial(self, notes: list[Problem]) -> Iterator[Problem]:
        """Drop warnings about an inherited setting unless they apply to every route that inherits it."""
        heirs, number = Counter(self._origins.values()), Counter(notes)
        return (warning for warning in number if number[warning] >= heirs[self._inherited_at.get(warning, ())])

    def _outlines(self) -> list[rules.Outline]:
        """Return name, pattern and group of every route, as far as they are readable."""
        listed = self._data.get("routes")
        items = enumerate(listed if isinstance(listed, list) else ())
        return [rules.Outline.of(index, item) for index, item in items if isinstance(item, dict)]

    def _head(self) -> RoutingFile | None:
        """Validate all sections except `routes`; include `routes` if it is not a list, to report that."""
        if isinstance(self._data.get("routes"), list):
            return self._validated(RoutingFile, {**self._data, "routes": []}, ())
        return self._validated(RoutingFile, self._data, ())

    def _validated(self, model: type[_Model], data: object, at: Location) -> _Model | None:
        try:
            return model.model_validate(data, context={"lists": self._lists})
        except ValidationError as error:
            self._problems += self._described(error.errors(include_url=False), at)
            return None

    def _described(self, errors: list[ErrorDetails], at: Location) -> Iterator[Problem]:
        meant = {error_messages.meant_by((*at, *error["loc"])) for error in errors if error_messages.is_unknown(error)}
        for error in errors:
            location = (*at, *error["loc"])
            written = self._written(location)
            if written in self._lacking and not error_messages.is_unknown(error):
                continue
            if error["type"] == "missing":
                if location not in meant:  # otherwise the misspelt key is already reported
                    yield self._locate("is missing", *location)
                continue
            message = error_messages.message(error, location)
            yield self._locate(mask_credentials(message + self._quoted(error, message, written)), *written)

    def _quoted(self, error: ErrorDetails, message: str, written: Location) -> str:
        """Return the rejected value for the message, unless it is secret or already in the message."""
        value = error["input"]
        if not isinstance(value, str) or error_messages.is_unknown(error):
            return ""
        if written in self._filled:
            return " (its value comes from the environment)"
        if message.endswith("?") or ", not '" in message:
            return ""
        if any(secret[: len(written)] == written for secret in _SECRETS):  # its own, or one in place of its section
            return ""
        return f", not {value[:60]!r}" + ("…" if len(value) > 60 else "")

    def _plain(self, node: yaml_nodes.Node, at: Location) -> Any:
        self._lines.setdefault(at, node.line)
        self._columns.setdefault(at, node.column)
        if isinstance(node, yaml_nodes.Sequence):
            return [self._plain(item, (*at, index)) for index, item in enumerate(node.items)]
        if isinstance(node, yaml_nodes.Mapping):
            entries = {
                key: self._entry(line, node.key_columns.get(key, 0), value, (*at, key))
                for key, (line, value) in node.entries.items()
            }
            return {key: value for key, value in entries.items() if (*at, key) not in self._empty}
        return self._filled_in(node, at)

    def _entry(self, line: int, column: int, node: yaml_nodes.Node, at: Location) -> Any:
        self._lines[at], self._key_columns[at] = line, column
        self._columns[at] = node.column if node.line == line and node.column > column else column
        if isinstance(node, yaml_nodes.Scalar) and node.text is None and at[-1] in error_messages.section_keys(at[:-1]):
            self._empty[at] = self._locate(_NO_VALUE, *at)
        return self._plain(node, at)

    def _filled_in(self, node: yaml_nodes.Scalar, at: Location) -> str | None:
        if node.text is None or "$" not in node.text:
            return node.text
        if references(node.text):
            self._filled.add(at)
        try:
            return substitute(node.text, self._env)
        except SubstitutionError as error:
            self._lacking.add(at)
            if self._needed is None or at[0] in self._needed or not isinstance(error, UnsetVariableError):
                self._problems.append(self._locate(str(error), *at))
            else:
                self._unset.add(str(at[0]))
            return node.text

    def _replace_unset(self) -> None:
        """Remove each section that is not needed and has an unset variable, or replace it by a placeholder."""
        for key in self._unset:
            del self._data[key]
            if key in _PLACEHOLDERS:
                self._data[key] = _PLACEHOLDERS[key]

    def _locate(self, message: str, *at: int | str) -> Problem:
        """Return a problem at a location; for an inherited setting, at the location where it is written."""
        origin = self._origins.get(at[:3])
        if origin is not None:
            at = (*origin, *at[3:])
        written = self._written(at)
        columns = self._key_columns if message.startswith(_OF_KEYS) else self._columns
        problem = Problem(self._lines[written], self._where(at), message, column=columns.get(written, 0))
        if origin is not None:
            self._inherited_at[problem] = origin
        return problem

    def _written(self, at: Location) -> Location:
        """Return the longest prefix of a location that exists in the file."""
        while at not in self._lines:
            at = at[:-1]
        return at

    def _where(self, at: Location) -> str:
        """Return `routes[notes.create].shadow.share`; a route without a name is given by its number, from 1."""
        text = ""
        for depth, part in enumerate(at):
            if isinstance(part, int):
                text += f"[{self._label(at[: depth + 1])}]"
            else:
                text += f".{part}" if text else part
        return text

    def _label(self, at: Location) -> str:
        name = self._names.get(at) or f"#{int(at[-1]) + 1}"
        return name if len(name) <= 64 else f"{name[:63]}…"  # the maximum of a valid name


def _names(root: yaml_nodes.Mapping) -> dict[Location, str]:
    """Return the names of routes as written, by location."""
    _, routes = root.entries.get("routes", (0, None))
    items = enumerate(routes.items if isinstance(routes, yaml_nodes.Sequence) else ())
    entries = {("routes", at): item.entries.get("name") for at, item in items if isinstance(item, yaml_nodes.Mapping)}
    named = ((location, entry[1]) for location, entry in entries.items() if entry)
    return {location: node.text for location, node in named if isinstance(node, yaml_nodes.Scalar) and node.text}


def _digest(root: yaml_nodes.Mapping, routes: Iterable[rules.Placed]) -> str:
    """Return twelve hexadecimal digits of the file and its value lists, before references are substituted."""
    digest = hashlib.sha256(json.dumps(_written_as(root), sort_keys=True).encode())
    listed = [
        (target.file, sorted(target.values))
        for _, route in routes
        for target in (*route.native_traffic.include.values(), *route.native_traffic.exclude.values())
        if target.file
    ]
    if listed:
        digest.update(json.dumps(listed).encode())
    return digest.hexdigest()[:12]


def _written_as(node: yaml_nodes.Node) -> Any:
    if isinstance(node, yaml_nodes.Sequence):
        return [_written_as(item) for item in node.items]
    if isinstance(node, yaml_nodes.Mapping):
        return {key: _written_as(value) for key, (_, value) in node.entries.items()}
    return node.text
