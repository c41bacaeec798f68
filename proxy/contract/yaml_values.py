"""Values of YAML by the core schema of YAML 1.2: quoted text is text, and so are dates and `no`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from proxy.config import yaml_nodes
from proxy.types import JSON

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?", re.ASCII)
_BEGINNINGS: Final = frozenset("+-.0123456789")  # of numbers
_WORDS: Final[Mapping[str, bool | str]] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def value_of(node: yaml_nodes.Node | None) -> JSON:
    """Return the value of a node; None for an empty document."""
    if isinstance(node, yaml_nodes.Mapping):
        return {name: value_of(each) for name, (_, each) in node.entries.items()}
    if isinstance(node, yaml_nodes.Sequence):
        return [value_of(each) for each in node.items]
    return scalar_value(node) if node is not None else None


def scalar_value(scalar: yaml_nodes.Scalar) -> JSON:
    """Return the value of a scalar."""
    text = scalar.text
    if text is None or not scalar.plain:
        return text
    if text[:1] not in _BEGINNINGS:
        return _WORDS.get(text, text)
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
