"""`python -m tests.conformance.websocket [--json]`: play the cases, and print the counts and each difference."""

from __future__ import annotations

import json
import logging
import sys

import click

from tests.conformance.websocket.summary import Comparison, count, run_all


def main(arguments: list[str]) -> int:
    """Return 1 if a case differs."""
    logging.disable(logging.CRITICAL)
    comparisons = run_all()
    different = [each for each in comparisons if not each.is_equal]
    if "--json" in arguments:
        click.echo(json.dumps(count(comparisons)))
    else:
        for each in different:
            click.echo(_show(each))
        for name, number in count(comparisons).items():
            click.echo(f"{number:6} {name}")
    return int(bool(different))


def _show(comparison: Comparison) -> str:
    case = comparison.case
    return (
        f"{case.id} {case.title} ({comparison.delivery})\n  direct  {comparison.direct}\n  gateway {comparison.gateway}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
