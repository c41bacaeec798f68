"""Mask possible secrets in routing.yaml, in comments too. Pure.

A value is shown if the models know its key and do not declare it a secret. Any other value (misplaced, or of a
misspelt key) may be a secret, and is shown only if it is as short and plain as `5%`. Of a secret, only a reference
(`${NAME}`) is shown. Of a text that is not valid YAML, at most one line is shown. Line numbers stay the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Final, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr

from proxy.config.credentials import CREDENTIALS, MASK
from proxy.config.models import RoutingFile
from proxy.config.section import section_keys

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REFERENCE: Final = re.compile(r"\$\{\w+(?::-)?\}", re.ASCII)
_DULL: Final = re.compile(r"[\d.]{0,6} ?(?:%|x|ms|s|m|h|d|B|KiB|MiB)?|true|false|yes|no|on|off|null|~", re.ASCII)
_WORD: Final = re.compile(r"[\w.-]{1,24}", re.ASCII)
_REVEALING: Final = re.compile(
    r"(?:^#[\s-]*|[{,]\s*)[\w.-]*(?:secret|token|passw|passphrase|pwd|credential|key|url)\w*\s*[:=]|://\S*@",
    re.IGNORECASE,
)
"""A comment that contains a setting, which may be a secret."""
_OPAQUE: Final = re.compile(r"\w{20}|://")
"""A part of a line, unreadable for the parser, that may be a secret after a known key."""
_KEYS: Final = re.compile(r"""(?:^[\s\[{-]*|[{,]\s*)["']?([\w.-]+)["']?\s*(?::\s|:?$)""", re.ASCII)
_KEY: Final = re.compile(r"[ \t]*(?:- +)?([\w.-]+):(?=\s|$)", re.ASCII)
_COMMENT: Final = re.compile(r"(?:(?<=\s)|^)#.*", re.MULTILINE)

_Meaning = Any
"""The models' annotation of a position; `_FREE` below `x-…`, where anything is allowed; None if nothing is."""
_FREE: Final = object()
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with its secrets masked, and the masked pieces."""

    text: str
    left_out: tuple[str, ...] = field(repr=False)


@lru_cache(maxsize=4)
def masked(text: str) -> Masked | None:
    """Return the text with its secrets masked; None if it is not valid YAML."""
    walk = _SecretScanner()
    return _shown(text, walk) if walk.read(text) else None


def _shown(text: str, walk: _SecretScanner) -> Masked:
    spans = walk.left_out | {walk.anchors[name] for name in walk.secret_aliases if name in walk.anchors}
    scalars = [span for span in sorted(walk.scalars) if span[0] < len(text)]
    return Masked("".join(_pieces(text, scalars, spans)), tuple(text[start:end] for start, end in sorted(spans)))


def masked_line(text: str, number: int) -> str | None:
    """Return a line (from 1) with its secrets masked, even of an invalid text; None without such a line.

    If the parser could not read the line and it may contain a secret, only a known key is shown.
    """
    lines = text.splitlines()
    if not 0 < number <= len(lines):
        return None
    walk = _SecretScanner()
    read = text if walk.read(text) else text[: text.rfind("\n", 0, walk.position) + 1]
    if number <= len(read.splitlines()):
        shown = _shown(read, walk).text.splitlines()
        return shown[number - 1] if number <= len(shown) else ""
    line = lines[number - 1]
    if all(map(_is_plain, lines[len(read.splitlines()) : number])):
        return line
    key = _KEY.match(line)
    return f"{key[0]} {MASK}" if key is not None and key[1] in _KNOWN | KEYS_OF_SECRETS else MASK


def _is_plain(line: str) -> bool:
    """Return True for a line with only known keys, none of them a secret's, or without words."""
    keys = _KEYS.findall(line)
    words = bool(keys) or not re.search(r"\w", line)
    return words and _KNOWN.issuperset(keys) and not _OPAQUE.search(line)


@dataclass(slots=True)
class _Level:
    """A mapping or list during parsing. `key`: its next scalar is a key. `value`: the meaning of its next value."""

    meaning: _Meaning
    mapping: bool
    key: bool = True
    value: _Meaning = None


@dataclass(slots=True)
class _SecretScanner:
    """Follows the YAML parser and records every scalar, and those that must not be shown.

    `position` is the end of what the parser has read, as an index of the text.
    """

    scalars: list[Span] = field(default_factory=list)
    left_out: set[Span] = field(default_factory=set)
    anchors: dict[str, Span] = field(default_factory=dict)
    secret_aliases: set[str] = field(default_factory=set)
    levels: list[_Level] = field(default_factory=lambda: [_Level(RoutingFile, mapping=False, value=RoutingFile)])
    position: int = 0

    def read(self, text: str) -> bool:
        """Process all events of a text. Return False if it is not valid YAML."""
        try:
            for event in yaml.parse(text, Loader=_Loader):
                self.take(event)
                self.position = event.end_mark.index if event.end_mark is not None else self.position
        except (yaml.YAMLError, ValueError):
            return False
        return True

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            if SecretStr in _plain(self._next()) and event.anchor:
                self.secret_aliases.add(event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.levels.append(_opened(self._next(), mapping=isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.CollectionEndEvent):
            self.levels.pop()

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        assert event.start_mark is not None
        assert event.end_mark is not None
        span = event.start_mark.index, event.end_mark.index
        self.scalars.append(span)
        if event.anchor:
            self.anchors[event.anchor] = span
        level = self.levels[-1]
        if level.mapping and level.key:
            level.key, level.value = False, _below(level.meaning, event.value)
            shown = level.value is not None or _WORD.fullmatch(event.value) is not None
        else:
            shown = _may_be_shown(event.value, self._next())
        if not shown:
            self.left_out.add(span)

    def _next(self) -> _Meaning:
        """Return the meaning of the value that follows."""
        level = self.levels[-1]
        level.key = True
        return level.value


def _opened(meaning: _Meaning, *, mapping: bool) -> _Level:
    return _Level(meaning, mapping, value=None if mapping else _items(meaning))


def _items(meaning: _Meaning) -> _Meaning:
    """Return the meaning of a list's items: a tuple's, or the value's own, since one item may stand for a list."""
    tuples = [one for one in _plain(meaning) if get_origin(one) is tuple]
    return get_args(tuples[0])[0] if tuples else meaning


def _below(meaning: _Meaning, key: str) -> _Meaning:
    if meaning is RoutingFile and key.startswith("x-"):
        return _FREE
    origin: Any = get_origin(meaning)
    if origin is dict:
        return get_args(meaning)[1]
    sections = _SECTIONS if meaning is _FREE else [one for one in _plain(meaning) if _is_section(one)]
    fields = [section_keys(section) for section in sections]
    annotations = [each[key].annotation for each in fields if key in each]
    if any(SecretStr in _plain(one) for one in annotations):
        return SecretStr
    if meaning is _FREE:
        free = not annotations or any(_is_section(one) for one in _plain(annotations[0]))
        return _FREE if free else annotations[0]
    return annotations[0] if annotations else None


def _may_be_shown(value: str, meaning: _Meaning) -> bool:
    kinds = set(_plain(meaning))
    if SecretStr in kinds:
        return _REFERENCE.fullmatch(value) is not None
    if meaning is None or meaning is _FREE or any(_is_section(kind) for kind in kinds):
        return _DULL.fullmatch(value) is not None
    return CREDENTIALS.search(value) is None


def _plain(annotation: _Meaning) -> list[Any]:
    """Return an annotation's types, without `Annotated` and `| None`."""
    origin: Any = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin is tuple or not get_args(annotation):
        return [annotation]
    return [kind for one in get_args(annotation) for kind in _plain(one)]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _within(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield section
    for one in section.model_fields.values():
        for kind in (inner for outer in _plain(one.annotation) for inner in _plain(_items(outer))):
            if _is_section(kind):
                yield from _within(kind)


_SECTIONS: Final = tuple(_within(RoutingFile))
KEYS_OF_SECRETS: Final = frozenset(
    key for section in _SECTIONS for key, one in section_keys(section).items() if SecretStr in _plain(one.annotation)
)
_KNOWN: Final = frozenset(key for section in _SECTIONS for key in section_keys(section)) - KEYS_OF_SECRETS


def _pieces(text: str, scalars: list[Span], spans: set[Span]) -> Iterator[str]:
    at = 0
    for start, end in scalars:
        yield _COMMENT.sub(_comment, text[at:start])
        scalar = text[start:end]
        yield MASK + "\n" * scalar.count("\n") if (start, end) in spans else scalar
        at = end
    yield _COMMENT.sub(_comment, text[at:])


def _comment(comment: re.Match[str]) -> str:
    return f"# {MASK}" if _REVEALING.search(comment[0]) else comment[0]
