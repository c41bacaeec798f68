"""The problems on the migration board, each with its next action, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from proxy.config.problems import Problem
from proxy.ops.board.lines import GroupLine
from proxy.ops.formatting import ago, number, percent
from proxy.rollout.model import GUARD, Cap
from proxy.types import Backend

if TYPE_CHECKING:
    from proxy.reports.triage import TrackedDifference

Severity = Literal["bad", "warn"]
SETTLE_TIME: Final = 10.0
"""Seconds in which all processes apply a changed file, and publish that they have."""
SHADOW_FAILURES: Final = 3
"""Ends in a row after which a shadow process is a problem."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A problem: title, details, next action, and the page that shows more."""

    severity: Severity
    title: str
    detail: str
    action: str
    link: str


@dataclass(frozen=True, slots=True)
class BackendsHealth:
    """The health of both backends and of the shared state, of all `processes`.

    `legacy_reachable`: the process that answers can connect to legacy. `legacy_down`, `native_stopped`,
    `native_failing`: the number of processes whose circuit breaker is open, in which native does not run, or fails its
    health checks. `legacy_failures`: counts of the last minute by error code. `limits`: a sentence for each reached
    limit. `suspended`: the reason for each route whose guard is suspended. `refused`: a sentence for each other process
    whose file is refused. `revisions`: those in force. `revision_age`: seconds since the latest change of a
    revision, None if unknown. `shadow_failing`: the number of processes whose shadow process keeps ending.
    `wrong_clocks`: a sentence for each process whose clock differs from MongoDB's. `pin`: the backend of
    SCRIBE_PROXY_PIN in the process that answers.
    """

    legacy_reachable: bool = True
    legacy_down: int = 0
    legacy_requests: int = 0
    legacy_failures: Mapping[str, int] | None = None
    native_stopped: int = 0
    native_failing: int = 0
    processes: int = 1
    state_unreachable: bool = False
    limits: Sequence[str] = ()
    suspended: Mapping[str, str] = field(default_factory=dict)
    refused: Sequence[str] = ()
    revisions: Sequence[str] = ()
    revision_age: float | None = None
    shadow_failing: int = 0
    wrong_clocks: Sequence[str] = ()
    pin: Backend | None = None

    @property
    def different_files(self) -> bool:
        """True if processes have different revisions in force, although all have had the time to apply the same."""
        settled = self.revision_age is None or self.revision_age >= SETTLE_TIME
        return settled and len(set(self.revisions)) > 1

    @property
    def failing(self) -> int:
        """The requests of the last minute that legacy did not answer, if they are most of its requests; otherwise 0."""
        failures = sum((self.legacy_failures or {}).values())
        return failures if failures >= 5 and 2 * failures >= self.legacy_requests else 0

    @property
    def legacy(self) -> str:
        """The state of legacy in a few words."""
        if not self.legacy_reachable or self.legacy_down == self.processes:
            return "unreachable"
        if self.legacy_down:
            return f"unreachable{self._within(self.legacy_down, 'from')}"
        return "does not answer" if self.failing else "reachable"

    @property
    def native(self) -> str:
        """The state of native in a few words."""
        if self.native_stopped:
            return f"not running{self._within(self.native_stopped)}"
        return f"fails its health checks{self._within(self.native_failing)}" if self.native_failing else "started"

    def _within(self, number: int, preposition: str = "in") -> str:
        """Return ` in 1 of 3 processes`; an empty text for all of them."""
        return f" {preposition} {number} of {self.processes} processes" if number < self.processes else ""

    @property
    def shadow(self) -> str:
        """The processes whose shadow process keeps ending, in a few words."""
        return f"keeps ending{self._within(self.shadow_failing)}"


def alerts(
    lines: Sequence[GroupLine],
    problems: Sequence[Problem],
    revision: str,
    health: BackendsHealth,
    now: float,
    differences: Sequence[TrackedDifference] = (),
) -> tuple[Alert, ...]:
    """Return all problems, the worst first. `differences`: those of the reports that were observed recently."""
    every = [
        *(_rolled_back(line, now) for line in lines if line.cap is not None),
        *_refused(problems, revision),
        *_pinned(health, lines),
        *_backends(health),
        *_dependencies(health),
        *_differences(differences, now),
        *(_blocked(line) for line in lines if line.step.problem),
        *_limits(health),
        *_shadow(health),
        *_clocks(health),
    ]
    return tuple(sorted(every, key=lambda alert: alert.severity != "bad"))


def _rolled_back(line: GroupLine, now: float) -> Alert:
    assert line.cap is not None
    by = line.cap.by
    actor = "the guard" if by.actor == GUARD else by.actor
    detail = f"by {actor}, {ago(by.at, now)}: {by.reason}"
    action = f"{line.step.action[:1].upper()}{line.step.action[1:]}"
    return Alert("bad", f"{line.name} is rolled back to {percent(line.cap.share, 100)}", detail, action, _page(line))


def _refused(problems: Sequence[Problem], revision: str) -> Iterator[Alert]:
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        action = f"Correct the file; revision {revision} stays in force"
        yield Alert("bad", "routing.yaml is refused", _problem(problems[0]) + more, action, "/config")


def _problem(problem: Problem) -> str:
    where = f"{problem.where}: " if problem.where else ""
    return f"line {problem.line}: {where}{problem.message}"


def _pinned(health: BackendsHealth, lines: Sequence[GroupLine]) -> Iterator[Alert]:
    """Name a pin that overrides shares; one to native does not if native answers all callers of all groups anyway."""
    if health.pin == "legacy" or (health.pin == "native" and any(line.state != "done" for line in lines)):
        detail = f"{health.pin.capitalize()} answers every request, whatever the shares"
        action = "Unset it and restart the gateway to return to the shares"
        yield Alert("warn", f"SCRIBE_PROXY_PIN is {health.pin}", detail, action, "/live")


def _backends(health: BackendsHealth) -> Iterator[Alert]:
    if health.legacy.startswith("unreachable") and health.pin != "native":
        action = "Check legacy and its address"
        yield Alert("bad", f"Legacy is {health.legacy}", "It accepts no connections", action, "/live")
    elif health.failing:
        codes = _counts(health.legacy_failures or {})
        detail = f"{codes} of {number(max(health.legacy_requests, health.failing))} requests in the last minute"
        yield Alert("bad", "Legacy does not answer", detail, "Check legacy: it only accepts connections", "/live")
    if health.native_stopped:
        yield Alert("warn", f"Native is {health.native}", "Requests there go to legacy", "Check the log", "/live")
    elif health.native_failing:
        yield Alert("bad", f"Native {health.native}", "Guards cap its share", "Check native", "/live")
    for problem in health.refused:
        yield Alert("bad", "routing.yaml is refused by a process", problem, "Correct the file there", "/live")
    if health.different_files:
        detail = f"Revisions {', '.join(sorted(set(health.revisions)))} are in force"
        yield Alert(
            "warn",
            "Processes run different files",
            detail,
            "Deploy one routing.yaml to all; a change takes seconds",
            "/live",
        )
    if health.state_unreachable:
        detail = "Shares stay as last known; nothing is promoted"
        yield Alert("bad", "The shared state is unreachable", detail, "Check MongoDB", "/live")


def _dependencies(health: BackendsHealth) -> Iterator[Alert]:
    if health.suspended:
        name, reason = next(iter(health.suspended.items()))
        others = len(health.suspended) - 1
        more = f"; and {others} more route{'s' if others > 1 else ''}" if others else ""
        action = "Check the database, the model and the terminology server; guards of these routes are suspended"
        yield Alert("bad", "Dependencies of native fail", f"{name}: {reason}{more}", action, "/live")


def _differences(differences: Sequence[TrackedDifference], now: float) -> Iterator[Alert]:
    """Yield an alert for each difference that has returned, and one for all new ones."""
    for one in (one for one in differences if one.state == "returned"):
        fixed = one.history[-1]
        revision = f" in {fixed.revision}" if fixed.revision else ""
        detail = f"{fixed.actor} marked {one.field} ({one.kind}) as fixed{revision}; observed {ago(one.mark.at, now)}"
        action = "Roll back if callers are affected, and mark it again"
        yield Alert("bad", f"A difference has returned on {one.route}", detail, action, f"/differences/{one.id}")
    new = [one for one in differences if one.state == "new"]
    if new:
        routes = sorted({one.route for one in new})
        listed = ", ".join(routes[:3]) + (f" and {len(routes) - 3} more" if len(routes) > 3 else "")
        title = f"{number(len(new))} new difference{'s' if len(new) != 1 else ''}"
        action = "Fix, declare or mark them as known"
        yield Alert("warn", title, f"on {listed}, in the last 24 hours", action, "/comparisons?sort=attention")


def _blocked(line: GroupLine) -> Alert:
    needed = ", ".join(map(str, line.step.needed))
    detail = f"{line.step.blocked}: {needed}" if needed else line.step.blocked
    return Alert("warn", f"{line.name} is blocked at {line.share:g}%", detail, line.step.advice, _page(line))


def _limits(health: BackendsHealth) -> Iterator[Alert]:
    if health.limits:
        yield Alert(
            "warn",
            "A limit is reached",
            "; ".join(health.limits),
            "See the runbook: the gateway is overloaded",
            "/live",
        )


def _shadow(health: BackendsHealth) -> Iterator[Alert]:
    if health.shadow_failing:
        detail = "Nothing is compared there; callers are not affected"
        action = "Its own lines in the log name the cause; see the runbook: requests are not compared"
        yield Alert("warn", f"The shadow process {health.shadow}", detail, action, "/live")


def _clocks(health: BackendsHealth) -> Iterator[Alert]:
    if health.wrong_clocks:
        detail = f"{'; '.join(health.wrong_clocks)}. Counts are stored under wrong times, and tokens expire at them"
        yield Alert("warn", "A clock is wrong", detail, "Synchronise the clocks of these machines", "/live")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number(count)}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))


def _page(line: GroupLine) -> str:
    return f"/routes/{line.routes[0]}/actions"


@dataclass(frozen=True, slots=True)
class Banner:
    """The banner of all pages while any group is rolled back, about the latest rollback."""

    groups: int
    actor: str
    at: float


def banner(caps: Sequence[Cap]) -> Banner | None:
    """Return the banner for the groups with these caps; None if there are none."""
    if not caps:
        return None
    latest = max(caps, key=lambda cap: cap.by.at)
    return Banner(len(caps), latest.by.actor, latest.by.at)
