"""The seed of every random test: RANDOM_SEED in the environment, 0 unless given, or `--hypothesis-seed N`.

A test that draws takes its seeds from here and is marked `seeded`; a test with `@given` needs neither. `make fuzz` runs
both with new seeds. A test of a probability has a fixed sample instead, because a few samples exceed any bound.
"""

from __future__ import annotations

import os
import shlex
from typing import Final

VARIABLE: Final = "RANDOM_SEED"
STRIDE: Final = 1_000_000
"""Seeds that one RANDOM_SEED has for the generators of a test."""


def random_seed() -> int:
    """Return the seed of this run."""
    return int(os.environ.get(VARIABLE, "0"))


def seed_of(number: int) -> int:
    """Return a generator's seed; `number`, below STRIDE, tells generators apart that must not draw the same."""
    return random_seed() * STRIDE + number


def seeds(count: int) -> range:
    """Return different seeds, for a parametrised test."""
    return range(seed_of(0), seed_of(count))


def repeating(profile: str, test: str) -> str:
    """Return the command that repeats a test with the same choices; `profile` is Hypothesis's, `test` a node's id."""
    return f"{VARIABLE}={random_seed()} HYPOTHESIS_PROFILE={profile} .venv/bin/pytest {shlex.quote(test)}"
