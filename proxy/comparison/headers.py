"""Compare the headers of two answers as far as clients can notice. Pure.

All headers are compared except the mode's `ignored_headers`. Lists without a meaningful order are compared as sets;
entity tags by their algorithm, because they follow the body; the contract's `x-compare` applies to headers too.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from proxy.comparison.bodies import media
from proxy.comparison.exchange import Headers
from proxy.comparison.modes import Mode
from proxy.comparison.spelling import is_same_value, moment_of
from proxy.comparison.values import Names
from proxy.comparison.verdicts import Difference, LocatedValue, grade
from proxy.comparison.volatile import date_layout, mask
from proxy.contract.model import HintsAt
from proxy.types import DifferenceKind, ValuePath

_NAME_SETS: Final = frozenset(("access-control-allow-headers", "access-control-expose-headers", "vary"))
"""Headers whose value is a set of names without regard to case."""
_METHOD_SETS: Final = frozenset(("access-control-allow-methods", "allow"))
"""Headers whose value is a set of methods, which are case-sensitive (RFC 9110 §9.1)."""
MAX_DRIFT: Final = 5.0
"""Maximum distance (s) of two equal lifetimes: both are in whole seconds after an answer that takes some."""
_EXPIRY: Final = re.compile(r";\s*expires\s*=\s*([^;\n]*)", re.IGNORECASE)
_EXPIRING: Final = frozenset(("set-cookie", "expires"))
"""Headers with expiries, which are dates relative to the time of the answer."""
_WORD: Final = re.compile(r"[A-Z][a-z]+")
_HASHED: Final = re.compile(r'(?:W/)?"[0-9a-f]+-[A-Za-z0-9+/]{27}"', re.ASCII)
"""A tag of the form of `entity_tag`, weak or strong."""
_DELETED_BEFORE: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""An expiry before this deletes a cookie or forbids caching; others are relative to the time of the answer."""


class AnswerHead(Protocol):
    """The parts of an answer that the comparison of headers reads."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...

    @property
    def time(self) -> float | None: ...


@dataclass(slots=True)
class HeaderComparison:
    """The comparison of two answers' headers; `same_body` says that their bodies are equal byte for byte."""

    legacy: AnswerHead
    native: AnswerHead
    mode: Mode
    names: Names
    hints: HintsAt | None = None
    same_body: bool = False

    def differences(self) -> list[Difference]:
        """Return a difference for every header that one side lacks, or whose values differ."""
        legacy_headers, native_headers = self.legacy.headers, self.native.headers
        names = [name for name in {**legacy_headers, **native_headers} if name not in self.mode.ignored_headers]
        if not self.mode.by_role:
            names = [name for name in names if legacy_headers.get(name) != native_headers.get(name)]
        names.sort()
        return [
            difference
            for name in names
            for difference in self._compare(name, legacy_headers.get(name), native_headers.get(name))
        ]

    def _compare(self, name: str, legacy: str | None, native: str | None) -> Iterable[Difference]:
        if self._rule(name) == "ignore" or (name == "content-encoding" and _coding(legacy) == _coding(native)):
            return
        if legacy is None or native is None:
            yield _difference(name, "extra" if legacy is None else "missing", legacy, native)
        elif not self._is_same(name, legacy, native):
            yield _difference(name, "header", legacy, native)

    def _rule(self, name: str) -> str | None:
        return self.hints(("header", name)).compare if self.hints is not None else None

    def _is_same(self, name: str, legacy: str, native: str) -> bool:
        if name == "etag":
            return self._tags_agree(legacy, native)
        if name == "content-length" and (self.legacy.body or self.native.body):
            return True  # framing is each server's own
        rule = self._rule(name)
        if rule == "instant":
            return is_same_value(legacy, native)
        by_role = rule != "literal" and (self.mode.by_role or rule == "generated")
        if self.mode.strict and by_role and name in _EXPIRING:
            return self._same_expiring(name, legacy, native)
        if not self.mode.strict and (known := self._same_by_kind(name, legacy, native, by_role)) is not None:
            return known
        return not self.names().compare_text(legacy, native, name) if by_role else legacy == native

    def _same_expiring(self, name: str, legacy: str, native: str) -> bool:
        """Return whether values with expiries are equal as spelled, apart from the time between the two answers."""
        legacy_text, native_text = (_without_moments(name, value) for value in (legacy, native))
        return not self.names().compare_text(legacy_text, native_text, name) and self._last_alike(legacy, native)

    def _same_by_kind(self, name: str, legacy: str, native: str, by_role: bool) -> bool | None:
        """Return whether two values of a header with a grammar agree; None for other headers."""
        if name in _NAME_SETS or name in _METHOD_SETS:
            lower = name in _NAME_SETS
            return _tokens(legacy, lower=lower) == _tokens(native, lower=lower)
        if name == "content-type":
            return _media_type(legacy) == _media_type(native)
        if name == "set-cookie":
            return _cookies(legacy, by_role) == _cookies(native, by_role) and self._last_alike(legacy, native)
        if name == "expires":
            return _expiry(legacy) == _expiry(native) and self._last_alike(legacy, native)
        return None

    def _last_alike(self, legacy: str, native: str) -> bool:
        """Return whether expiries are as long after their answers, or are the same fixed time in the future of both."""
        legacy_time, native_time, drift = self._times()
        if legacy_time is None or native_time is None:
            return True
        pairs = zip(_expiries(legacy), _expiries(native), strict=False)
        return all(
            abs((one - legacy_time) - (other - native_time)) <= drift
            or (one == other and (one > legacy_time) == (other > native_time))
            for one, other in pairs
        )

    def _times(self) -> tuple[float | None, float | None, float]:
        """Return the times of both answers, if known, and the maximum distance of two equal lifetimes, in seconds.

        A recorded answer without a `Date` header was made at about the time of its recording.
        """
        legacy_time, native_time = self.legacy.time, self.native.time
        if legacy_time is not None and native_time is not None:
            return legacy_time, native_time, MAX_DRIFT
        names = self.names()
        at, now = (None if clock is None else clock / 1000 for clock in (names.legacy_at, names.native_at))
        return (
            at if legacy_time is None else legacy_time,
            now if native_time is None else native_time,
            names.fresh / 1000,
        )

    def _tags_agree(self, legacy: str, native: str) -> bool:
        """Return True if native's entity tag depends on its body as legacy's tag does.

        Tags of one algorithm differ over bodies that contain each backend's own ids and dates.
        """
        is_as_strong = legacy.startswith("W/") == native.startswith("W/")
        known = self._exchange_tags(legacy, native) if self.mode.strict else None
        if self._is_hashed(legacy):
            return is_as_strong and _hash_of(native) == _hash_of(entity_tag(self.native.body))
        if self.legacy.body or not self.mode.strict:
            return legacy == native if self.same_body else is_as_strong
        return native == known if known else legacy.partition("-")[0] == native.partition("-")[0]

    def _exchange_tags(self, legacy: str, native: str) -> str | None:
        """Learn that a tag replaces the recorded one in later requests; return the tag that did so before, if any."""
        names = self.names()
        known = names.counterpart(legacy)
        names.learn(legacy, native)
        return known

    def _is_hashed(self, tag: str) -> bool:
        """Return whether legacy's tag is `entity_tag` of its body, or looks like one if the body is a recorded text."""
        body = self.legacy.body
        if not body or "content-encoding" in self.legacy.headers or "content-encoding" in self.native.headers:
            return False
        return bool(_HASHED.fullmatch(tag)) if self.mode.strict else _hash_of(tag) == _hash_of(entity_tag(body))


def entity_tag(body: bytes) -> str:
    """Return the weak tag of jshttp's etag library: length in hex, 27 characters of base64 SHA-1."""
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'


def _hash_of(tag: str) -> str:
    return tag.removeprefix("W/")


def joined(headers: Headers) -> dict[str, str]:
    """Return headers by name; values of one name are joined by `, `, cookies by line breaks (RFC 6265 §3)."""
    return joined_text((name.decode("latin-1"), value.decode("latin-1").strip()) for name, value in headers)


def joined_text(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers as `joined` does, given as text; names are in lower case."""
    result: dict[str, str] = {}
    for name, value in headers:
        separator = "\n" if name == "set-cookie" else ", "
        result[name] = f"{result[name]}{separator}{value}" if name in result else value
    return result


def _difference(name: str, kind: DifferenceKind, legacy: str | None, native: str | None) -> Difference:
    path: ValuePath = ("header", name)
    spots = (LocatedValue(path, value) if value is not None else None for value in (legacy, native))
    return Difference(path, kind, grade(kind, path), *spots)


def _without_moments(name: str, value: str) -> str:
    """Return a value of `_EXPIRING` with the layout of each future expiry in its place."""
    if name == "expires":
        return _layout(value)
    return _EXPIRY.sub(lambda match: match.group().replace(match[1], _layout(match[1])), value)


def _layout(expiry: str) -> str:
    """Return a future date with its words and digits masked, and any other expiry as it is."""
    return date_layout(_WORD.sub("Aaa", expiry)) if _expiry(expiry) == "future" else expiry


def _expiries(value: str) -> list[float]:
    """Return each future expiry in a header in seconds since the epoch, cookies in the order of their names."""
    texts = [text for line in sorted(value.split("\n")) for text in _EXPIRY.findall(line)] or [value]
    moments = filter(None, map(moment_of, texts))
    return [moment.timestamp() for moment in moments if moment >= _DELETED_BEFORE]


def _coding(value: str | None) -> str:
    return "" if value is None or value.lower() == "identity" else value.lower().replace("x-gzip", "gzip")


def _tokens(value: str, *, lower: bool) -> set[str]:
    return {token.strip() for token in (value.lower() if lower else value).split(",")}


def _media_type(value: str) -> tuple[tuple[str, str], set[str]]:
    """Return media type and charset, and the other parameters; a boundary is each side's own (RFC 2046 §5.1.1)."""
    parameters = {_attribute(part) for part in value.split(";")[1:] if part.strip()}
    return media(value), {one for one in parameters if not one.startswith(("boundary=", "charset="))}


def _cookies(value: str, by_role: bool) -> list[tuple[str, ...]]:
    """Return cookies by name, domain and path; those of the same identity in order, because the last one counts.

    By role, a value that is an id, a date or a token is replaced by its kind.
    """
    split = (cookie.split(";") for cookie in value.split("\n"))
    spelled = mask if by_role else str
    cookies = [(spelled(first.strip()), *sorted(map(_attribute, rest))) for first, *rest in split]
    return sorted(cookies, key=_cookie_identity)


def _cookie_identity(cookie: tuple[str, ...]) -> tuple[str, ...]:
    """Return what identifies a cookie (RFC 6265 §5.3)."""
    pair, *attributes = cookie
    return pair.partition("=")[0], *(one for one in attributes if one.startswith(("domain=", "path=")))


def _attribute(text: str) -> str:
    """Return a parameter or an attribute with its name, and values without case, in lower case."""
    name, _, value = text.strip().partition("=")
    name = name.strip().lower()
    if name == "expires":
        return f"{name}={_expiry(value)}"
    return f"{name}={value.lower() if name in ('domain', 'samesite') else value}"


def _expiry(value: str) -> str:
    """Return `future` for a date, `past` for one that deletes a cookie, and any other value as it is."""
    moment = moment_of(value)
    if moment is None:
        return value
    return "past" if moment < _DELETED_BEFORE else "future"
