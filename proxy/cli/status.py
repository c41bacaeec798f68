"""`scribe-proxy status`: the ops page `/live` in a terminal."""

from __future__ import annotations

import os
import time
from typing import Final

import click
import httpx
from pydantic import TypeAdapter, ValidationError
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proxy.cli.console import console
from proxy.ops.formatting import duration, latency, number, percent
from proxy.ops.pages.live import BackendNow, Live, RouteNow
from proxy.rollout.progress import WaitReason

PERIOD: Final = 2.0
"""Seconds between two requests with `--watch`."""
_WAITS: Final[dict[WaitReason, str]] = {
    "cap": "capped",
    "completed": "the last stage",
    "paused": "paused by a person",
    "file": "the file allows no more",
    "gate": "a gate is missed",
    "bake_time": "",
    "evidence": "too little seen to tell",
    "approval": "waits for `promote`",
    "window": "",
    "nothing": "goes up now",
}
_COLOURS: Final = {"pass": "green", "fail": "red", "unknown": "dim"}
_FIGURES: Final = ("native", "req/s", "errors", "5xx", "p50", "p95", "p99")
_HEADINGS: Final = ("route", "native", "reason", "stage", "backend", *_FIGURES[1:], "guard")
_READER: Final = TypeAdapter(Live)


@click.command()
@click.option(
    "--ops-url",
    default="http://127.0.0.1:8001",
    envvar="OPS_URL",
    show_envvar=True,
    show_default=True,
    help="The gateway's ops listener.",
)
@click.option("--watch", is_flag=True, help="Refresh every two seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the ops listener's JSON.")
def status(ops_url: str, *, watch: bool, as_json: bool) -> None:
    """Show every route of a running gateway: share, reason, stage, both backends, guard.

    The figures are those of the answering process over the guard's window. OPS_TOKEN of the environment is sent.
    """
    token = os.environ.get("OPS_TOKEN", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=ops_url, headers=headers, timeout=5.0, trust_env=False) as client:
        if as_json:
            click.echo(_fetch(client).text)
        elif watch:
            _watch(client)
        else:
            console().print(_shown(_read(client)))


def _watch(client: httpx.Client) -> None:
    out = console()
    while True:
        try:
            shown = _shown(_read(client))
        except click.ClickException as error:  # the gateway may return
            shown = Text(error.message, style="red")
        out.clear()
        out.print(shown)
        time.sleep(PERIOD)


def _read(client: httpx.Client) -> Live:
    try:
        return _READER.validate_json(_fetch(client).content)
    except ValidationError:
        raise click.ClickException(f"{client.base_url} is not an ops listener of this version") from None


def _fetch(client: httpx.Client) -> httpx.Response:
    try:
        answer = client.get("/live.json")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"{client.base_url} cannot be reached: {error}") from None
    if answer.status_code == 401:
        raise click.ClickException(f"{client.base_url} requires a token: set OPS_TOKEN")
    if not answer.is_success:
        raise click.ClickException(f"{client.base_url} answered {answer.status_code}")
    return answer


def _shown(now: Live) -> RenderableType:
    return Group(*_head(now), _table(now))


def _head(now: Live) -> list[Text]:
    status = now.status
    legacy = "reachable" if status.legacy else "unreachable"
    native = "started" if status.native else "not running"
    summary = f"revision {status.revision} · legacy {legacy} · native {native}"
    lines = [Text(f"{summary} · {status.in_flight} under way in process {now.process}")]
    if status.problems:
        lines.append(Text(f"routing.yaml is rejected, with {len(status.problems)} problems", style="red"))
    if now.legacy_down:
        lines.append(Text("legacy accepts no connections; the circuit breaker is open", style="red"))
    if not now.healthy:
        lines.append(Text("native fails its health checks", style="red"))
    if now.unreachable:
        lines.append(Text("MongoDB cannot be reached: shares stay, nothing is promoted", style="red"))
    if not now.shared:
        lines.append(Text("no MongoDB: shares belong to this gateway only and are lost at a restart", style="yellow"))
    return lines


def _table(now: Live) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in _FIGURES else "left", overflow="fold")
    for route in now.routes:
        table.add_row(*_route(route, route.native, "native"))
        table.add_row(*[""] * 4, *_backend(route.legacy, "legacy"), end_section=True)
    return table


def _route(route: RouteNow, backend: BackendNow, name: str) -> list[Text | str]:
    share = Text(percent(route.effective, 100), style="red" if route.by == "cap" else "bold")
    guard = Text("-", style="dim")
    if route.guard is not None:
        guard = Text(route.guard.outcome, style=_COLOURS[route.guard.outcome])
    return [Text(route.name), share, Text(route.reason), Text(_stage(route)), *_backend(backend, name), guard]


def _stage(route: RouteNow) -> str:
    progress = route.progress
    if progress is None:
        return ""
    follows = f" → {percent(progress.following, 10_000)}" if progress.following is not None else ""
    waits = f"in {duration(progress.left)}" if progress.waits in ("bake_time", "window") else _WAITS[progress.waits]
    return f"{percent(progress.stage, 10_000)}{follows} {waits}".strip()


def _backend(backend: BackendNow, name: str) -> list[Text | str]:
    style = "" if backend.requests else "dim"
    figures = (
        number(backend.rate),
        percent(backend.errors, backend.requests),
        percent(backend.server_errors, backend.requests),
        *map(latency, (backend.p50, backend.p95, backend.p99)),
    )
    return [Text(name, style=style), *(Text(figure, style=style) for figure in figures)]
