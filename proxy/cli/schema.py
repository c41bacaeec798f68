"""`scribe-proxy schema`: print the JSON Schema of routing.yaml, for editors."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of routing.yaml.

    \b
    Editors use it to complete and check a file that begins with
    # yaml-language-server: $schema=docs/routing.schema.json
    """
    from proxy.config.json_schema import routing_schema  # builds all models

    click.echo(json.dumps(routing_schema(), indent=2))
