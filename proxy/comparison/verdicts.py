"""Results of a comparison: verdicts, differences, violations of the contract, severities.

Values from messages are excluded from every `repr`, so that no log line and no traceback shows them;
`reports/redaction.py` decides which of them may be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from proxy.contract.values import ContractViolation
    from proxy.types import JSON, DifferenceKind, ValuePath

Severity = Literal["breaking", "major", "minor"]
Name = Literal["match", "declared", "mismatch", "violation", "skipped"]
CountName = Literal["match", "declared", "mismatch", "violation", "both", "skipped"]
"""A verdict as it is counted. `both`: a mismatch in which an answer also violates the contract."""
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
"""The reason why two answers were not compared.

`shed`: the CPU is contended. `changed`: the answers differ, but a write of another client between them may be the
reason. `hidden`: a rule hides everything that could be compared. `worker_crashed`: the shadow process ended.
`backend_unavailable`: a backend was unreachable. `body_too_large`: the request body is beyond the limit, or the answer
is too large for digests, or it has an unknown or broken content coding and is too large to be parsed. `streaming`: an
answer without an end, a request whose body the served backend did not read, or another protocol.
"""

_MIRRORED: dict[DifferenceKind, DifferenceKind] = {"missing": "extra", "extra": "missing"}


class LocatedValue(NamedTuple):
    """A value of one side and its path there, which may contain data (ids as names): see `Difference.path`."""

    path: ValuePath
    value: JSON | bytes

    def __repr__(self) -> str:
        return "LocatedValue()"


class Difference(NamedTuple):
    """A difference between the two sides at one path.

    `path` is the same for all nodes of a kind: `*` for an index, the kind (`<id>`) for an id or date within a name.
    `missing` exists only on legacy's side, `extra` only on native's. `format` is the same value in another spelling.
    The severity: `breaking` affects a client's code, `major` its user, `minor` hardly anyone.
    """

    path: ValuePath
    kind: DifferenceKind
    severity: Severity
    legacy: LocatedValue | None = None
    native: LocatedValue | None = None

    @property
    def field(self) -> str:
        """Return the path in dots: `body.notes.*._id`."""
        return ".".join(map(str, self.path))

    @property
    def location(self) -> str:
        """Return the exact path in dots on legacy's side (on native's for `extra`): `body.notes.0._id`."""
        spot = self.legacy or self.native
        return ".".join(map(str, spot.path if spot else self.path))

    def mirrored(self) -> Difference:
        """Return the same difference with the sides swapped."""
        kind = _MIRRORED.get(self.kind, self.kind)
        swapped = self._replace(kind=kind, legacy=self.native, native=self.legacy)
        return swapped._replace(severity=grade(kind, self.path)) if kind != self.kind else swapped


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of comparing two exchanges.

    `name` is the worst of its parts. A `mismatch` may also violate the contract, so count `is_mismatch` and
    `is_violation` separately. `declared` are the ids of divergences that explain `differences`, `unexplained` the other
    differences. `violations` exclude those that a divergence declares. `hidden` are the fields in which
    `x-compare: ignore` hid a difference. `reason` is set if nothing was compared.
    """

    name: Name
    differences: tuple[Difference, ...] = ()
    unexplained: tuple[Difference, ...] = ()
    declared: tuple[str, ...] = ()
    violations: tuple[ContractViolation, ...] = ()
    hidden: tuple[ValuePath, ...] = ()
    reason: Reason | None = None

    @property
    def unexplained_keys(self) -> frozenset[tuple[ValuePath, DifferenceKind]]:
        """Return the paths and kinds of the unexplained differences, by which another verdict's are recognised."""
        return frozenset((one.path, one.kind) for one in self.unexplained)

    @property
    def count_name(self) -> CountName:
        """Return the name under which it is counted: `both` for a mismatch that breaks the contract."""
        return "both" if self.is_mismatch and self.is_violation else self.name

    @property
    def is_mismatch(self) -> bool:
        """Return whether the answers differ and no divergence explains it."""
        return bool(self.unexplained)

    @property
    def is_violation(self) -> bool:
        """Return True if an answer violates the contract, even if the answers also differ."""
        return bool(self.violations)


def skipped(reason: Reason) -> Verdict:
    """Return the verdict for a request that was not compared."""
    return Verdict("skipped", reason=reason)


_HEADER_SEVERITIES: Final[Mapping[str, Severity]] = {
    "access-control-allow-credentials": "breaking",
    "access-control-allow-origin": "breaking",
    "content-type": "breaking",
    "location": "breaking",
    "set-cookie": "breaking",
    "content-encoding": "major",
}


def grade(kind: DifferenceKind, path: ValuePath) -> Severity:
    """Return the severity of a kind of difference at a path."""
    if path[0] == "header":
        return _HEADER_SEVERITIES.get(str(path[1]), "minor")
    if kind in ("missing", "type", "status", "outcome"):
        return "breaking"
    if kind == "format" and len(path) == 1:  # only the text of the JSON: spaces, escapes
        return "minor"
    return "minor" if kind == "extra" else "major"
