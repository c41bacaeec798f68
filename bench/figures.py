"""`make figures`: run the commands behind the figures in docs/performance.md, and replace the figures by their output.

    <!-- figures: python -m bench.quick -->
    …
    <!-- end of figures: 0123456789ab -->

The digits are the version of the measured code. Each block is written as soon as it is measured, and blocks of the
present version are skipped, so that an interrupted run continues where it stopped. `AGAIN=1` measures these too.
`ONLY=quick` runs only commands that contain the word. Other work falsifies the figures, so a machine with a load
average above MAX_LOAD is refused.
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
"""Maximum load average of the last minute at the start."""
WIDTH: Final = 118

MEASURED: Final = ("common", "proxy", "handlers", "bench")
"""The directories whose sources determine the version of figures."""
_SOURCES: Final = frozenset((".py", ".js", ".lua", ".json", ".html", ".css"))
_BLOCK: Final = re.compile(
    r"(<!-- figures: (?P<command>python -m [^\n]+?) -->\n).*?<!-- end of figures(?:: (?P<version>[0-9a-f]{12}))? -->",
    re.DOTALL,
)


class CommandFailed(Exception):
    """A command that printed an error instead of figures."""


@dataclass(frozen=True, slots=True)
class Block:
    """The figures of one command, and the version on which they were measured (None if unknown)."""

    command: str
    version: str | None


def blocks_in(document: str) -> list[Block]:
    """Return a document's blocks of figures, in order."""
    return [Block(match["command"], match["version"]) for match in _BLOCK.finditer(document)]


def with_figures(document: str, command: str, output: str, version: str) -> str:
    """Return a document with the figures of a command replaced by its output, measured on a version."""
    fenced = f"```text\n{output.strip()}\n```\n<!-- end of figures: {version} -->"
    return _BLOCK.sub(lambda match: match[1] + fenced if match["command"] == command else match[0], document)


def version_of(root: Path, directories: tuple[str, ...] = MEASURED) -> str:
    """Return the version of the sources in some directories of a checkout: twelve hexadecimal digits."""
    digest = hashlib.sha256()
    files = (file for name in directories for file in (root / name).rglob("*") if file.suffix in _SOURCES)
    for file in sorted(files):
        if "node_modules" not in file.parts:
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def run(command: str) -> str:
    """Return the output of a command; exit code 1 (a missed bound) is accepted. Raises CommandFailed."""
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
    """Replace the figures whose command contains `only`, and yield a line for each: measured, skipped or failed.

    Figures of this version are skipped unless `again`. If a command fails, its figures stay unchanged.
    """
    for block in blocks_in(document.read_text()):
        if only not in block.command:
            continue
        if block.version == version and not again:
            yield f"{block.command}: already measured on this version"
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
@click.option("--only", default="", help="Run only commands that contain this text.")
@click.option("--again", is_flag=True, help="Also measure figures that are of this version.")
def main(only: str, *, again: bool) -> None:
    """Measure the figures in docs/performance.md; exit with 1 if a command fails."""
    load = os.getloadavg()[0]
    if load > MAX_LOAD:
        raise click.ClickException(f"the machine is not idle (load average {load:.1f}): figures need an idle machine")
    if not any(only in block.command for block in blocks_in(DOCUMENT.read_text())):
        raise click.ClickException(f"no command of the figures contains `{only}`")
    failed = False
    for line in write_figures(DOCUMENT, only, version_of(ROOT), again=again):
        click.echo(line)
        failed = failed or "FAILED" in line
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
