"""Suggest a rule or a divergence for a field in which the backends differ, with the evidence. Pure; applies nothing.

A field that legacy does not repeat is noise and needs a rule for its node of the schema. A field that legacy repeats is
either a fault of native or an intended divergence, whose reason only a person can give.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from proxy.comparison.exchanges import catch_all_divergences
from proxy.contract.divergences import Divergence
from proxy.contract.model import Contract, Operation
from proxy.contract.tree import Tree
from proxy.reports.counters import OTHER_FIELDS
from proxy.reports.models import FieldSummary
from proxy.types import DifferenceKind
from proxy.wording import counted

REASON: Final = "give the reason for this difference"
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
_IDENTITIES: Final = ("_id", "id")
_UNNAMED: Final = re.compile(r"~[b-t]*|<[a-z]+>")
_DOES: Final[dict[DifferenceKind, tuple[str, str]]] = {
    "missing": ("has it", "lacks it"),
    "extra": ("lacks it", "has it"),
    "type": ("has a value of one type", "has a value of another"),
    "value": ("has one value", "has another"),
    "format": ("spells it one way", "spells it another"),
    "order": ("has one order", "has another"),
    "status": ("answers one status", "answers another"),
    "outcome": ("ends one way", "ends another"),
    "header": ("has one value", "has another"),
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A suggestion. `where`: file and line for `rule` (YAML). `remark`: a warning, or the reason for no rule."""

    route: str
    field: str
    kind: DifferenceKind
    evidence: str
    where: str = ""
    rule: str = ""
    remark: str = ""


def suggest(
    field: FieldSummary,
    contract: Contract | None = None,
    tree: Tree | None = None,
    statuses: tuple[int, int] | None = None,
    release: str = "",
) -> Suggestion:
    """Return the suggestion for a field.

    `tree` is the contract's YAML tree; `statuses` are legacy's and native's in a sample; `release` becomes `since`.
    """
    operation = contract.named(field.operations[0]) if contract and field.operations else None
    if field.field == OTHER_FIELDS:
        return _suggestion(field, remark="this is all fields over the limit of a route: no rule fits all of them")
    if field.noise and field.field.startswith("body"):
        return _rule(field, operation, tree)
    return _divergence(field, operation, statuses, release)


def evidence(field: FieldSummary) -> str:
    """Return a text with the number of differences between the backends, and of legacy's from itself."""
    differs = f"differs in {counted(field.count, 'comparison', ',')}"
    if not field.replays:
        return f"{differs}; no request of this route was sent to legacy twice (shadow.noise)"
    if not field.noise:
        return f"{differs}; legacy repeated itself in all of {counted(field.replays, 'replay', ',')}"
    return f"{differs}; legacy differed from itself in {field.noise} of {counted(field.replays, 'replay', ',')}"


def _rule(field: FieldSummary, operation: Operation | None, tree: Tree | None) -> Suggestion:
    """Return an `x-compare` for a node of the schema."""
    steps = field.field.split(".")[1:]
    if not steps and field.kind != "order":
        return _suggestion(field, remark="a rule for the whole body would hide every difference")
    nodes = _response_nodes(tree, operation, steps) if tree and operation else []
    arrays = [one for one in nodes if one.get("items")]
    node = next(iter(arrays if field.kind == "order" and arrays else nodes), None)
    if node is None:
        return _suggestion(field, remark="the contract does not contain this field, so it has no node for a rule")
    return _suggestion(field, f"{node.file}:{node.line}", f"x-compare: {_compare(field.kind, node)}")


def _compare(kind: DifferenceKind, node: Tree) -> str:
    if kind == "format":
        return "instant"
    if kind != "order":
        return "ignore"
    named = [name for name in _IDENTITIES if any(True for _ in _nodes(node, ["*", name]))]
    return f"{{key: {named[0]}}}" if named else "unordered"


def _response_nodes(tree: Tree, operation: Operation, steps: Sequence[str]) -> list[Tree]:
    """Return the schema nodes for a path in an operation's answers, the outermost first."""
    responses = tree.at("paths", operation.template, operation.method.lower(), "responses")
    contents = (answer.get("content") for _, answer in responses.entries())
    media = (one for content in contents if content for _, one in content.entries())
    return [node for one in media if (schema := one.get("schema")) for node in _nodes(schema, steps)]


def _nodes(schema: Tree, steps: Sequence[str]) -> Iterator[Tree]:
    """Yield the schema nodes for a path, through properties and items."""
    if steps:
        properties = schema.get("properties")
        below = schema.get("items") if steps[0] == "*" else (properties.get(steps[0]) if properties else None)
        below = below or schema.get("additionalProperties")
        if below is not None and isinstance(below.value, dict):
            yield from _nodes(below, steps[1:])
    else:
        yield schema
    for keyword in _BRANCHES:
        branches = schema.get(keyword)
        for branch in branches.below.values() if branches else ():
            yield from _nodes(branch, steps)


def _divergence(
    field: FieldSummary, operation: Operation | None, statuses: tuple[int, int] | None, release: str
) -> Suggestion:
    """Return an entry of divergences.yaml, with a placeholder for the reason."""
    if operation is None:
        return _suggestion(field, remark="the contract has no operation for it, so no divergence can name one")
    glob = ".".join("*" if _UNNAMED.fullmatch(step) else step for step in field.field.split("."))
    legacy, native = _DOES[field.kind]
    entry: dict[str, Any] = {
        "id": re.sub(r"[^a-z0-9]+", "-", f"{operation.id} {glob} {field.kind}".lower()).strip("-"),
        "operation": operation.name,
        "legacy": f"{legacy}: {glob}",
        "native": f"{native}: {glob}",
        "reason": REASON,
        "since": release,
        "when": {"paths": [glob]},
    }
    remark = _breadth(entry, glob)
    if statuses and all(statuses):
        entry["when"] = {"legacy": {"status": statuses[0]}, "native": {"status": statuses[1]}, "paths": [glob]}
    return _suggestion(field, "divergences.yaml", yaml.safe_dump([entry], sort_keys=False, width=110).strip(), remark)


def _breadth(entry: dict[str, Any], glob: str) -> str:
    """Return a warning if an entry would explain more than this field."""
    if catch_all_divergences([Divergence.model_validate(entry)]):
        return "this explains any difference of the body and hides every fault; narrow it"
    return "this also explains every difference below; narrow it" if glob.endswith("*") else ""


def _suggestion(field: FieldSummary, where: str = "", rule: str = "", remark: str = "") -> Suggestion:
    return Suggestion(field.route, field.field, field.kind, evidence(field), where, rule, remark)
