"""Read YAML text into a tree of nodes with line numbers, within limits.

The tree is built from the parser's events. PyYAML's constructors discard lines, let a later key silently replace an
earlier one, guess types, and follow nesting and aliases without limit. Every scalar stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml

from proxy.config.indentation import indentation_hint
from proxy.config.problems import ConfigError, Problem

MAX_DEPTH: Final = 20
MAX_VALUES: Final = 100_000  # each use of an alias counts, so that aliases cannot multiply the size
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """A piece of text. `text` is None for an empty value or `null`. `plain`: written without quotes."""

    line: int
    text: str | None
    plain: bool = field(default=True, compare=False)
    column: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    line: int
    items: list[Node]
    column: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys in file order, each with its line."""

    line: int
    entries: dict[str, tuple[int, Node]]
    column: int = field(default=0, compare=False)
    key_columns: dict[str, int] = field(default_factory=dict, compare=False)


Node = Scalar | Sequence | Mapping


def read(text: str, max_depth: int = MAX_DEPTH) -> tuple[Node | None, tuple[Problem, ...]]:
    """Return the document's root (None for empty text) and its duplicate keys.

    Raises ConfigError if the text is not one YAML document within the limits.
    """
    composer = _Composer(_events(text), max_depth)
    try:
        root = composer.document()
    except yaml.MarkedYAMLError as error:
        raise ConfigError((_syntax(error, text),)) from None
    except yaml.YAMLError as error:
        raise ConfigError((Problem(1, "", f"not YAML: {str(error).splitlines()[0]}"),)) from None
    return root, tuple(composer.duplicates)


def _events(text: str) -> Iterator[yaml.Event]:
    tabbed = [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if "\t" in line[: len(line) - len(line.lstrip(" \t"))] and line.strip()
    ]
    if tabbed:
        others = f" (and {len(tabbed) - 1} more lines below)" if len(tabbed) > 1 else ""
        column = text.splitlines()[tabbed[0] - 1].index("\t") + 1
        raise ConfigError((Problem(tabbed[0], "", f"indented with a tab; YAML wants spaces{others}", column=column),))
    return iter(_Loader(text).get_event, None)


_UNQUOTED_PATH: Final = re.compile(r"""[{,]\s*match:\s*[^"'\s][^"']*\{""")
_UNQUOTED: Final = '; within braces, quote a path with a parameter: {match: "GET /notes/{id}"}'
_UNQUOTED_VARIABLE: Final = re.compile(r"""[:,\[]\s*[^"'\s,]*\$\{?$""")
_QUOTE_VARIABLE: Final = '; within braces, quote a variable: {url: "${LEGACY_URL}"}'


def _syntax(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = _position(mark.line + 1, mark.column + 1, text) if mark else (1, 0)
    reason = error.problem or error.context or "cannot be read"
    context = f" ({error.context})" if error.context and error.problem else ""
    hint = indentation_hint(text, line)
    if context and error.context_mark and ("flow" in context or "quoted" in context):
        context = f"{context[:-1]} that begins on line {error.context_mark.line + 1})"
        before = text.splitlines()[line - 1][:column]
        hint = _UNQUOTED if _UNQUOTED_PATH.search(before) else ""
        hint = _QUOTE_VARIABLE if _UNQUOTED_VARIABLE.search(before) else hint
    return Problem(line, "", f"not YAML: {reason}{context}{hint}", column=column)


def _position(line: int, column: int, text: str) -> tuple[int, int]:
    """Return a position from 1; a position after the text becomes the end of its last line that is not blank."""
    written = text.rstrip()
    last = written.count("\n") + 1
    return (line, column) if line <= last else (last, len(written) - written.rfind("\n"))


@dataclass(slots=True)
class _Composer:
    """Converts events to nodes: one document, within the limits of depth and size."""

    events: Iterator[yaml.Event]
    max_depth: int
    duplicates: list[Problem] = field(default_factory=list)
    anchors: dict[str, tuple[Node, int, int]] = field(default_factory=dict)  # with size and height
    values: int = 0

    def document(self) -> Node | None:
        next(self.events)  # the stream's start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        root = self.node(next(self.events), 0)
        next(self.events)  # the document's end
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.refuse(after, "a second document begins here; the file must hold one")
        return root

    def node(self, event: Any, depth: int) -> Node:
        self.values += 1
        if self.values > MAX_VALUES or depth > self.max_depth:
            self.count(event, 0)
            self.reach(event, depth)
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self.alias(event, depth)
        if event.tag is not None and event.tag != "!":
            self.refuse(event, f"the tag {event.tag} is not supported")
        before = self.values
        mark = event.start_mark
        if kind is yaml.ScalarEvent:
            text, plain = event.value, not event.style
            node: Node = Scalar(mark.line + 1, None if plain and text in _NULLS else text, plain, mark.column + 1)
        elif kind is yaml.SequenceStartEvent:
            node = Sequence(mark.line + 1, self.items(depth + 1), mark.column + 1)
        else:
            columns: dict[str, int] = {}
            node = Mapping(mark.line + 1, self.entries(depth + 1, columns), mark.column + 1, columns)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.values - before + 1, _height(node))
        return node

    def items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while type(event := next(self.events)) is not yaml.SequenceEndEvent:
            items.append(self.node(event, depth))
        return items

    def entries(self, depth: int, columns: dict[str, int]) -> dict[str, tuple[int, Node]]:
        """Return the entries of a mapping, and store the columns of its keys in `columns`."""
        entries: dict[str, tuple[int, Node]] = {}
        while type(event := next(self.events)) is not yaml.MappingEndEvent:
            if type(event) is not yaml.ScalarEvent:
                self.refuse(event, "a key must be plain text")
            mark: Any = event.start_mark
            key, line, column = event.value, mark.line + 1, mark.column + 1
            value = self.node(next(self.events), depth)
            if key in entries:
                message = f"already given on line {entries[key][0]}"
                self.duplicates.append(Problem(line, key, message, column=column))
            else:
                entries[key] = (line, value)
                columns[key] = column
        return entries

    def alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        anchored = self.anchors.get(str(event.anchor))
        if anchored is None:
            self.refuse(event, f"the alias *{event.anchor} has no anchor above it")
        node, size, height = anchored
        self.count(event, size)
        self.reach(event, depth + height)
        return node

    def count(self, event: yaml.Event, values: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            self.refuse(event, f"more than {MAX_VALUES:,} values (each use of an alias counts)")

    def reach(self, event: yaml.Event, depth: int) -> None:
        if depth > self.max_depth:
            self.refuse(event, f"nested more than {self.max_depth} levels deep")

    def refuse(self, event: yaml.Event, message: str) -> NoReturn:
        raise ConfigError((Problem(_line(event), "", message, column=_column(event)),))


def _height(node: Node) -> int:
    if isinstance(node, Scalar):
        return 0
    below = node.items if isinstance(node, Sequence) else [value for _, value in node.entries.values()]
    return 1 + max(map(_height, below), default=0)


def _line(event: yaml.Event) -> int:
    return int(event.start_mark.line) + 1 if event.start_mark else 1


def _column(event: yaml.Event) -> int:
    return int(event.start_mark.column) + 1 if event.start_mark else 0
