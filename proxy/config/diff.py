"""The effect of a changed routing.yaml on callers: which routes change, and how many callers move. Pure.

Routes are compared by the requests that they match, not by name, so that a renamed, split or merged route is compared
with the route that matched its requests before. The shares are exact as long as buckets stay the same. If salt, key or
domain change, every caller gets a new bucket, and the shares are expectations.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, SecretStr

from proxy.config.field_types import FULL, ZERO, show_duration, show_share
from proxy.config.models import Config, Route, RoutingFile
from proxy.config.route_models import NativeTraffic
from proxy.config.targets import TargetMap
from proxy.gateway.patterns import Cover
from proxy.types import BasisPoints

_OTHER_KEYS: Final = ("timeouts", "revision", "shadow", "guard", "rollout", "on_legacy_down", "on_native_error")
_OF_ROUTES: Final = ("routes", "groups", "defaults")
_CERTAIN: Final = frozenset({0, FULL})


@dataclass(frozen=True, slots=True)
class RouteChange:
    """One pattern's change. Shares are in basis points.

    `before` and `after` are native's shares, pins included. `redrawn` is the reason why callers get new buckets, in
    which case `to_native` and `to_legacy` are expectations. `retargeted`: other callers are included or excluded, in an
    unknown number. `notes` name the other differences.
    """

    kind: Literal["added", "removed", "changed"]
    name: str
    match: str
    before: BasisPoints
    after: BasisPoints
    to_native: BasisPoints
    to_legacy: BasisPoints
    redrawn: str
    retargeted: bool
    notes: tuple[str, ...]

    @property
    def moves_callers(self) -> bool:
        """Return True if callers move, or may move because they are included or excluded."""
        return bool(self.to_native or self.to_legacy or self.retargeted)


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One key outside the routes, as text; secrets are never shown."""

    key: str
    before: str
    after: str


def route_changes(old: Config, new: Config) -> tuple[RouteChange, ...]:
    """Return the changed routes of `new` in file order, then the routes that only `old` has."""
    before, after = _Lookup(old), _Lookup(new)
    present = [_present(old, new, route, before) for route in new.routes]
    gone = [_removed(old, new, route, after) for route in old.routes if route.pattern.shape not in after.by_shape]
    return tuple(change for change in (*present, *gone) if change is not None)


def setting_changes(old: Config, new: Config) -> tuple[SettingChange, ...]:
    """Return the keys outside the routes whose values differ; sections with unset variables are not compared."""
    unset = old.unset | new.unset
    before = dict(_settings(old, unset))
    after = dict(_settings(new, unset))
    keys = dict.fromkeys((*before, *after))
    changed = [key for key in keys if before.get(key) != after.get(key)]
    return tuple(SettingChange(key, _shown(before.get(key)), _shown(after.get(key))) for key in changed)


class _Lookup:
    """Finds the route of a configuration that matches the requests of a pattern."""

    def __init__(self, config: Config) -> None:
        self.by_shape: Final = {route.pattern.shape: route for route in config.routes}
        self._routes: Final = config.routes
        self._cover: Final = Cover()
        for index, route in enumerate(config.routes):
            self._cover.add(route.pattern, index)

    def taking(self, route: Route) -> Route | None:
        """Return the route of the same shape, or else the first that covers it, or None."""
        same = self.by_shape.get(route.pattern.shape)
        index = None if same else self._cover.covering(route.pattern)
        return self._routes[index] if index is not None else same


def _present(old: Config, new: Config, route: Route, before: _Lookup) -> RouteChange | None:
    was = before.taking(route)
    same = was is not None and was.pattern.shape == route.pattern.shape
    change = _change("changed" if same else "added", route, (old, was), (new, route))
    moved = change.before != change.after or change.to_native or change.to_legacy
    return change if moved or change.notes or change.redrawn or not same else None


def _removed(old: Config, new: Config, route: Route, after: _Lookup) -> RouteChange:
    return _change("removed", route, (old, route), (new, after.taking(route)))


def _change(
    kind: Literal["added", "removed", "changed"],
    shown: Route,
    was: tuple[Config, Route | None],
    now: tuple[Config, Route | None],
) -> RouteChange:
    before, after = _share(*was), _share(*now)
    after = _continued(was[1], now[1], before, after)
    redrawn = _redrawn(*was, *now) if _partial(before) and _partial(after) else ""
    to_native, to_legacy = _moving(before, after, redrawn=bool(redrawn))
    notes = (*_notes(kind, was[1], now[1]), *_rollout_notes(was[1], now[1], before, after))
    retargeted = _retargeted(was[1], now[1])
    return RouteChange(kind, shown.name, shown.match, before, after, to_native, to_legacy, redrawn, retargeted, notes)


def _retargeted(was: Route | None, now: Route | None) -> bool:
    """Return True if the targets differ, unless a pin overrules them both before and after."""
    if was is not None and now is not None and was.pin is not None and now.pin is not None:
        return False
    return _targets(was) != _targets(now)


def _targets(route: Route | None) -> tuple[TargetMap, TargetMap]:
    traffic = route.native_traffic if route is not None else NativeTraffic()
    return traffic.include, traffic.exclude


def _share(config: Config, route: Route | None) -> BasisPoints:
    return route.share if route is not None and config.native is not None else ZERO


def _continued(was: Route | None, now: Route | None, before: BasisPoints, after: BasisPoints) -> BasisPoints:
    """Return the share after a rollout is added: the highest stage that is not above the running share."""
    if not _gains_rollout(was, now):
        return after
    assert now is not None
    assert now.rollout is not None
    stage = now.rollout.continuing(before) if now.pin is None else None
    return after if stage is None else min(now.native, stage)


def _gains_rollout(was: Route | None, now: Route | None) -> bool:
    return was is not None and now is not None and was.rollout is None and now.rollout is not None


def _partial(share: BasisPoints) -> bool:
    return share not in _CERTAIN


def _moving(before: BasisPoints, after: BasisPoints, *, redrawn: bool) -> tuple[BasisPoints, BasisPoints]:
    """Return the callers that move to native, and to legacy. Redrawn shares are independent of each other."""
    if redrawn:
        return _points((FULL - before) * after / FULL), _points(before * (FULL - after) / FULL)
    return _points(max(0, after - before)), _points(max(0, before - after))


def _points(share: float) -> BasisPoints:
    return BasisPoints(round(share))


def _redrawn(old: Config, was: Route | None, new: Config, now: Route | None) -> str:
    reasons = {
        "salt": old.bucketing.salt != new.bucketing.salt,
        "key": old.bucketing.sources != new.bucketing.sources,
        "group or name": was is not None and now is not None and was.domain != now.domain,
    }
    return ", ".join(reason for reason, changed in reasons.items() if changed)


def _notes(kind: str, was: Route | None, now: Route | None) -> Iterator[str]:
    if kind != "changed":
        other = was if kind == "added" else now
        yield f"{'was' if kind == 'added' else 'now'} taken by {other.name if other else 'no route (legacy)'}"
    if was is None or now is None:
        return
    if kind == "changed" and was.name != now.name:
        yield f"was named {was.name}"
    if _targets(was) != _targets(now):
        yield "targets differ: callers that `include` and `exclude` name are not counted"
    for key in ("pin", "group"):
        if getattr(was, key) != getattr(now, key):
            yield f"{key}: {getattr(was, key) or '-'} → {getattr(now, key) or '-'}"
    if was.rollout is not None and now.rollout is not None and was.native != now.native:
        yield f"`native` limits the rollout: {show_share(was.native)} → {show_share(now.native)}"
    for key in _OTHER_KEYS:
        if getattr(was, key) != getattr(now, key) and not (key == "rollout" and _gains_rollout(was, now)):
            yield f"{key} differs" + (" (its first stage is shown)" if key == "rollout" else "")


def _rollout_notes(was: Route | None, now: Route | None, before: BasisPoints, after: BasisPoints) -> Iterator[str]:
    """Yield the first share of an added rollout, and the setting with which no callers would move to legacy."""
    if not _gains_rollout(was, now):
        return
    assert now is not None
    assert now.rollout is not None
    yield f"a rollout is added: {'continues' if 0 < after <= before else 'starts'} at {show_share(after)}"
    if after < before <= now.native and now.pin is None:
        yield f"`start_at: {show_share(before)}`, as one of its stages, would keep all callers"


def _settings(config: Config, unset: Container[str]) -> Iterator[tuple[str, object]]:
    compared = (key for key in RoutingFile.model_fields if key not in _OF_ROUTES and key not in unset)
    keys = {key: getattr(config, key) for key in compared}
    yield from _flat(keys, "")


def _flat(values: dict[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, BaseModel):
            yield from _flat(dict(value), f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "(a secret)" if value else "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return show_duration(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
