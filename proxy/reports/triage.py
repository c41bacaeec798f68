"""States of differences, and the transitions between them. Pure.

A difference is a field of a route that differs in one way (`kind`). It is `new` when it is first observed without a
divergence that declares it. A person marks it `known` (it stays, for a reason) or `fixed` in a revision of native. A
fixed one becomes `returned` when it is observed in that revision, or in any revision in which it had not been observed
before. Observations in older releases that are still running do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

from proxy.reports.models import FieldKind

State = Literal["new", "known", "fixed", "returned"]
MARKS: Final[tuple[State, ...]] = ("new", "known", "fixed")
"""The states that a person can set."""
MAX_TEXT: Final = 500
"""Maximum number of characters of a reason; a name or a ticket may have a fifth of it."""
MAX_HISTORY: Final = 50
MAX_REVISIONS: Final = 50
ATTENTION: Final[tuple[State, ...]] = ("returned", "new", "known", "fixed")
"""The states in the order in which they need attention."""


class InvalidMark(ValueError):
    """A mark that cannot be set; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A state set by a person, or by an observation (`actor` is empty). `at` is in seconds since the epoch.

    `revision` is the one in which a difference was fixed, or has returned.
    """

    state: State
    at: float
    actor: str = ""
    reason: str = ""
    ticket: str = ""
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class TrackedDifference:
    """A difference with its state. `first` and `last` are the times of its first and its last observation.

    `revisions` are those in which it was observed, `fixed_after` those of them before it was marked as fixed. `version`
    grows by one with each change of the state.
    """

    id: str
    route: str
    field: str
    kind: FieldKind
    first: float
    last: float
    revisions: tuple[str | None, ...]
    mark: Mark
    history: tuple[Mark, ...] = ()
    fixed_after: tuple[str | None, ...] = ()
    version: int = 0

    @property
    def state(self) -> State:
        """Return the state."""
        return self.mark.state


@dataclass(frozen=True, slots=True)
class Observation:
    """A difference without a declared divergence, observed at a time (seconds since the epoch) in a revision."""

    route: str
    field: str
    kind: FieldKind
    at: float
    revision: str | None = None

    @property
    def id(self) -> str:
        """Return the id of the difference."""
        return difference_id(self.route, self.field, self.kind)


def difference_id(route: str, field: str, kind: FieldKind) -> str:
    """Return the id of a difference: 16 hex digits."""
    return hashlib.blake2b("\0".join((route, field, kind)).encode(), digest_size=8).hexdigest()


def begin(observation: Observation) -> TrackedDifference:
    """Return a new difference."""
    return TrackedDifference(
        id=observation.id,
        route=observation.route,
        field=observation.field,
        kind=observation.kind,
        first=observation.at,
        last=observation.at,
        revisions=(observation.revision,),
        mark=Mark("new", observation.at),
    )


def observe(difference: TrackedDifference, observation: Observation) -> TrackedDifference:
    """Return a difference after another observation: `returned` if it was fixed and the release is not an older one."""
    revisions = difference.revisions
    if observation.revision not in revisions:
        revisions = (*revisions, observation.revision)[-MAX_REVISIONS:]
    observed = replace(difference, last=max(difference.last, observation.at), revisions=revisions)
    is_later = observation.at > difference.mark.at and observation.revision not in difference.fixed_after
    if difference.state != "fixed" or not is_later:
        return observed
    return _marked(observed, Mark("returned", observation.at, revision=observation.revision))


def mark(difference: TrackedDifference, state: State, given: Mark) -> TrackedDifference:
    """Return a difference with the state that a person sets. Raises InvalidMark."""
    if state not in MARKS:
        raise InvalidMark(f"the state is one of {', '.join(MARKS)}")
    checked = replace(given, state=state, revision=given.revision if state == "fixed" else None)
    if not checked.actor:
        raise InvalidMark("the name of the person is required")
    if state == "known" and not checked.reason:
        raise InvalidMark("a known difference needs a reason")
    for name, text, limit in (
        ("reason", checked.reason, MAX_TEXT),
        ("name", checked.actor, MAX_TEXT // 5),
        ("ticket", checked.ticket, MAX_TEXT // 5),
        ("revision", checked.revision or "", MAX_TEXT // 5),
    ):
        if len(text) > limit or not (text.isprintable()):
            raise InvalidMark(f"the {name} is one line of at most {limit} characters")
    before = tuple(one for one in difference.revisions if one not in (None, checked.revision))
    return _marked(replace(difference, fixed_after=before if state == "fixed" else ()), checked)


def by_attention(differences: Iterable[TrackedDifference]) -> list[TrackedDifference]:
    """Return differences in the order in which they need attention: returned, new, known, fixed."""
    return sorted(differences, key=lambda one: (ATTENTION.index(one.state), -one.last, one.id))


def to_document(difference: TrackedDifference) -> dict[str, Any]:
    """Return a difference as plain data for the database."""
    document = asdict(difference)
    document["_id"] = document.pop("id")
    document["state"] = difference.state
    return document


def from_document(document: Mapping[str, Any]) -> TrackedDifference:
    """Return the difference of `to_document`."""
    values = {name: value for name, value in document.items() if name not in ("_id", "state", "expires")}
    return TrackedDifference(
        id=document["_id"],
        **{
            **values,
            "mark": Mark(**document["mark"]),
            "history": tuple(Mark(**one) for one in document["history"]),
            "revisions": tuple(document["revisions"]),
            "fixed_after": tuple(document["fixed_after"]),
        },
    )


def _marked(difference: TrackedDifference, new: Mark) -> TrackedDifference:
    history = (*difference.history, difference.mark)[-MAX_HISTORY:]
    return replace(difference, mark=new, history=history, version=difference.version + 1)


assert set(ATTENTION) == set(get_args(State))
