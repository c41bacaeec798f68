"""`python -m tests.support.random_search --minutes N [ARGUMENT…]`: rounds of all random tests.

Each round has a new seed. The arguments, such as files, go to pytest. RANDOM_SEED is the seed of the first
round; a round that has begun is finished. Exits with 1 after failures, whose commands come last.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.support.random_seed import VARIABLE, random_seed

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = (sys.executable, "-m", "pytest", "-q", "-n", "4", "-m", "hypothesis or seeded")


def main(arguments: Sequence[str]) -> int:
    """Play rounds until the minutes are over; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.random_search")
    parser.add_argument("--minutes", type=float, required=True, help="time after which no round begins")
    options, rest = parser.parse_known_args(arguments)
    end = time.monotonic() + 60 * options.minutes
    rounds, failures, is_sound = 0, list[str](), True
    for seed in itertools.count(random_seed()):
        passed, commands = play(seed, rest)
        rounds, is_sound = rounds + 1, is_sound and passed
        failures += commands
        if time.monotonic() >= end:
            break
    _print(f"{rounds} rounds from seed {random_seed()}, {len(failures)} failures\n", *failures)
    return 0 if is_sound else 1


def play(seed: int, arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Run all random tests once; return whether they passed, and the commands that repeat those that failed."""
    environment = {"HYPOTHESIS_PROFILE": "usual", **os.environ, VARIABLE: str(seed)}
    with subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        commands = list(dict.fromkeys(_echo(run.stdout)))
    return run.returncode == 0, commands


def _echo(output: Iterator[str]) -> Iterator[str]:
    """Print all lines, and yield those with a command."""
    for line in output:
        _print(line)
        if line.startswith(f"{VARIABLE}="):
            yield line


def _print(*lines: str) -> None:
    sys.stdout.write("".join(lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
