"""The lines of the migration board: a group of routes with its state and its next step. Pure, and quick to import.

Shares are in percent, times in seconds since the epoch, durations in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from proxy.ops.formatting import number
from proxy.ops.rollout_views import CapView

State = Literal["rolled back", "rolling out", "clean", "comparing", "not compared", "pinned", "done"]
STATES: Final[tuple[State, ...]] = (
    *("rolled back", "rolling out", "clean", "comparing", "not compared", "pinned", "done"),
)


@dataclass(frozen=True, slots=True)
class NeededEvidence:
    """Evidence for the next step: `have` of `need` requests or comparisons."""

    unit: Literal["requests", "comparisons"]
    have: int
    need: int

    def __str__(self) -> str:
        """Return it in words: `0 of 100 requests`."""
        return f"{number(self.have)} of {number(self.need)} {self.unit}"


@dataclass(frozen=True, slots=True)
class NextStep:
    """The next step of a group, and its time: `left` seconds from now, or None.

    `blocked` is the reason why it does not happen automatically; `problem` marks one that needs attention, and `advice`
    says what to do about it.
    """

    action: str
    left: float | None = None
    blocked: str = ""
    problem: bool = False
    advice: str = ""
    needed: tuple[NeededEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A group on the board. `file` is the share that routing.yaml allows; `requests` are those of the reports' span.

    `mismatch`, `violation` and `both` count comparisons as `VerdictCounts` does.
    """

    name: str
    routes: tuple[str, ...]
    state: State
    share: float
    file: float
    step: NextStep
    requests: int
    compared: int
    mismatch: int
    violation: int
    both: int
    cap: CapView | None
    ends: float | None

    @property
    def has_differences(self) -> bool:
        """Return whether comparisons differ or violate the contract."""
        return bool(self.mismatch or self.violation)

    @property
    def severity(self) -> Literal["bad", "warn", ""]:
        """The severity of its problem; empty if it has none."""
        if self.state == "rolled back":
            return "bad"
        return "warn" if self.step.problem else ""
