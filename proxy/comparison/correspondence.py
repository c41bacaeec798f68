"""Match by role the ids, dates and tokens that each backend generates itself. Pure.

Such values never repeat, so they are compared by identity: a value on one side corresponds to the value at the same
path on the other, and must correspond to it everywhere else in the scenario or exchange. The correspondence also
provides the value that replaces the recorded one in a later request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.comparison.ordering import PairedOrder
from proxy.comparison.spelling import is_one_notation, moment_of, text_kind
from proxy.comparison.tokens import Token, decode_token, flatten
from proxy.comparison.volatile import (
    VOLATILE,
    Segment,
    common_kind,
    date_layout,
    match_volatile,
    split_volatile,
    timestamp_of,
    volatile_kind,
)
from proxy.types import JSON, DifferenceKind

FRESH: Final = 600_000
"""Maximum distance (ms) between an id or date and its side's clock to count as generated, if the clock is estimated."""
COINCIDENCE: Final = 25
"""Maximum distance (ms) of two events that may by chance have the same date on one side."""
MAX_AGREED: Final = 10_000
"""Number of texts known to agree from which on those without an id, a date or a token are not added."""
MAX_AGREED_LENGTH: Final = 1_000
"""Maximum length of a text without an id, a date or a token that is known to agree, in characters."""
STORED: Final = -1
"""The step of stored documents, whose dates may be those of any answer."""

_REPLACEABLE: Final = re.compile(VOLATILE.pattern + r'|(?P<etag>W/"[^"]*")', re.ASCII)
_LONGEST: Final = len("2026-11-22T19:41:05.123Z")
"""Maximum length of a date whose text is all of its time, since dates are compared in ms."""
_PROCESS: Final = slice(8, 18)
"""The part of an ObjectId that is the same in all ids of one process."""
_HASH_PREFIX: Final = len("$2b$08$")


class TextDifference(NamedTuple):
    """A difference between two texts; `path` leads to it within a token (`claims`, `exp`), and is otherwise empty."""

    path: tuple[str, ...]
    kind: DifferenceKind
    legacy: JSON
    native: JSON


class _Partner(NamedTuple):
    moment: int
    name: str
    step: int


def abbreviate(value: JSON, limit: int = 300) -> str:
    """Return a value as JSON text of at most `limit` characters."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


@dataclass
class Correspondence:
    """The values of native that correspond to those of legacy, learned while answers are compared.

    `legacy_at` and `native_at` are each side's clock in ms. If given, ids and dates that differ must lie within
    `fresh` ms of it; others were stored before or chosen by the caller, and must be equal. `step` distinguishes dates
    of different answers: increment it between answers, and set it to STORED for stored documents. Two dates that are
    equal on one side may be up to `coincidence` ms apart on the other, or if they are of one request up to
    `answer_time`, the time (ms) of the slowest answer.

    If `strict`, dates that are equal on one side must be equal on the other, and generated dates and ids have the same
    order on both. Ids are compared by order if one process generated them: their times and counters increase.
    """

    legacy_at: int | None = None
    native_at: int | None = None
    step: int = 0
    fresh: int = FRESH
    coincidence: int = COINCIDENCE
    answer_time: int = 0
    strict: bool = False
    _agreed: dict[str, str] = field(default_factory=dict)
    _natives: dict[str, str] = field(default_factory=dict)
    _legacies: dict[str, str] = field(default_factory=dict)
    _native_moments: dict[int, dict[int, _Partner]] = field(default_factory=dict)
    _legacy_moments: dict[int, dict[int, _Partner]] = field(default_factory=dict)
    _moment_order: PairedOrder = field(default_factory=PairedOrder)
    _id_orders: dict[str, PairedOrder] = field(default_factory=dict)

    @property
    def agreed(self) -> Mapping[str, str]:
        """Return texts of legacy that agreed with one of native, with which they agree until one of them is learned."""
        return self._agreed

    def native_text(self, text: str) -> str:
        """Return legacy's text with every known value replaced by native's."""
        known = self._natives.get(text)
        if known:
            return known
        if not any(legacy in text for legacy in self._natives):  # much faster than the pattern
            return text
        return _REPLACEABLE.sub(lambda match: self._natives.get(match.group(), match.group()), text)

    def learn(self, legacy: str, native: str) -> None:
        """Record that `native` replaces `legacy` in later requests."""
        self._natives[legacy] = native
        self._agreed.pop(legacy, None)

    def counterpart(self, legacy: str) -> str | None:
        """Return native's value for one of legacy's; None if it is unknown."""
        return self._natives.get(legacy)

    def may_correspond(self, legacy: str, native: str) -> bool:
        """Return whether two ids correspond or still can, without learning from them."""
        known = self._natives.get(legacy)
        known_back = self._legacies.get(native)
        if known is not None or known_back is not None:
            return known == native and known_back == legacy
        if legacy == native:
            return True
        one = match_volatile(legacy)
        other = match_volatile(native)
        return (
            one is not None
            and other is not None
            and one.kind == other.kind
            and self._both_fresh(one.kind, legacy, native)
        )

    def may_have_partner(self, text: str, *, of_native: bool = False) -> bool:
        """Return False for an id or date that corresponds to no other and is too old to be generated.

        A name that contains one is not compared with the names of the other side then.
        """
        kind = volatile_kind(text)
        if kind not in ("id", "stamp", "epoch") and not (
            kind == "date" and text.endswith("Z") and len(text) <= _LONGEST
        ):
            return True
        moment = timestamp_of(kind, text)
        if of_native:
            return text in self._legacies or moment in self._legacy_moments or self._is_fresh(moment, self.native_at)
        return text in self._natives or moment in self._native_moments or self._is_fresh(moment, self.legacy_at)

    def learn_ids(self, legacies: Sequence[str], natives: Sequence[str]) -> bool:
        """Learn pairs of ids; return False, and learn nothing, if one is too old or contradicts another or a known one.

        The result is that of `compare_text` for each pair in any order. It is False if `strict`, which compares one
        after the other.
        """
        if self.strict:
            return False
        pairs = dict(zip(legacies, natives, strict=True))
        back = dict(zip(natives, legacies, strict=True))
        if not len(pairs) == len(back) == len({*zip(legacies, natives, strict=True)}):
            return False
        known, known_back = self._natives, self._legacies
        old = known.keys() & pairs
        if old != {back[native] for native in known_back.keys() & back}:
            return False
        if any(known[legacy] != pairs[legacy] or known_back[pairs[legacy]] != legacy for legacy in old):
            return False
        unequal = [pair for pair in pairs.items() if pair[0] != pair[1] and pair[0] not in old]
        if unequal:
            legacy_ids, native_ids = zip(*unequal, strict=True)
            if not all(self._both_fresh("id", one(legacy_ids), one(native_ids)) for one in (min, max)):
                return False
        known |= pairs
        known_back |= back
        self._agreed |= pairs
        return True

    def compare_text(
        self, legacy: str, native: str, name: str = "", kind: str | None = None
    ) -> Sequence[TextDifference]:
        """Return the differences of two texts that may contain ids, dates, tokens and password hashes.

        `name` is the name of the field, by which dates that coincide by chance are recognised. `kind` is the common
        kind of both texts, if the caller knows it.
        """
        if self._agreed.get(legacy) == native:
            return ()
        kind = kind or common_kind(legacy, native)
        if kind == "id":
            if not self._ids_correspond(kind, legacy, native):
                return (TextDifference((), "value", legacy, native),)
            self._agreed[legacy] = native
            return ()
        if kind is None and legacy == native and VOLATILE.search(legacy) is None:
            if len(legacy) <= MAX_AGREED_LENGTH and len(self._agreed) < MAX_AGREED:
                self._agreed[legacy] = native
            return ()
        if kind is not None and kind != "hash":
            differences = self._compare_segments(kind, legacy, native, name)
            if not differences and kind != "token":
                self._agreed[legacy] = native
            return differences
        return self._compare_parts(legacy, native, name)

    def _compare_parts(self, legacy: str, native: str, name: str) -> Sequence[TextDifference]:
        """Compare texts that contain ids, dates, tokens and password hashes among others."""
        legacy_segments = list(split_volatile(legacy))
        native_segments = legacy_segments if legacy == native else list(split_volatile(native))
        if legacy_segments is not native_segments and [_shape(segment) for segment in legacy_segments] != [
            _shape(segment) for segment in native_segments
        ]:
            return (TextDifference((), self._other_kind(legacy, native), legacy, native),)
        pairs = zip(legacy_segments, native_segments, strict=True)
        parts = [part for a, b in pairs for part in self._compare_segments(a.kind, a.text, b.text, name)]
        whole = [TextDifference((), part.kind, legacy, native) for part in parts if not part.path]
        return whole[:1] + [part for part in parts if part.path]

    def _other_kind(self, legacy: str, native: str) -> DifferenceKind:
        """Return the kind of difference between texts of different shape: `format` for notations of a current date."""
        legacy_moment = moment_of(legacy)
        native_moment = moment_of(native)
        if legacy_moment is not None and native_moment is not None:
            fresh = self._is_fresh(int(legacy_moment.timestamp() * 1000), self.legacy_at)
            if fresh and self._is_fresh(int(native_moment.timestamp() * 1000), self.native_at):
                return "format"
        return text_kind(legacy, native)

    def _compare_segments(self, kind: str, legacy: str, native: str, name: str) -> Sequence[TextDifference]:
        if kind == "token":
            return self._compare_tokens(legacy, native)
        difference: DifferenceKind | None = None
        if kind in ("id", "stamp"):
            difference = None if self._ids_correspond(kind, legacy, native) else "value"
        elif kind in ("date", "epoch"):
            difference = self._compare_moments(kind, legacy, native, name)
        return () if difference is None else (TextDifference((), difference, legacy, native),)

    def _ids_correspond(self, kind: str, legacy: str, native: str) -> bool:
        natives, legacies = self._natives, self._legacies
        known = natives.get(legacy)
        if known is not None or native in legacies:
            return known == native and legacies.get(native) == legacy
        if legacy != native and not self._both_fresh(kind, legacy, native):
            return False
        if self.strict and kind == "id" and legacy != native:
            order = self._id_orders.setdefault(legacy[_PROCESS] + native[_PROCESS], PairedOrder())
            if not order.add(int(legacy, 16), int(native, 16)):
                return False
        natives[legacy], legacies[native] = native, legacy
        return True

    def _compare_moments(self, kind: str, legacy: str, native: str, name: str) -> DifferenceKind | None:
        if not self._moments_correspond(kind, legacy, native, name):
            return "value"
        if kind == "epoch" or is_one_notation(legacy, native):
            return None
        return "format" if date_layout(legacy) != date_layout(native) else None

    def _both_fresh(self, kind: str, legacy: str, native: str) -> bool:
        at, now, fresh = self.legacy_at, self.native_at, self.fresh
        if at is None is now:
            return True
        legacy_moment: int | None
        native_moment: int | None
        if kind == "id":
            legacy_moment = int(legacy[:8], 16) * 1000
            native_moment = int(native[:8], 16) * 1000
        else:
            legacy_moment = timestamp_of(kind, legacy)
            native_moment = timestamp_of(kind, native)
        is_fresh = at is None or (legacy_moment is not None and -fresh <= legacy_moment - at <= fresh)
        return is_fresh and (now is None or (native_moment is not None and -fresh <= native_moment - now <= fresh))

    def _is_fresh(self, made: int | None, at: int | None) -> bool:
        return at is None or (made is not None and abs(made - at) <= self.fresh)

    def _moments_correspond(self, kind: str, legacy: str, native: str, name: str) -> bool:
        legacy_moment = timestamp_of(kind, legacy)
        native_moment = timestamp_of(kind, native)
        if legacy_moment is None or native_moment is None:
            return legacy == native
        natives = self._native_moments.setdefault(legacy_moment, {})
        legacies = self._legacy_moments.setdefault(native_moment, {})
        if native_moment in natives:
            return True
        if self.strict and (natives or legacies):
            return False
        if natives and not any(self._may_part(partner, native_moment, name) for partner in natives.values()):
            return False
        if legacies and not any(self._is_near(partner, legacy_moment, name) for partner in legacies.values()):
            return False
        if legacy_moment != native_moment and not (
            self._is_fresh(legacy_moment, self.legacy_at) and self._is_fresh(native_moment, self.native_at)
        ):
            return False
        if self.strict and legacy_moment != native_moment and not self._moment_order.add(legacy_moment, native_moment):
            return False
        natives[native_moment] = _Partner(native_moment, name, self.step)
        legacies[legacy_moment] = _Partner(legacy_moment, name, self.step)
        self._natives[legacy] = native
        return True

    def _may_part(self, partner: _Partner, native: int, name: str) -> bool:
        """Return True if one date of legacy may be two dates of native: two events that coincided by chance."""
        return self._is_near(partner, native, name) and (partner.step == self.step or partner.name != name)

    def _is_near(self, partner: _Partner, moment: int, name: str) -> bool:
        """Return True if two dates of one side may be one date of the other: by chance, or within one request."""
        slow = self.answer_time if self._may_be_of_one_request(partner, name) else 0
        return abs(partner.moment - moment) <= max(self.coincidence, slow)

    def _may_be_of_one_request(self, partner: _Partner, name: str) -> bool:
        """Return True if a date may have been generated by the same request as the partner's.

        The dates in one answer are of one request. Stored documents have dates of any request; so may a later answer,
        in a field of another name.
        """
        return self.step in (partner.step, STORED) or partner.name != name

    def _compare_tokens(self, legacy: str, native: str) -> list[TextDifference]:
        if legacy == native:
            return []
        legacy_token = decode_token(legacy)
        native_token = decode_token(native)
        if legacy_token is None or native_token is None:
            return [TextDifference((), "value", legacy, native)]
        self._natives[legacy] = native
        if legacy.rpartition(".")[0] == native.rpartition(".")[0] and legacy_token.is_reproducible:
            return [TextDifference(("signature",), "value", legacy, native)]  # whole tokens, which reports redact
        differences = self._compare_issue(legacy_token, native_token)
        one = dict(flatten(legacy_token.header, ("header",)))
        other = dict(flatten(native_token.header, ("header",)))
        one |= flatten(legacy_token.relative_claims(), ("claims",))
        other |= flatten(native_token.relative_claims(), ("claims",))
        for path in dict.fromkeys((*one, *other)):
            differences += self._compare_claim(path, one, other)
        return differences

    def _compare_claim(
        self, path: tuple[str, ...], legacy: dict[tuple[str, ...], JSON], native: dict[tuple[str, ...], JSON]
    ) -> list[TextDifference]:
        if path not in legacy:
            return [TextDifference(path, "extra", None, native[path])]
        if path not in native:
            return [TextDifference(path, "missing", legacy[path], None)]
        one, other = legacy[path], native[path]
        if isinstance(one, str) and isinstance(other, str):
            return [part._replace(path=path) for part in self.compare_text(one, other, path[-1])]
        return [] if one == other else [TextDifference(path, "value", one, other)]

    def _compare_issue(self, legacy: Token, native: Token) -> list[TextDifference]:
        legacy_issued, native_issued = legacy.issued, native.issued
        if legacy_issued is None or native_issued is None or legacy_issued == native_issued:
            return []
        fresh = self._is_fresh(legacy_issued * 1000, self.legacy_at) and self._is_fresh(
            native_issued * 1000, self.native_at
        )
        return [] if fresh else [TextDifference(("claims", "iat"), "value", legacy_issued, native_issued)]


def _shape(segment: Segment) -> Segment:
    if segment.kind == "hash":
        return Segment("hash", segment.text[:_HASH_PREFIX])
    return Segment(segment.kind, "") if segment.kind else segment
