"""Refusals (4xx) of native that a declared divergence describes, which do not count as errors. Pure.

Bodies are not read here. A divergence with a condition on a body therefore counts only if it names one operation. One
for many operations (`{method} /api/{a}`) would hide every refusal of that status.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.contract.divergences import AnswerPattern, Case, Divergence, covers, matches
from proxy.types import RawHeaders

_WILD_METHOD: Final = re.compile(r"\{[^{}]*\} ")


@dataclass(frozen=True, slots=True)
class _DeclaredRefusal:
    operation: str
    request: Mapping[str, Any]
    answer: Mapping[str, Any]

    def accepts(self, operation: str, request: RawHeaders, answer: RawHeaders) -> bool:
        if not covers(self.operation, operation):
            return False
        return _accepted(self.request, request) and _accepted(self.answer, answer)


class DeclaredRefusals:
    """The refusals that the divergences of a service declare."""

    def __init__(self, divergences: Iterable[Divergence] = ()) -> None:
        self._by_status: Final[dict[int, list[_DeclaredRefusal]]] = {}
        for divergence in divergences:
            for case in divergence.when:
                self._add(case.operation or divergence.operation, case)

    def include(self, operation: str, status: int, request: RawHeaders, answer: RawHeaders) -> bool:
        """Return whether an answer is a declared one. `operation`: method and path, as `GET /api/notes/17`."""
        refusals = self._by_status.get(status)
        return refusals is not None and any(each.accepts(operation, request, answer) for each in refusals)

    def _add(self, operation: str, case: Case) -> None:
        status = case.native.status
        if status is None or not 400 <= status < 500 or case.legacy.status == status or case.scenario:
            return
        needs_body = case.native.body != "*" or case.request.body != "*" or case.legacy != AnswerPattern()
        narrowed = bool(case.native.headers or case.request.headers)
        if _WILD_METHOD.match(operation) and needs_body and not narrowed:
            return
        refusal = _DeclaredRefusal(operation, case.request.headers, case.native.headers)
        self._by_status.setdefault(status, []).append(refusal)


def _accepted(patterns: Mapping[str, Any], headers: RawHeaders) -> bool:
    """Return whether all patterns hold; a pattern of None is for a header that is absent."""
    for name, pattern in patterns.items():
        wanted = name.lower().encode()
        value = next((value.decode("latin-1") for key, value in headers if key.lower() == wanted), None)
        if (value is not None) != (pattern is not None) or (pattern is not None and not matches(pattern, value)):
            return False
    return True
