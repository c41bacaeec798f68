"""The instructions for the model, from a YAML file: the shipped one or the operator's own.

    instructions = read_instructions(Path("instructions.yaml"))
    system = instructions.codes.fill(summary="A cough.")

A file has one text per task and no other keys. `${name}` is a placeholder of the task, `$${name}` that text itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import yaml

PLACEHOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "summary": (),
    "codes": ("summary",),
    "images": (),
    "search": (),
}
"""The keys of a file, with the placeholders that each text may contain."""

SHIPPED_FILE: Final = Path(__file__).with_name("instructions.yaml")
_PLACEHOLDER: Final = re.compile(r"\$(\$?)\{([^{}\n]*)\}")


class InstructionsError(ValueError):
    """Raised for an invalid file; the message names the file, and every fault with its line."""


@dataclass(frozen=True)
class Template:
    """A text with placeholders."""

    text: str

    def fill(self, **values: str) -> str:
        """Return the text with the placeholders replaced."""
        return _PLACEHOLDER.sub(lambda match: match[0][1:] if match[1] else values[match[2]], self.text)

    @property
    def opening(self) -> str:
        """Return the text before its first placeholder."""
        first = next((match for match in _PLACEHOLDER.finditer(self.text) if not match[1]), None)
        return Template(self.text if first is None else self.text[: first.start()]).fill()


@dataclass(frozen=True)
class Instructions:
    """The instructions for each task."""

    summary: Template
    codes: Template
    images: Template
    search: Template


def read_instructions(file: Path) -> Instructions:
    """Return the instructions in a file; raises `InstructionsError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InstructionsError(f"{file}: {reason}") from error
    return parse_instructions(text, str(file))


def parse_instructions(text: str, name: str) -> Instructions:
    """Return the instructions in a YAML text; `name` stands for it in an `InstructionsError`."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InstructionsError(f"{name}{line}: {getattr(error, 'problem', None) or 'not YAML'}") from error
    if not isinstance(root, yaml.MappingNode):
        raise InstructionsError(f"{name}: the keys {', '.join(PLACEHOLDERS)} are expected")
    faults = [f"line {line}: {fault}" for line, fault in _faults(root)]
    present = {key.value for key, _ in root.value}
    faults += [f"{key} is missing" for key in PLACEHOLDERS if key not in present]
    if faults:
        raise InstructionsError(f"{name}: {'; '.join(faults)}")
    texts = {key.value: Template(value.value) for key, value in root.value}
    return Instructions(**{field.name: texts[field.name] for field in fields(Instructions)})


def _faults(root: yaml.MappingNode) -> Iterator[tuple[int, str]]:
    known: set[str] = set()
    for key, value in root.value:
        line = key.start_mark.line + 1
        if key.value not in PLACEHOLDERS:
            yield line, f"{key.value} is not a key{_suggestion(str(key.value), PLACEHOLDERS)}"
        elif key.value in known:
            yield line, f"{key.value} is there twice"
        elif value.tag != "tag:yaml.org,2002:str" or not value.value.strip():
            yield line, f"{key.value} must be a text"
        else:
            yield from _unknown_placeholders(key.value, value)
        known.add(key.value)


def _unknown_placeholders(key: str, node: yaml.ScalarNode) -> Iterator[tuple[int, str]]:
    allowed = PLACEHOLDERS[key]
    for match in _PLACEHOLDER.finditer(node.value):
        if not match[1] and match[2] not in allowed:
            usable = f"it has {', '.join(f'${{{name}}}' for name in allowed)}" if allowed else "it has none"
            yield _line_of(node, match[0]), f"{key} has no placeholder {match[0]}: {usable}"


def _line_of(node: yaml.ScalarNode, placeholder: str) -> int:
    """Return the line of a placeholder; folded text is searched as written in the file."""
    start, end = node.start_mark, node.end_mark
    before = start.buffer[start.pointer : end.pointer].partition(placeholder)[0] if start.buffer else ""
    return int(start.line + 1 + before.count("\n"))


def _suggestion(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f": did you mean {close[0]}?" if close else ""


SHIPPED: Final = read_instructions(SHIPPED_FILE)
