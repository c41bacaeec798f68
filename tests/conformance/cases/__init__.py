"""All cases, each with its family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.conformance.case import Case
from tests.conformance.cases import answer_framing, answer_heads, chunks, connections, framing, heads, targets, upgrades

FAMILIES: Final = {
    "Request framing": framing,
    "Chunked requests": chunks,
    "Request heads": heads,
    "Request lines": targets,
    "Upgrade and Expect": upgrades,
    "Connections": connections,
    "Answer framing": answer_framing,
    "Answer heads": answer_heads,
}


KNOWN: Final = frozenset(Path(__file__).with_name("known_faults.txt").read_text().splitlines())
"""The names of the cases whose outcome is wrong because of a known fault."""


def cases() -> list[Case]:
    """Return every case under a name of its own, `family: name`."""
    return [
        replace(case, family=family, name=name, known=name in KNOWN)
        for family, module in FAMILIES.items()
        for case in module.CASES
        for name in [f"{family}: {case.name}"]
    ]
