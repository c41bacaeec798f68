"""`make figures`: run the commands of the figures in docs/performance.md, and put what they print in their place.

    <!-- figures: python -m bench.quick -->
    …
    <!-- end of figures -->

`ONLY=quick` runs those whose command has the word. Figures taken while other work runs are worth nothing, so a machine
with a load average above MAX_LOAD is refused.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = ROOT / "docs" / "performance.md"
MAX_LOAD: Final = 0.5
"""The highest load average of the last minute at the start."""
WIDTH: Final = 118

_BLOCK: Final = re.compile(
    r"(<!-- figures: (?P<command>python -m [^\n]+?) -->\n).*?(<!-- end of figures -->)", re.DOTALL
)


def commands_in(document: str) -> list[str]:
    """Return the commands of a document's figures, in its order."""
    return [match["command"] for match in _BLOCK.finditer(document)]


def with_figures(document: str, command: str, output: str) -> str:
    """Return a document with the output of a command in its place."""
    fenced = f"```text\n{output.strip()}\n```\n"
    return _BLOCK.sub(lambda match: match[1] + fenced + match[3] if match["command"] == command else match[0], document)


def run(command: str) -> str:
    """Return the output of a command; a missed bound, exit code 1, is part of it. Raises SystemExit where it fails."""
    env = {**os.environ, "COLUMNS": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
    words = [sys.executable, *command.split()[1:]]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise SystemExit(f"{command}: {done.stderr or done.stdout}")
    return done.stdout


def write_figures(document: Path, only: str, measure: Callable[[str], str] = run) -> list[str]:
    """Replace the figures whose command has the text `only`; return these commands."""
    chosen = [command for command in commands_in(document.read_text()) if only in command]
    for command in chosen:
        output = measure(command)
        document.write_text(with_figures(document.read_text(), command, output))  # as far as it has come
    return chosen


@click.command()
@click.option("--only", default="", help="Run the commands that have this text.")
def main(only: str) -> None:
    """Measure the figures in docs/performance.md."""
    busy = os.getloadavg()[0]
    if busy > MAX_LOAD:
        raise click.ClickException(f"other work runs (load average {busy:.1f}): figures need an idle machine")
    chosen = write_figures(DOCUMENT, only)
    if not chosen:
        raise click.ClickException(f"no figures have a command with `{only}`")
    click.echo("\n".join(chosen))


if __name__ == "__main__":
    main()
