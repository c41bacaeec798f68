"""`scribe-proxy completion`: completion of commands, options and route names in a shell."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

VARIABLE = "_SCRIBE_PROXY_COMPLETE"
_KEYS: Final = {"group": "group", "route": "name"}


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and route names.

    \b
    Examples:
      scribe-proxy completion bash >>~/.bash_completion
      scribe-proxy completion zsh >~/.zfunc/_scribe-proxy
      scribe-proxy completion fish >~/.config/fish/completions/scribe-proxy.fish
    """
    from proxy.cli.main import main  # imported late, because main.py imports this module

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "scribe-proxy", VARIABLE).source())


def complete_routes(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of routes."""
    return _matching(_names(ctx, "route"), incomplete)


def complete_routes_and_groups(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of groups and routes, groups first."""
    return _matching(_names(ctx, "group", "route"), incomplete)


def _matching(names: dict[str, str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=kind) for name, kind in names.items() if name.startswith(incomplete)]


def _names(ctx: click.Context, *kinds: str) -> dict[str, str]:
    """Return names with their kind, `group` or `route`, from the file; empty if it is no YAML."""
    from proxy.config import yaml_nodes
    from proxy.config.loading import decode, read
    from proxy.config.problems import ConfigError

    file = Path(ctx.params.get("file") or "routing.yaml")
    try:
        root, _ = yaml_nodes.read(decode(read(file), str(file)))
    except ConfigError:
        return {}
    routes = _entry(root, "routes")
    items = routes.items if isinstance(routes, yaml_nodes.Sequence) else []
    names: dict[str, str] = {}
    for kind, item in product(kinds, items):
        name = _text(_entry(item, _KEYS[kind]))
        if name:
            names.setdefault(name, kind)
    return names


def _entry(node: Any, key: str) -> Any:
    """Return the value of a key of a mapping node; None if there is none."""
    _, value = getattr(node, "entries", {}).get(key, (0, None))
    return value


def _text(node: Any) -> str | None:
    text: str | None = getattr(node, "text", None)
    return text
