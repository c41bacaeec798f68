"""Tell two values apart that were produced at different times by different processes.

Ids, dates and tokens never repeat, so they are compared by identity: what stands at a place on the recorded
side corresponds to what stands at the same place on the live side, and must keep corresponding to it for as
long as the scenario lasts. That is the same as naming each one in order of its first appearance, and it says
in addition what to send in later requests in place of what was recorded.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from proxy.comparison.volatile import VOLATILE, Segment, match_volatile, split_volatile, timestamp_of
from proxy.types import JSON

Kind = Literal["missing", "extra", "type", "value", "order", "outcome", "status", "header"]

FRESH = 24 * 3600 * 1000
"""How far from its side's own time (ms) an id or a date may lie and still count as made there and then."""

COINCIDENCE = 25
"""How near (ms) two events may be for their dates to fall together on one side by chance."""

_REPLACEABLE = re.compile(VOLATILE.pattern + r'|(?P<etag>W/"[^"]*")', re.ASCII)
_HASH_PREFIX = len("$2b$08$")
_TIMES = ("iat", "exp", "nbf")


@dataclass(frozen=True, slots=True)
class TextDifference:
    """One place where two sides disagree.

    `path` is dotted (`body.data.notes.0._id`, `header.etag`, `store.users.0.email`), `recorded` and `live`
    are the two values as short text, empty where a side has none.
    """

    path: str
    kind: Kind
    recorded: str
    live: str


class _Partner(NamedTuple):
    text: str
    moment: int
    place: str
    step: int


class _Token(NamedTuple):
    header: JSON
    claims: JSON


def abbreviate(value: JSON, limit: int = 300) -> str:
    """`value` as JSON text, cut in the middle of nowhere where it is long."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


@dataclass
class Correspondence:
    """What of the recorded side stands for what of the live side, learnt while answers are compared.

    `recorded_at` and `live_at` are each side's own time in ms; where they are given, an id or a date that
    differs must lie near its own side's time, since one that does not was chosen by the caller, and must be
    equal. `step` tells dates of one answer from those of another; advance it between answers. `fresh` and
    `coincidence` (ms) stand in for FRESH and COINCIDENCE.
    """

    recorded_at: int | None = None
    live_at: int | None = None
    step: int = 0
    fresh: int = FRESH
    coincidence: int = COINCIDENCE
    _live: dict[str, str] = field(default_factory=dict)
    _recorded: dict[str, str] = field(default_factory=dict)
    _lives: dict[int, list[_Partner]] = field(default_factory=dict)
    _recordeds: dict[int, list[_Partner]] = field(default_factory=dict)

    def live_text(self, text: str) -> str:
        """Recorded text with everything known replaced by what the live side has in its place."""
        known = self._live.get(text)
        return known or _REPLACEABLE.sub(lambda found: self._live.get(found.group(), found.group()), text)

    def learn(self, recorded: str, live: str) -> None:
        """Say that `live` is to be sent where `recorded` was."""
        self._live[recorded] = live

    def stands_for(self, recorded: str) -> str | None:
        """What the live side has in place of an id or stamp, None where none was seen yet."""
        return self._live.get(recorded)

    def may_stand_for(self, recorded: str, live: str) -> bool:
        """Whether a live id corresponds to a recorded one, or still can; learns nothing."""
        ours, theirs = match_volatile(recorded), match_volatile(live)
        known, known_back = self._live.get(recorded), self._recorded.get(live)
        if known is not None or known_back is not None:
            return known == live and known_back == recorded
        return recorded == live or (
            ours is not None
            and theirs is not None
            and ours.kind == theirs.kind
            and self._both_fresh(ours.kind, recorded, live)
        )

    def renamed(self) -> tuple[set[str], set[str]]:
        """The recorded and the live ids, dates and tokens that stand for something other than themselves."""
        pairs = [(ours, theirs) for ours, theirs in self._live.items() if ours != theirs]
        return {ours for ours, _ in pairs}, {theirs for _, theirs in pairs}

    def compare(self, recorded: JSON, live: JSON, path: str, *, ordered: bool = True) -> list[TextDifference]:
        """Every place where two JSON values differ; `ordered` holds objects to the order of their keys."""
        if type(recorded) is not type(live):
            return [TextDifference(path, "type", abbreviate(recorded), abbreviate(live))]
        if isinstance(recorded, dict) and isinstance(live, dict):
            return self._compare_objects(recorded, live, path, ordered)
        if isinstance(recorded, list) and isinstance(live, list):
            return self._compare_arrays(recorded, live, path, ordered)
        if isinstance(recorded, str) and isinstance(live, str):
            return self.compare_text(recorded, live, path)
        if recorded == live:
            return []
        if isinstance(recorded, int) and not isinstance(recorded, bool):
            return self.compare_text(str(recorded), str(live), path)
        return [TextDifference(path, "value", abbreviate(recorded), abbreviate(live))]

    def compare_text(self, recorded: str, live: str, path: str) -> list[TextDifference]:
        """The differences of two strings in which ids, dates, tokens and password hashes may stand."""
        one, other = VOLATILE.fullmatch(recorded), VOLATILE.fullmatch(live)
        if one and other and (kind := one.lastgroup) and kind == other.lastgroup != "hash":
            return self._compare_pieces(kind, recorded, live, path)
        ours, theirs = list(split_volatile(recorded)), list(split_volatile(live))
        if [_shape(piece) for piece in ours] != [_shape(piece) for piece in theirs]:
            return [TextDifference(path, "value", abbreviate(recorded), abbreviate(live))]
        return [
            difference
            for one, other in zip(ours, theirs, strict=True)
            for difference in self._compare_pieces(one.kind, one.text, other.text, path)
        ]

    def _compare_objects(
        self, recorded: Mapping[str, JSON], live: Mapping[str, JSON], path: str, ordered: bool
    ) -> list[TextDifference]:
        found: list[TextDifference] = []
        names = {name: self.live_text(name) for name in recorded}
        for name, live_name in names.items():
            where = f"{path}.{name}"
            if live_name in live:
                found += self.compare(recorded[name], live[live_name], where, ordered=ordered)
            else:
                found.append(TextDifference(where, "missing", abbreviate(recorded[name]), ""))
        extra = [name for name in live if name not in names.values()]
        found += [TextDifference(f"{path}.{name}", "extra", "", abbreviate(live[name])) for name in extra]
        return found + (_order(list(names.values()), list(live), path) if ordered else [])

    def _compare_arrays(self, recorded: list[JSON], live: list[JSON], path: str, ordered: bool) -> list[TextDifference]:
        found: list[TextDifference] = []
        for index, (one, other) in enumerate(zip(recorded, live, strict=False)):
            found += self.compare(one, other, f"{path}.{index}", ordered=ordered)
        shared = min(len(recorded), len(live))
        for index, value in enumerate(recorded[shared:], shared):
            found.append(TextDifference(f"{path}.{index}", "missing", abbreviate(value), ""))
        for index, value in enumerate(live[shared:], shared):
            found.append(TextDifference(f"{path}.{index}", "extra", "", abbreviate(value)))
        return found

    def _compare_pieces(self, kind: str, recorded: str, live: str, path: str) -> list[TextDifference]:
        if kind == "id" or kind == "stamp":
            return self._compare_ids(kind, recorded, live, path)
        if kind == "date" or kind == "epoch":
            return self._compare_moments(kind, recorded, live, path)
        return self._compare_tokens(recorded, live, path) if kind == "token" else []

    def _compare_ids(self, kind: str, recorded: str, live: str, path: str) -> list[TextDifference]:
        known, known_back = self._live.get(recorded), self._recorded.get(live)
        if known == live and known_back == recorded:
            return []
        new = known is None and known_back is None
        if not new or not (recorded == live or self._both_fresh(kind, recorded, live)):
            return [TextDifference(path, "value", _named(recorded, known), _named(live, known_back))]
        self._live[recorded], self._recorded[live] = live, recorded
        return []

    def _both_fresh(self, kind: str, recorded: str, live: str) -> bool:
        fresh = self._fresh(timestamp_of(kind, recorded), self.recorded_at)
        return fresh and self._fresh(timestamp_of(kind, live), self.live_at)

    def _fresh(self, made: int | None, at: int | None) -> bool:
        return at is None or (made is not None and abs(made - at) <= self.fresh)

    def _compare_moments(self, kind: str, recorded: str, live: str, path: str) -> list[TextDifference]:
        different = [TextDifference(path, "value", recorded, live)]
        ours, theirs = timestamp_of(kind, recorded), timestamp_of(kind, live)
        if ours is None or theirs is None:
            return [] if recorded == live else different
        lives, recordeds = self._lives.setdefault(ours, []), self._recordeds.setdefault(theirs, [])
        if any(partner.moment == theirs for partner in lives):
            return []
        place = path.rpartition(".")[2]
        apart = lives and not any(self._may_part(partner, theirs, place) for partner in lives)
        merged = recordeds and not any(abs(partner.moment - ours) <= self.coincidence for partner in recordeds)
        fresh = self._fresh(ours, self.recorded_at) and self._fresh(theirs, self.live_at)
        if apart or merged or not (ours == theirs or fresh):
            return different
        lives.append(_Partner(live, theirs, place, self.step))
        recordeds.append(_Partner(recorded, ours, place, self.step))
        self._live[recorded] = live
        return []

    def _may_part(self, partner: _Partner, live: int, place: str) -> bool:
        """Whether one recorded date may be two live ones: two events that fell into one ms by chance."""
        near = abs(partner.moment - live) <= self.coincidence
        return near and (partner.step == self.step or partner.place != place)

    def _compare_tokens(self, recorded: str, live: str, path: str) -> list[TextDifference]:
        if recorded == live:
            return []
        ours, theirs = _decode(recorded), _decode(live)
        if ours is None or theirs is None:
            return [TextDifference(path, "value", recorded, live)]
        self._live[recorded] = live
        found = self.compare(ours.header, theirs.header, f"{path}.header")
        found += self._compare_issue(ours, theirs, f"{path}.claims.iat")
        return found + self.compare(_relative(ours.claims), _relative(theirs.claims), f"{path}.claims")

    def _compare_issue(self, recorded: _Token, live: _Token, path: str) -> list[TextDifference]:
        ours, theirs = _issued(recorded.claims), _issued(live.claims)
        if ours is None or theirs is None or ours == theirs:
            return []
        fresh = self._fresh(ours * 1000, self.recorded_at) and self._fresh(theirs * 1000, self.live_at)
        return [] if fresh else [TextDifference(path, "value", str(ours), str(theirs))]


def _named(text: str, partner: str | None) -> str:
    return f"{text} (elsewhere {partner} on the other side)" if partner else text


def _shape(piece: Segment) -> Segment:
    if piece.kind == "hash":
        return Segment("hash", piece.text[:_HASH_PREFIX])
    return Segment(piece.kind, "") if piece.kind else piece


def _order(recorded: list[str], live: list[str], path: str) -> list[TextDifference]:
    ours = [name for name in recorded if name in live]
    theirs = [name for name in live if name in recorded]
    return [] if ours == theirs else [TextDifference(path, "order", ", ".join(ours), ", ".join(theirs))]


def _decode(token: str) -> _Token | None:
    """A JWT's header and claims, unverified; None where it is no JWT."""
    try:
        header, claims = (json.loads(_unpadded(part)) for part in token.split(".")[:2])
    except (ValueError, RecursionError):
        return None
    return _Token(header, claims)


def _unpadded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _relative(claims: JSON) -> JSON:
    """The claims with their other times counted from `iat`, which `_issued` compares."""
    issued = _issued(claims)
    if issued is None or not isinstance(claims, dict):
        return claims
    return {name: _after(name, value, issued) for name, value in claims.items()}


def _after(name: str, value: JSON, issued: int) -> JSON:
    return value - issued if name in _TIMES and isinstance(value, int | float) else value


def _issued(claims: JSON) -> int | None:
    issued = claims.get("iat") if isinstance(claims, dict) else None
    return issued if isinstance(issued, int) and not isinstance(issued, bool) else None
