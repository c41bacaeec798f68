"""`make conformance`: run every case at full depth through the gateway and nginx, and write docs/conformance.md."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import click
import uvloop

from tests.conformance.case import Case, personal
from tests.conformance.cases import cases
from tests.conformance.entrances import NGINX
from tests.conformance.oracle import Oracle, node_oracle
from tests.conformance.run import Depth, run_gateway, run_nginx
from tests.conformance.table import Row, render, show_client, show_server, summarise_websocket
from tests.conformance.websocket.summary import summary as websocket

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


@click.command()
@click.option("--depth", type=click.Choice(["quick", "thorough"]), default="thorough", show_default=True)
def main(depth: Depth) -> None:
    """Write docs/conformance.md, and exit with 1 if the gateway's outcome is wrong in a case without a known fault."""
    logging.disable(logging.CRITICAL)  # the cases that a proxy must refuse fill the log
    with node_oracle() as oracle:
        if oracle is None or NGINX is None:
            click.echo("conformance: Node and nginx are needed", err=True)
            sys.exit(2)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = runner.run(measure(oracle, depth))
    PAGE.write_text(render(rows, summarise_websocket(websocket()), depth))
    click.echo(f"{PAGE}: {len(rows)} cases")
    failed = [row for row in rows if not row.case.known and row.gateway.finding.verdict]
    for row in failed:
        click.echo(f"{row.gateway.finding.verdict.label}: {row.case.name}: {row.gateway.described}")
    sys.exit(bool(failed))


async def measure(oracle: Oracle, depth: Depth) -> list[Row]:
    """Return the rows of the table: the gateway at a depth, nginx, and Node's own reading of the same bytes."""
    every = cases()
    with tempfile.TemporaryDirectory() as directory:
        gateway = await run_gateway(every, Path(directory), oracle, depth)
        nginx = await run_nginx(every, Path(directory), oracle)
    views = [node_view(oracle, case) for case in every]
    return [Row(*row) for row in zip(every, gateway, nginx, views, strict=True)]


def node_view(oracle: Oracle, case: Case) -> str:
    """Return the cell of Node: its server on the client's bytes, or its client on the upstream's."""
    token = b"id0000000"
    if case.family.startswith("Answer"):
        assert case.answer is not None
        return show_client(oracle.read_answer(personal(case.answer, token), (*case.methods, b"GET")[0]))
    return show_server(oracle.read_requests(personal(case.sent, token), strict=True))


if __name__ == "__main__":
    main()
