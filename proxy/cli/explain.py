"""`scribe-proxy explain`: show the backend that answers a request, and the reason. Works offline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy.cli.caller_options import Caller, caller_options
from proxy.cli.config_file import opened
from proxy.cli.explanation import RouteExplanation, explained, raw_path
from proxy.cli.ops_client import ops_url_option
from proxy.cli.param_types import ShareParam
from proxy.cli.shared_options import config_option
from proxy.config.models import Config
from proxy.config.reading import ROUTE_SECTIONS
from proxy.gateway.patterns import METHODS, WEBSOCKET
from proxy.gateway.routing import RouteTable
from proxy.types import BasisPoints
from proxy.wording import did_you_mean

if TYPE_CHECKING:
    from proxy.cli.live_state import LiveState


@click.command()
@click.argument("method", callback=lambda _context, _parameter, method: method.upper())
@click.argument("path")
@caller_options
@click.option("--stage", type=ShareParam(), help="The rollout's current stage; default its first.")
@config_option()
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
    config = _opened(file, method, path, _needed(caller))
    state = _live(config, ops_url, method, path) if live else None
    explanation = explained(config, method, path, caller, stage, state)
    click.echo(json.dumps(asdict(explanation), indent=2) if as_json else _text(explanation))


def _needed(caller: Caller) -> frozenset[str]:
    """Return the sections that decide about a caller, who may send a token to verify, or an override."""
    names = {name for name, _ in caller.headers}
    verified = {"tokens"} if b"authorization" in names and caller.tokens is None else set[str]()
    return ROUTE_SECTIONS | verified | ({"overrides"} if names - {b"authorization"} else set[str]())


def _opened(file: Path, method: str, path: str, needed: frozenset[str]) -> Config:
    """Return the configuration. Raises BadParameter for an invalid method or path, with a suggestion."""
    config = opened(file, needed=needed)
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

    match = RouteTable(config.routes).match(method, raw_path(path))
    return live_state(ops_url, match.route if match is not None else None)


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
        known = "" if explanation.live is not None else ", if the rollout is at this stage: see --live"
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
