"""Explain a routing decision as data: its inputs, its reason, and the targets that it could not test."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from proxy.cli.caller_options import Caller, argument_bytes
from proxy.config.field_types import FULL, ZERO, show_share
from proxy.config.models import Config, Route
from proxy.config.route_models import NativeTraffic
from proxy.gateway.bucketing import Decision, Limit, bucket, decide, is_shadowed, share_in_force, source_key
from proxy.gateway.routing import Match, RouteTable
from proxy.gateway.targeting import TargetMatch, match_target
from proxy.gateway.tokens import ClaimsReader, TokenVerifier
from proxy.types import BasisPoints
from proxy.wording import closest

if TYPE_CHECKING:
    from proxy.cli.live_state import LiveState


@dataclass(frozen=True, slots=True)
class RouteExplanation:
    """A routing decision with its inputs. Shares are percentages as text; `bucket` is set even if unused."""

    backend: str = "legacy"
    reason: str = ""
    because: str = ""
    route: str | None = None
    match: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    key_source: str | None = None
    bucket: int | None = None
    group: str | None = None
    grouped_with: tuple[str, ...] = ()
    salt: str = ""
    native: str | None = None
    stage: str | None = None
    shadow: str | None = None
    shadowed: bool = False
    revision: str = ""
    live: str | None = None
    live_revision: str | None = None
    untested: tuple[str, ...] = ()
    """Targets that the decision ignores, because the request gives no value for them."""


def explained(
    config: Config,
    method: str,
    path: str,
    caller: Caller,
    stage: BasisPoints | None = None,
    live: LiveState | None = None,
) -> RouteExplanation:
    """Return the explanation as data. `stage` is the share of the rollout's current stage; `live` replaces it."""
    table = RouteTable(config.routes)
    match = table.match(method, raw_path(path))
    route = match.route if match else None
    at = _stage(route, stage if live is None else live.limit.stage)
    tokens = caller.tokens or _verifier(config)
    limit = live.limit if live is not None else Limit(FULL if at is None else at)
    decision = decide(route, config, caller.headers, caller.client, limit=limit, key=caller.key, tokens=tokens)
    target = match_target(route.native_traffic, caller.headers, caller.client, tokens) if route is not None else None
    undecided = _undecided(config, match, caller)
    because = _because(decision, route, undecided.bucket, limit, target, live)
    return replace(
        undecided,
        backend=decision.backend,
        reason=decision.reason,
        because=because + _other_routes(table, match, method, path),
        stage=show_share(at) if at is not None else None,
        live=live.reason if live is not None else None,
        live_revision=live.revision if live is not None else None,
        untested=_untested(route, caller, tokens) if target is None or target.rule == "include" else (),
    )


def _untested(route: Route | None, caller: Caller, tokens: ClaimsReader | None) -> tuple[str, ...]:
    """Return the targets of a route for which the caller has no value."""
    traffic = route.native_traffic if route is not None else NativeTraffic()
    sources = dict.fromkeys((*traffic.exclude, *traffic.include))
    return tuple(str(source) for source in sources if not caller.has_value(source, tokens))


def _undecided(config: Config, match: Match | None, caller: Caller) -> RouteExplanation:
    """Return the explanation's inputs: the matched route, and the caller's key and bucket."""
    key, source = _key(config, caller)
    known = RouteExplanation(key=key, key_source=source, salt=config.bucketing.salt, revision=config.revision)
    if match is None:
        return known
    route = match.route
    index = bucket(config.bucketing.salt, route.domain, key) if key else None
    return replace(
        known,
        route=route.name,
        match=route.match,
        params=match.params,
        group=route.group,
        grouped_with=_family(config, route),
        bucket=index,
        native=show_share(route.native),
        shadow=show_share(route.shadow.share) if route.shadow.share else None,
        shadowed=is_shadowed(route, index),
    )


def _key(config: Config, caller: Caller) -> tuple[str | None, str | None]:
    """Return the caller's key and its source."""
    if caller.key:
        return caller.key, "--key"
    keys = ((source_key(source, caller.headers, caller.client), str(source)) for source in config.bucketing.sources)
    return next(((key, source) for key, source in keys if key), (None, None))


def _stage(route: Route | None, given: BasisPoints | None) -> BasisPoints | None:
    if route is None or route.rollout is None:
        return None
    return given if given is not None else route.rollout.first


def _verifier(config: Config) -> ClaimsReader | None:
    secret = config.tokens.secret.get_secret_value()
    return TokenVerifier(secret) if secret else None


def _because(
    decision: Decision,
    route: Route | None,
    index: int | None,
    limit: Limit,
    target: TargetMatch | None,
    live: LiveState | None,
) -> str:
    if decision.reason == "cap" and live is not None:
        return live.reason
    if decision.reason in ("include", "exclude") and target is not None:
        origin = f" (from {target.file})" if target.file else ""
        return f"`native.{target.rule}` names {target.source} {target.value}{origin}"
    native = share_in_force(route, limit) if route else ZERO
    share = show_share(native) if route else ""
    if decision.reason == "share":
        return _by_share(share, index, native)
    return {
        "no-native": "the file names no native app",
        "pin-all": f"SCRIBE_PROXY_PIN pins everything to {decision.backend}",
        "pin": f"the route is pinned to {decision.backend}",
        "override": "the override header selects it, with the right secret",
        "no-route": "no route matches; unmatched requests go to legacy",
        "no-key": f"the request has no bucketing key, and the share is {share} (try --key, --header, --client-ip)",
    }[decision.reason]


def _by_share(share: str, index: int | None, native: int) -> str:
    if native in (0, FULL):
        return f"the native share is {share}"
    position = "below" if index is not None and index < native else "not below"
    return f"bucket {index} is {position} {native}, where the native share of {share} ends"


def _other_routes(table: RouteTable, match: Match | None, method: str, path: str) -> str:
    """Return, if no route matched, the methods for which this path is routed, or a similar route."""
    if match is not None:
        return ""
    declared = sorted({route.pattern.method for route in table.routes})
    methods = [other for other in declared if table.match(other, raw_path(path))]
    if methods:
        return f" (this path is routed for {', '.join(methods)})"
    close = closest(f"{method} {path}", [route.match for route in table.routes])
    return f" (similar to {close}, which is a route)" if close else ""


def _family(config: Config, route: Route) -> tuple[str, ...]:
    """Return the names of the other routes of its group."""
    if route.group is None:
        return ()
    return tuple(each.name for each in config.routes if each.group == route.group and each is not route)


def raw_path(path: str) -> bytes:
    return argument_bytes(path.partition("?")[0])
