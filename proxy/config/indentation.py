"""Hints for YAML text that cannot be parsed because of its indentation. Pure."""

from __future__ import annotations

from proxy.wording import counted


def indentation_hint(text: str, line: int) -> str:
    """Return a hint if a line's indentation fits no open mapping or list; otherwise an empty text.

    `line` counts from 1; the parser may report the line itself or the one after it.
    """
    lines = text.splitlines()
    for number in (line, line - 1):
        if 1 <= number <= len(lines) and _is_content(lines[number - 1]):
            hint = _hint(lines, number)
            if hint:
                return hint
    return ""


def _hint(lines: list[str], number: int) -> str:
    own = _indent(lines[number - 1])
    levels = _levels(lines[: number - 1])
    if not levels or own in levels:
        return ""
    before = next((line for line in reversed(lines[: number - 1]) if _is_content(line)), "")
    if own > max(levels, default=0) and before.rstrip().endswith(":"):
        return ""
    wanted = " or ".join(str(level) for level in sorted(levels))
    return f"; line {number} is indented by {counted(own, 'space')}, the lines that it could belong to by {wanted}"


def _levels(lines: list[str]) -> set[int]:
    """Return the indentation of the mappings and lists that are open after some lines."""
    levels: list[int] = []
    for line in lines:
        if _is_content(line):
            indent = _indent(line)
            levels = [level for level in levels if level < indent] + [indent]
            stripped = line.lstrip(" ")
            if stripped.startswith("- "):
                levels.append(indent + len(stripped) - len(stripped[1:].lstrip(" ")))
    return set(levels)


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
