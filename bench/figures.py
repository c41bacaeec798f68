"""`make figures`: run the commands of the figures in docs/performance.md, and put what they print in their place.

    <!-- figures: python -m bench.quick -->
    …
    <!-- end of figures: 0123456789ab -->

The digits are the version of the code that was measured. Each block is written as soon as it is measured, and one of
the present version is skipped, so that an interrupted run continues where it stopped; `AGAIN=1` measures it, too.
`ONLY=quick` runs those whose command has the word. Figures taken while other work runs are worth nothing, so a machine
with a load average above MAX_LOAD is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = ROOT / "docs" / "performance.md"
MAX_LOAD: Final = 0.5
"""The highest load average of the last minute at the start."""
WIDTH: Final = 118

MEASURED: Final = ("common", "proxy", "handlers", "bench")
"""The directories whose sources are the version of figures."""
_SOURCES: Final = frozenset((".py", ".js", ".lua", ".json", ".html", ".css"))
_BLOCK: Final = re.compile(
    r"(<!-- figures: (?P<command>python -m [^\n]+?) -->\n).*?<!-- end of figures(?:: (?P<version>[0-9a-f]{12}))? -->",
    re.DOTALL,
)


class CommandFailed(Exception):
    """A command that printed an error in place of figures."""


@dataclass(frozen=True, slots=True)
class Block:
    """The figures of one command, and the version that they were measured on; None where that is not known."""

    command: str
    version: str | None


def blocks_in(document: str) -> list[Block]:
    """Return a document's blocks of figures, in its order."""
    return [Block(match["command"], match["version"]) for match in _BLOCK.finditer(document)]


def with_figures(document: str, command: str, output: str, version: str) -> str:
    """Return a document with the output of a command, measured on a version, in its place."""
    fenced = f"```text\n{output.strip()}\n```\n<!-- end of figures: {version} -->"
    return _BLOCK.sub(lambda match: match[1] + fenced if match["command"] == command else match[0], document)


def version_of(root: Path, directories: tuple[str, ...] = MEASURED) -> str:
    """Return twelve digits of the sources in some directories of a checkout."""
    digest = hashlib.sha256()
    files = (file for name in directories for file in (root / name).rglob("*") if file.suffix in _SOURCES)
    for file in sorted(files):
        if "node_modules" not in file.parts:
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def run(command: str) -> str:
    """Return the output of a command; a missed bound, exit code 1, is part of it. Raises CommandFailed."""
    env = {**os.environ, "COLUMNS": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
    words = [sys.executable, *command.split()[1:]]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    missed = done.returncode == 1 and not done.stderr.strip()
    if not (done.returncode == 0 or missed) or not done.stdout.strip():
        raise CommandFailed((done.stderr or done.stdout).strip() or f"exit code {done.returncode}, and no output")
    return done.stdout


def write_figures(
    document: Path, only: str, version: str, *, again: bool = False, measure: Callable[[str], str] = run
) -> Iterator[str]:
    """Replace the figures whose command has the text `only`, and yield a line for each: measured, skipped or failed.

    Skips figures of this version unless `again`. A command that fails leaves its figures as they are.
    """
    for block in blocks_in(document.read_text()):
        if only not in block.command:
            continue
        if block.version == version and not again:
            yield f"{block.command}: measured on this version already"
            continue
        began = time.monotonic()
        try:
            output = measure(block.command)
        except CommandFailed as error:
            yield f"{block.command}: FAILED: {error}"
            continue
        document.write_text(with_figures(document.read_text(), block.command, output, version))
        yield f"{block.command}: measured in {time.monotonic() - began:.0f} s"


@click.command()
@click.option("--only", default="", help="Run the commands that have this text.")
@click.option("--again", is_flag=True, help="Measure figures of this version, too.")
def main(only: str, *, again: bool) -> None:
    """Measure the figures in docs/performance.md; exit with 1 where a command fails."""
    busy = os.getloadavg()[0]
    if busy > MAX_LOAD:
        raise click.ClickException(f"other work runs (load average {busy:.1f}): figures need an idle machine")
    if not any(only in block.command for block in blocks_in(DOCUMENT.read_text())):
        raise click.ClickException(f"no figures have a command with `{only}`")
    failed = False
    for line in write_figures(DOCUMENT, only, version_of(ROOT), again=again):
        click.echo(line)
        failed = failed or "FAILED" in line
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
