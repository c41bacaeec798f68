"""Rules about two keys or two routes: duplicates, unreachable routes, contradictions.

Rules yield all problems, even in a file that has other problems. Notes are warnings about valid settings with an
unexpected effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.config.field_types import show_duration, show_share
from proxy.config.inheritance import SAFE, is_compared
from proxy.config.models import Route, RoutingFile
from proxy.config.problems import Problem
from proxy.config.service_models import DocsSettings
from proxy.gateway.cookies import OPS_COOKIE
from proxy.gateway.patterns import WEBSOCKET, Cover, Pattern, PatternError, answers

Locate = Callable[..., Problem]  # (message, *location) -> Problem, with its line and where
Placed = tuple[int, Route]  # a route and its index in the file's list


@dataclass(frozen=True, slots=True)
class Outline:
    """The readable properties of a route that can conflict with other routes."""

    index: int
    name: str | None
    match: Pattern | None
    group: str | None

    @classmethod
    def of(cls, index: int, item: Mapping[str, Any]) -> Outline:
        """Read the plain values of a route; unreadable ones are reported by the route's own validation."""
        name, match, group = (item.get(key) for key in ("name", "match", "group"))
        try:
            pattern = Pattern.parse(match) if isinstance(match, str) else None
        except PatternError:
            pattern = None
        return cls(index, _text(name), pattern, _text(group))


def between(outlines: Sequence[Outline], locate: Locate) -> Iterator[Problem]:
    """Yield all problems between two routes."""
    yield from _same_names(outlines, locate)
    yield from _unreachable(outlines, locate)
    yield from _borrowed_groups(outlines, locate)


def within(routes: Sequence[Placed], *, native: bool, locate: Locate) -> Iterator[Problem]:
    """Yield all problems between the keys of one route. `native`: the file names a native app."""
    for index, route in routes:
        if not native:
            yield from _without_native(index, route, locate)
        yield from _misplaced(index, route, locate)


def overall(file: RoutingFile, *, native: bool, locate: Locate) -> Iterator[Problem]:
    """Yield all problems between the sections of a file."""
    if file.legacy.tls is not None and not file.legacy.url.startswith("https:"):
        yield locate("needs an https URL", "legacy", "tls")
    if file.health is not None and not native:
        yield locate("needs a native app, and the file has no `native:`", "health")
    server = file.server
    if "header_timeout" in server.model_fields_set and server.header_timeout > server.request_timeout:
        limit = show_duration(server.request_timeout)
        yield locate(f"must be at most server.request_timeout, which is {limit}", "server", "header_timeout")
    if server.proxy_protocol and not file.trusted_proxies:
        yield locate("needs `trusted_proxies`: the header is read from those alone", "server", "proxy_protocol")
    if file.ops.trust_header is not None and not file.trusted_proxies:
        yield locate("needs `trusted_proxies`: the header is read from those alone", "ops", "trust_header")
    if file.ops.operators and file.ops.trust_header is None:
        yield locate("needs `trust_header`, which names the person", "ops", "operators")
    yield from _cookie_names(file, locate)
    if file.docs is not None:
        yield from _docs_alone(file.docs, native=native, locate=locate)


def notes(routes: Sequence[Placed], *, docs: DocsSettings | None, shared: bool, locate: Locate) -> Iterator[Problem]:
    """Yield warnings about valid settings with an unexpected effect; `shared` is True with a MongoDB."""
    yield from _hidden_by_docs(docs, routes, locate) if docs is not None else ()
    moving = [key for _, route in routes for key in ("guard", "rollout") if getattr(route, key) is not None]
    if moving and not shared:
        message = "without it, each gateway keeps guards and rollouts in memory, and they are lost when it ends"
        yield locate(message, "mongodb")
    for index, route in routes:
        yield from _moving(index, route, locate)
        if route.shadow.share and not is_compared(route.pattern.method, route.shadow):
            message = f"{route.pattern.method} requests are writes, and shadow.writes is never: none will run"
            yield locate(message, "routes", index, "shadow")
        if route.pin is not None and "native_traffic" in route.model_fields_set:
            message = f"the route is pinned to {route.pin}, so the share of {show_share(route.native)} is not used"
            yield locate(message, "routes", index, "pin")


def _cookie_names(file: RoutingFile, locate: Locate) -> Iterator[Problem]:
    cookie = file.bucketing.cookie
    if cookie is None:
        return
    if cookie.name == OPS_COOKIE:
        yield locate("is the name of the ops pages' cookie; choose another", "bucketing", "cookie", "name")
    if cookie.name in {source.name for source in file.bucketing.key if source.kind == "cookie"}:
        yield locate(f"cookie:{cookie.name} is bucketing.cookie, which comes before all keys", "bucketing", "key")


def _docs_alone(docs: DocsSettings, *, native: bool, locate: Locate) -> Iterator[Problem]:
    if docs.native is not None and not native:
        yield locate("is read from the native app, and the file has no `native:`", "docs", "native")
    first: dict[str, str] = {}
    for page, path in _pages(docs):
        if path in first:
            yield locate(f"docs.{first[path]} has the path {path} already", "docs", page)
        first.setdefault(path, page)


def _hidden_by_docs(docs: DocsSettings, routes: Sequence[Placed], locate: Locate) -> Iterator[Problem]:
    for index, route in routes:
        for page, path in _pages(docs):
            if not route.pattern.rest and answers(route.pattern.method, "GET") and route.pattern.takes(path):
                message = f"GET {path} never reaches this route: docs.{page} answers it"
                yield locate(message, "routes", index, "match")


def _pages(docs: DocsSettings) -> Sequence[tuple[str, str]]:
    return (("swagger", docs.swagger), ("redoc", docs.redoc), ("openapi", docs.openapi))


def _same_names(outlines: Sequence[Outline], locate: Locate) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for outline in outlines:
        if outline.name in first:
            line = locate("", "routes", first[outline.name], "name").line
            yield locate(f"the route on line {line} already has this name", "routes", outline.index, "name")
        elif outline.name is not None:
            first[outline.name] = outline.index


def _unreachable(outlines: Sequence[Outline], locate: Locate) -> Iterator[Problem]:
    cover, matches = Cover(), {outline.index: outline.match for outline in outlines}
    for outline in outlines:
        if outline.match is None:
            continue
        earlier = cover.covering(outline.match)
        if earlier is not None:
            line = locate("", "routes", earlier, "match").line
            message = _covered(outline.match, matches[earlier], line)
            yield locate(message, "routes", outline.index, "match")
        cover.add(outline.match, outline.index)


def _covered(match: Pattern, earlier: Pattern | None, line: int) -> str:
    by = f"`{earlier}` on line {line}"
    if earlier is None or match.shape == earlier.shape:
        return f"duplicate: {by} matches the same requests"
    if match.method == "HEAD" and earlier.method == "GET":
        return f"unreachable: {by} matches HEAD too; put this route before it"
    return f"unreachable: {by} matches all of its requests; put this route before it"


def _borrowed_groups(outlines: Sequence[Outline], locate: Locate) -> Iterator[Problem]:
    loners = {outline.name: outline.index for outline in outlines if outline.group is None}
    for outline in outlines:
        if outline.group is not None and outline.group in loners:
            line = locate("", "routes", loners[outline.group], "name").line
            message = f"the route on line {line} has this name, but not this group; give it the group too"
            yield locate(message, "routes", outline.index, "group")


def _without_native(index: int, route: Route, locate: Locate) -> Iterator[Problem]:
    wanting: dict[str, bool] = {
        "native": (route.native > 0 and route.rollout is None) or bool(route.native_traffic.include),
        "pin": route.pin == "native",
        "shadow": route.shadow.share > 0,
        "rollout": route.rollout is not None,
        "on_legacy_down": route.on_legacy_down == "native",
    }
    for key, wants in wanting.items():
        if wants:
            yield locate("needs a native app, and the file has no `native:`", "routes", index, key)


def _misplaced(index: int, route: Route, locate: Locate) -> Iterator[Problem]:
    if route.pattern.method == WEBSOCKET and route.shadow.writes != "never":
        message = "has no effect on a WebSocket, which always runs dry; write `shadow: 5%` for 5% of callers"
        yield locate(message, "routes", index, "shadow", "writes")
    if route.on_native_error == "legacy" and not _reads(route):
        message = f"only reads may be repeated on legacy, and {route.pattern.method} is not one"
        yield locate(message, "routes", index, "on_native_error")
    if route.guard is not None and route.guard.on_failure == "previous" and route.rollout is None:
        yield locate("there is no previous stage without a rollout", "routes", index, "guard", "on_failure")


def _moving(index: int, route: Route, locate: Locate) -> Iterator[Problem]:
    """Yield warnings about guards and rollouts without effect."""
    guard, rollout = route.guard, route.rollout
    if rollout is not None and guard is None:
        yield locate(
            "raises the share, but without a `guard` nothing lowers it automatically", "routes", index, "rollout"
        )
    if rollout is not None and rollout.stages[-1] > route.native:
        highest = show_share(route.native)
        yield locate(f"stages above `native`, which is {highest}, are not reached", "routes", index, "rollout")
    if route.shadow.share:
        return
    if guard is not None and guard.mismatch is not None:
        yield locate(
            "has no effect: no request of the route is compared, see `shadow`", "routes", index, "guard", "mismatch"
        )
    if rollout is not None and "mismatch" in rollout.gates.model_fields_set:
        at = ("routes", index, "rollout", "gates", "mismatch")
        yield locate("is not evaluated: no request of the route is compared, see `shadow`", *at)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _reads(route: Route) -> bool:
    return route.pattern.method in SAFE
