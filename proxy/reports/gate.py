"""The gate for CI: the routes that fail, with reasons. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from proxy.config.field_types import FULL, show_share
from proxy.reports.models import FieldSummary, RouteSummary
from proxy.reports.triage import ATTENTION, TrackedDifference, difference_id
from proxy.types import BasisPoints
from proxy.wording import counted


@dataclass(frozen=True, slots=True)
class Gate:
    """The conditions for each route.

    `max_mismatch`: the share of comparisons that may be a mismatch or a violation, in basis points; None for any.
    `min_compared`: the number of comparisons that a route needs, if any of its requests should have been compared.
    """

    max_mismatch: BasisPoints | None = None
    min_compared: int = 0


@dataclass(frozen=True, slots=True)
class RouteResult:
    """A route at the gate: it fails for the `reasons`. `fields` have unexplained differences, in order of attention."""

    summary: RouteSummary
    reasons: tuple[str, ...]
    fields: tuple[tuple[FieldSummary, str, str], ...] = ()

    @property
    def route(self) -> str:
        """Return the route's name."""
        return self.summary.route

    @property
    def compared(self) -> int:
        """Return the number of comparisons."""
        return self.summary.compared

    @property
    def skipped(self) -> bool:
        """Return True if nothing was compared and nothing had to be."""
        return not self.compared and not self.reasons


def evaluate(
    gate: Gate,
    routes: Sequence[RouteSummary],
    fields: Sequence[FieldSummary],
    differences: Mapping[str, TrackedDifference],
    required: Collection[str] = (),
) -> list[RouteResult]:
    """Return the result of each route; `required` routes need `min_compared` comparisons even without a report."""
    known = {one.route for one in routes}
    absent = [RouteSummary(name) for name in required if name not in known] if gate.min_compared else []
    return [
        _result(
            gate if _is_to_be_compared(route, required) else replace(gate, min_compared=0), route, fields, differences
        )
        for route in (*routes, *absent)
    ]


def _is_to_be_compared(route: RouteSummary, required: Collection[str]) -> bool:
    """Return False for a route whose requests were only counted, such as a write without a dry run."""
    return bool(route.compared or route.skipped) or route.route in required


def exceeds(route: RouteSummary, share: BasisPoints) -> bool:
    """Return True if more than a share of a route's comparisons differ."""
    return route.failed * FULL > share * route.compared


def with_states(
    fields: Sequence[FieldSummary], differences: Mapping[str, TrackedDifference]
) -> tuple[tuple[FieldSummary, str, str], ...]:
    """Return fields with the id and the state of each difference: returned and new ones first, then by their order."""
    listed = []
    for one in fields:
        identity = difference_id(one.route, one.field, one.kind)
        listed.append((one, identity, differences[identity].state if identity in differences else ""))
    ranks: dict[str, int] = {state: rank for rank, state in enumerate(ATTENTION)}
    return tuple(sorted(listed, key=lambda one: ranks.get(one[2], len(ranks))))


def _result(
    gate: Gate, route: RouteSummary, fields: Sequence[FieldSummary], differences: Mapping[str, TrackedDifference]
) -> RouteResult:
    own = [one for one in fields if one.route == route.route and one.unexplained]
    returned = [one for one in differences.values() if one.route == route.route and one.state == "returned"]
    reasons = [f"{one.field} ({one.kind}) was fixed and has returned" for one in returned]
    if route.compared < gate.min_compared:
        reasons.append(f"{counted(route.compared, 'comparison', ',')}; the minimum is {gate.min_compared:,}")
    if gate.max_mismatch is not None and exceeds(route, gate.max_mismatch):
        failing = f"{route.different:.2%} of {counted(route.compared, 'comparison', ',')} differ: {route.failures}"
        reasons.append(f"{failing}; the limit is {show_share(gate.max_mismatch)}")
    return RouteResult(route, tuple(reasons), with_states(own, differences))
