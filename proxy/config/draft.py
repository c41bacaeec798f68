"""Write a draft of routing.yaml for the endpoints of a service. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from proxy.gateway.patterns import WEBSOCKET, Parameter, Pattern, PatternError

_VERSION: Final = re.compile(r"v\d+(\.\d+)*")
_NAME_LENGTH: Final = 64
_PREFLIGHT: Final = "OPTIONS"
_HEADER: Final = """\
# The routes of {title}. Everything goes to legacy until a share is raised.
#
#   scribe-proxy check                         report every problem of this file with its line
#   scribe-proxy explain METHOD PATH --key K   show which backend answers one caller, and why
#   scribe-proxy serve                         run the gateway on :8000, the ops pages on :8001
#
# A change to this file is in force within two seconds.

legacy:
  url: {legacy}
"""


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """A method, a path template, and the name from its description (may be empty)."""

    method: str
    path: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class DraftRoute:
    """One route of the draft; `group` is None if no other route has its resource."""

    name: str
    match: Pattern
    group: str | None


@dataclass(frozen=True, slots=True)
class Unroutable:
    """An endpoint that no route can match, with the reason; its requests go to legacy."""

    endpoint: ServiceEndpoint
    reason: str


def draft_routes(endpoints: Iterable[ServiceEndpoint]) -> tuple[list[DraftRoute], list[Unroutable]]:
    """Return a route for each endpoint, concrete paths before templates, and the endpoints that cannot have one.

    Preflights (OPTIONS) have no route: they follow the route of the request that they announce.
    """
    patterns: dict[object, tuple[Pattern, ServiceEndpoint]] = {}
    unroutable = []
    for endpoint in endpoints:
        try:
            pattern = Pattern.parse(f"{endpoint.method} {endpoint.path}")
        except PatternError as error:
            unroutable.append(Unroutable(endpoint, str(error)))
            continue
        if pattern.method != _PREFLIGHT:
            patterns.setdefault(pattern.shape, (pattern, endpoint))
    ordered = sorted(patterns.values(), key=lambda pair: _rank(pair[0]))
    sizes = Counter(_resource(pattern) for pattern, _ in ordered)
    names = _unique(_route_name(pattern, endpoint) for pattern, endpoint in ordered)
    return [
        DraftRoute(name, pattern, resource if (resource := _resource(pattern)) and sizes[resource] > 1 else None)
        for name, (pattern, _) in zip(names, ordered, strict=True)
    ], unroutable


def render(
    routes: list[DraftRoute],
    unroutable: list[Unroutable],
    *,
    legacy: str,
    title: str,
    native: str | None = None,
    contracts: str | None = None,
) -> str:
    """Return the text of a routing.yaml that sends every request to legacy."""
    text = _HEADER.format(title=_one_line(title), legacy=json.dumps(legacy))
    if native:
        text += f"native: {native}\n"
    if contracts:
        text += f"contracts: {json.dumps(contracts)}\n"
    text += "\nbucketing:\n  key: client-ip         # better: [jwt:CLAIM, header:NAME, cookie:NAME, client-ip]\n"
    text += f"  salt: {json.dumps(_slug(title) or 'service')}\n"
    groups = list(dict.fromkeys(route.group for route in routes if route.group))
    text += _native_sections(groups) if native else ""
    text += "\nroutes:\n" if routes else "\nroutes: []\n"
    text += "\n".join(map(_route, routes))
    for one in unroutable:
        text += (
            f"  # {_one_line(f'{one.endpoint.method} {one.endpoint.path}')} goes to legacy: {_one_line(one.reason)}\n"
        )
    return text


def _native_sections(groups: list[str]) -> str:
    """Return `defaults` and `groups`: nothing goes to native, and all reads are compared."""
    text = "\n# For routes and groups without own settings. Reads also run on native, and both answers are compared.\n"
    text += "defaults:\n  native: 0%\n  shadow: 100%\n"
    if groups:
        text += "\n# Routes of a group move together. The first step of a migration is `native: 1%` here.\ngroups:\n"
        text += "".join(f"  {_name(group)}: {{native: 0%}}\n" for group in groups)
    return text


def _route(route: DraftRoute) -> str:
    lines = [f"  - name: {_name(route.name)}", f"    match: {_scalar(str(route.match))}"]
    lines += [f"    group: {_name(route.group)}"] if route.group else []
    return "\n".join(lines) + "\n"


def _name(name: str) -> str:
    """Return a name as a YAML scalar; `null` is quoted, because a plain one is no value."""
    return json.dumps(name) if name.lower() == "null" else name


def _scalar(text: str) -> str:
    """Return a YAML scalar: plain if that is unambiguous, otherwise quoted; `$` becomes `$$`."""
    return text if re.fullmatch(r"[A-Z-]+ /[\w\-./{}~+]*", text, re.ASCII) else json.dumps(text.replace("$", "$$"))


def _rank(pattern: Pattern) -> tuple[object, ...]:
    """Order by path, literals before parameters before `*`, and HEAD before a GET that would match it too."""
    segments = [(1, "") if isinstance(segment, Parameter) else (0, segment.lower()) for segment in pattern.segments]
    if pattern.rest:
        segments.append((2, ""))
    return segments, pattern.method == WEBSOCKET, pattern.method != "HEAD", pattern.method


def _resource(pattern: Pattern) -> str | None:
    """Return the first segment that names a resource: not `api`, not a version, not a parameter."""
    for segment in pattern.segments:
        if isinstance(segment, Parameter):
            return None
        name = _slug(segment)
        if name and name != "api" and not _VERSION.fullmatch(name):
            return name
    return None


def _route_name(pattern: Pattern, endpoint: ServiceEndpoint) -> str:
    own = re.sub(r"[^A-Za-z0-9._-]+", "-", endpoint.name).strip("-._")
    if own:
        return own[:_NAME_LENGTH]
    words = [segment.name if isinstance(segment, Parameter) else segment for segment in pattern.segments]
    return _slug("-".join([pattern.method, *words]))[:_NAME_LENGTH]


def _unique(names: Iterable[str]) -> Iterator[str]:
    """Yield names with `-2`, `-3` and so on added to those that occurred before."""
    used: set[str] = set()
    for name in names:
        candidate, number = name, 1
        while candidate in used:
            number += 1
            suffix = f"-{number}"
            candidate = name[: _NAME_LENGTH - len(suffix)] + suffix
        used.add(candidate)
        yield candidate


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:_NAME_LENGTH]


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
