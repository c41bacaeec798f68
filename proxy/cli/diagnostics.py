"""Print problems of files: for people with a caret, as JSON, and for GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proxy.config.problems import Problem

Format = Literal["text", "json", "github"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem, or a warning, of a file."""

    file: str
    problem: Problem
    severity: Literal["error", "warning"] = "error"


def text_of(diagnostics: Iterable[Diagnostic]) -> list[str]:
    """Return the lines for people: each problem, and below it the line of the file with a caret."""
    lines: list[str] = []
    sources: dict[str, str] = {}
    for each in diagnostics:
        suffix = " (warning)" if each.severity == "warning" else ""
        lines.append(each.problem.located(each.file, column=True) + suffix)
        if each.file not in sources:
            sources[each.file] = _text(each.file)
        from proxy.config.excerpt import excerpt  # needed only for a file with problems

        lines += excerpt(sources[each.file], each.problem)
    return lines


def json_of(diagnostics: Iterable[Diagnostic]) -> str:
    """Return a JSON list of objects with `file`, `line`, `column`, `where`, `message` and `severity`."""
    listed = [
        {
            "file": each.file,
            "line": each.problem.line,
            "column": each.problem.column,
            "where": each.problem.where,
            "message": each.problem.message,
            "severity": each.severity,
        }
        for each in diagnostics
    ]
    return json.dumps(listed, indent=2, ensure_ascii=False)


def github_of(diagnostics: Iterable[Diagnostic]) -> list[str]:
    """Return workflow commands, which GitHub shows as annotations of the changed lines."""
    return [_annotation(each) for each in diagnostics]


def _annotation(diagnostic: Diagnostic) -> str:
    problem = diagnostic.problem
    location = {"file": diagnostic.file, "line": problem.line, "col": problem.column, "title": problem.where}
    properties = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in location.items() if value)
    return f"::{diagnostic.severity} {properties}::{_escaped(problem.message)}"


def _escaped(text: str, more: str = "") -> str:
    """Return text for a workflow command: characters that would end a property or the command are percent-encoded."""
    for sign in "%\r\n" + more:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def _text(file: str) -> str:
    """Return the text of a file; empty if it has none."""
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return ""
