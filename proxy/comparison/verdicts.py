"""Values that a comparison returns: verdicts, differences, violations of the contract, severities.

Values from messages are excluded from every `repr`, so that no log line and no traceback shows them;
`reports/redaction.py` decides which of them may be stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from proxy.comparison.correspondence import Kind
from proxy.contract.values import ContractViolation
from proxy.types import JSON, ValuePath

Severity = Literal["breaking", "major", "minor"]
Name = Literal["match", "declared", "mismatch", "violation", "skipped"]
Reason = Literal[
    "body_too_large",
    "changed",
    "client_gone",
    "hidden",
    "queue_full",
    "shed",
    "worker_crashed",
    "backend_unavailable",
    "streaming",
    "timeout",
    "write_not_allowed",
]
"""Why two answers were not compared.

`shed`: the machine had no processor to spare. `changed`: they differed, and when both sides were asked again they did
not: somebody wrote in between. `hidden`: a rule hides all that there was to compare. `worker_crashed`: the process that
the other side runs in ended amid it. `backend_unavailable`: one of the sides could not be asked. `streaming`: an answer
without an end, a request whose body the served side did not read, or one for another protocol.
"""

_MIRRORED: dict[Kind, Kind] = {"missing": "extra", "extra": "missing"}


@dataclass(frozen=True, slots=True)
class LocatedValue:
    """Where on one side, and what stands there. `path` may hold data (ids as keys): see `Difference.path`."""

    path: ValuePath = field(repr=False)
    value: JSON | bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the sides disagree.

    `path` is the same for all such places: `*` for an index, the kind (`<id>`) for an id or date within a key.
    `missing` is on legacy's side only, `extra` on native's. Severity says who notices: `breaking` a client's code,
    `major` its user, `minor` hardly anybody.
    """

    path: ValuePath
    kind: Kind
    severity: Severity
    legacy: LocatedValue | None = None
    native: LocatedValue | None = None

    @property
    def field(self) -> str:
        """The path in dots: `body.notes.*._id`."""
        return ".".join(map(str, self.path))

    @property
    def place(self) -> str:
        """The path in dots as it is on legacy's side (on native's for what is extra): `body.notes.0._id`."""
        spot = self.legacy or self.native
        return ".".join(map(str, spot.path if spot else self.path))

    def mirrored(self) -> Difference:
        """The same with the sides swapped."""
        kind = _MIRRORED.get(self.kind, self.kind)
        swapped = replace(self, kind=kind, legacy=self.native, native=self.legacy)
        return replace(swapped, severity=grade(kind, self.path)) if kind != self.kind else swapped


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of comparing two exchanges.

    `declared` are the ids of divergences that explain `differences`, `unexplained` what they leave. `violations`
    are those of the contract, without native's where that is what a divergence declares. `hidden` are the fields in
    which an `ignore` hid a difference. `reason` says why nothing was compared.
    """

    name: Name
    differences: tuple[Difference, ...] = ()
    unexplained: tuple[Difference, ...] = ()
    declared: tuple[str, ...] = ()
    violations: tuple[ContractViolation, ...] = ()
    hidden: tuple[ValuePath, ...] = ()
    reason: Reason | None = None


def skipped(reason: Reason) -> Verdict:
    """The verdict on what was not compared."""
    return Verdict("skipped", reason=reason)


_NOTICED_HEADERS = frozenset(
    ("access-control-allow-credentials", "access-control-allow-origin", "content-type", "location", "set-cookie")
)


def grade(kind: Kind, path: ValuePath) -> Severity:
    """How much a difference of a kind matters at a place."""
    if path[0] == "header":
        return "breaking" if path[1] in _NOTICED_HEADERS else "minor"
    if kind in ("missing", "type", "status", "outcome"):
        return "breaking"
    return "minor" if kind == "extra" else "major"
