"""`scribe-proxy explain`: the backend that answers a request, and the reason. Works offline."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy.cli.config_file import ROUTING_FILE, opened
from proxy.cli.ops_client import ops_url_option
from proxy.cli.option_group import option_group
from proxy.cli.param_types import ShareParam
from proxy.config.field_types import FULL, ZERO, show_share
from proxy.config.key_sources import KeySource
from proxy.config.models import Config, Route
from proxy.config.route_models import NativeTraffic
from proxy.gateway.bucketing import (
    Client,
    Decision,
    Limit,
    bucket,
    decide,
    is_shadowed,
    share_in_force,
    source_key,
)
from proxy.gateway.patterns import METHODS, WEBSOCKET
from proxy.gateway.routing import Match, RouteTable
from proxy.gateway.targeting import TargetMatch, has_value, match_target
from proxy.gateway.tokens import Claims, ClaimsReader, TokenVerifier
from proxy.types import BasisPoints, HeaderFields
from proxy.wording import closest, did_you_mean

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
    """Targets that match no caller here, because the request gives no value for them."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of an explained request; `key` replaces the one that address and headers give.

    `tokens` reads the claims of `headers`, in place of the verifier of routing.yaml.
    """

    headers: HeaderFields = ()
    client: Client = None
    key: str | None = None
    tokens: ClaimsReader | None = None

    def has_value(self, source: KeySource, tokens: ClaimsReader | None) -> bool:
        """Return True where the caller has a value that a target of this source could match."""
        return has_value(source, self.headers, self.client, tokens)


class ClaimedToken:
    """A token that is trusted to have some claims, without a signature."""

    def __init__(self, claims: Mapping[str, str]) -> None:
        self._claims: Final = claims

    def claims(self, headers: HeaderFields) -> Claims:
        """Return the claims, whatever the headers."""
        return self._claims

    @property
    def header(self) -> tuple[bytes, bytes]:
        """The header of the token, from which keys are read."""
        payload = base64.urlsafe_b64encode(json.dumps(self._claims).encode())
        return b"authorization", b"Bearer e30." + payload + b"."


def _caller(
    key: str | None,
    claims: tuple[tuple[str, str], ...],
    headers: tuple[tuple[bytes, bytes], ...],
    client_ip: str | None,
) -> Caller:
    client = (client_ip, 0) if client_ip else None
    if not claims:
        return Caller(headers, client, key)
    if any(name == b"authorization" for name, _ in headers):
        raise click.UsageError("give --claim or --header 'Authorization: …', not both")
    token = ClaimedToken(dict(claims))
    return Caller((token.header, *headers), client, key, token)


caller_options = option_group(
    "caller",
    _caller,
    click.option("--key", metavar="K", help="The caller's key, in place of one read from headers."),
    click.option(
        *("--claim", "claims"),
        multiple=True,
        metavar="NAME=VALUE",
        callback=lambda _context, _parameter, texts: tuple(map(_claim, texts)),
        help="A verified claim of the caller's token; may be repeated.",
    ),
    click.option(
        *("--header", "headers"),
        multiple=True,
        metavar="'NAME: VALUE'",
        callback=lambda _context, _parameter, texts: tuple(map(_header, texts)),
        help="A request header; may be repeated.",
    ),
    click.option("--client-ip", metavar="ADDRESS", help="The caller's address."),
)


@click.command()
@click.argument("method", callback=lambda _context, _parameter, method: method.upper())
@click.argument("path")
@caller_options
@click.option("--stage", type=ShareParam(), help="The rollout's current stage; default its first.")
@click.option("--config", "file", type=ROUTING_FILE, default=Path("routing.yaml"), show_default=True, metavar="FILE")
@click.option("--live", is_flag=True, help="Use the stage and the cap of a running gateway.")
@ops_url_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    method: str,
    path: str,
    caller: Caller,
    stage: BasisPoints | None,
    ops_url: str,
    file: Path,
    *,
    live: bool,
    as_json: bool,
) -> None:
    """Show which backend answers a request, and why.

    Reads routing.yaml only; with --live also the stage and the cap in force, from the ops listener of a running
    gateway (OPS_TOKEN of the environment is sent).

    METHOD is an HTTP method, or WS for a WebSocket; PATH is as the client sends it. SCRIBE_PROXY_PIN applies as in the
    gateway.

    \b
    Examples:
      scribe-proxy explain GET /api/prompts --key 64b7f0f0f0f0f0f0f0f0f0f0
      scribe-proxy explain GET /api/prompts --header 'Authorization: Bearer …' --live
      scribe-proxy explain POST /users/login --client-ip 192.0.2.7
    """
    config = _opened(file, method, path)
    state = _live(config, ops_url, method, path) if live else None
    explanation = explained(config, method, path, caller, stage, state)
    click.echo(json.dumps(asdict(explanation), indent=2) if as_json else _text(explanation))


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
    match = table.match(method, _raw_path(path))
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


def _opened(file: Path, method: str, path: str) -> Config:
    """Return the configuration. Raises BadParameter for a method or a path that no request has, with one that has."""
    config = opened(file)
    if not path.startswith("/"):
        named = next((route for route in config.routes if path in (route.name, route.group)), None)
        meant = f"; the route {named.name} is {named.match}" if named is not None else ""
        raise click.BadParameter(f"must begin with a slash{meant}", param_hint="PATH")
    known = {*METHODS, WEBSOCKET, *(route.pattern.method for route in config.routes)}
    if method not in known:
        meant = did_you_mean(method, sorted(known))
        raise click.BadParameter(f"there is no method {method}{meant}", param_hint="METHOD")
    return config


def _live(config: Config, ops_url: str, method: str, path: str) -> LiveState:
    from proxy.cli.live_state import live_state  # needs an HTTP client

    match = RouteTable(config.routes).match(method, _raw_path(path))
    return live_state(ops_url, match.route if match is not None else None)


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
        "override": "the override header asks for it, with the right secret",
        "no-route": "no route matches; unmatched requests go to legacy",
        "no-key": f"the request has no bucketing key, and the share is {share} (try --key, --header, --client-ip)",
    }[decision.reason]


def _by_share(share: str, index: int | None, native: int) -> str:
    if native in (0, FULL):
        return f"the native share is {share}"
    position = "below" if index is not None and index < native else "not below"
    return f"bucket {index} is {position} {native}, where the native share of {share} ends"


def _other_routes(table: RouteTable, match: Match | None, method: str, path: str) -> str:
    """Return the methods that this path is routed for, or a similar route, where no route matched."""
    if match is not None:
        return ""
    declared = sorted({route.pattern.method for route in table.routes})
    methods = [other for other in declared if table.match(other, _raw_path(path))]
    if methods:
        return f" (this path is routed for {', '.join(methods)})"
    close = closest(f"{method} {path}", [route.match for route in table.routes])
    return f" (similar to {close}, which is a route)" if close else ""


def _family(config: Config, route: Route) -> tuple[str, ...]:
    """Return the names of the other routes of its group."""
    if route.group is None:
        return ()
    return tuple(each.name for each in config.routes if each.group == route.group and each is not route)


def _claim(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.BadParameter(f"{text!r} is not `NAME=VALUE`")
    return name.strip(), value


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is not `NAME: VALUE`", param_hint="--header")
    return _bytes(name.strip().lower()), _bytes(value.strip())


def _raw_path(path: str) -> bytes:
    return _bytes(path.partition("?")[0])


def _bytes(argument: str) -> bytes:
    """Return an argument's bytes exactly as the shell passed them."""
    return argument.encode("utf-8", "surrogateescape")


def _text(explanation: RouteExplanation) -> str:
    lines = _lines(explanation)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{click.style(name.ljust(width), dim=True)}  {value}" for name, value in lines)


def _lines(explanation: RouteExplanation) -> list[tuple[str, str]]:
    lines = [("backend", explanation.backend), ("reason", f"{explanation.reason}: {explanation.because}")]
    if explanation.route:
        lines.append(("route", f"{explanation.route} ({explanation.match})"))
    lines += [("param", f"{name} = {value!r}") for name, value in explanation.params.items()]
    if explanation.key:
        lines.append(("key", f"{explanation.key!r}, from {explanation.key_source}"))
    if explanation.bucket is not None:
        drawn = f"group {explanation.group}" if explanation.group else "this route alone"
        lines.append(("bucket", f"{explanation.bucket} of 0 to 9999, drawn for {drawn} with salt {explanation.salt!r}"))
    if explanation.grouped_with:
        lines.append(("group", f"{explanation.group}: the same bucket on {', '.join(explanation.grouped_with)}"))
    if explanation.native:
        lines.append(("share", f"{explanation.native} of callers answered natively"))
    if explanation.stage:
        known = "" if explanation.live is not None else ", if the rollout is there: see --live"
        lines.append(("stage", explanation.stage + known))
    if explanation.shadow:
        lines.append(
            ("shadow", f"{explanation.shadow} of callers, {'this one too' if explanation.shadowed else 'not this one'}")
        )
    if explanation.live is not None:
        lines.append(("live", explanation.live))
    if explanation.live_revision not in (None, explanation.revision):
        lines.append(("differs", f"the gateway runs revision {explanation.live_revision}, not this file"))
    if explanation.untested:
        lines.append(("untested", f"targets by {', '.join(explanation.untested)}: {_advice(explanation.untested)}"))
    return [*lines, ("revision", explanation.revision)]


def _advice(untested: Sequence[str]) -> str:
    """Return the options that give values to targets."""
    options = {"jwt": "--claim NAME=VALUE or a token that `tokens.secret` verifies", "client-ip": "--client-ip"}
    given = dict.fromkeys(options.get(name.partition(":")[0], "--header") for name in untested)
    return f"the request has no value for them; give {', '.join(given)}"
