"""`python -m tests.differential --minutes N`: look for differences, shrink each, write it out as a recording.

A difference of a kind that has been found is passed over for the rest of the run, so that others show.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisException

from demo.mongod import mongodb
from proxy.comparison.verdicts import Difference
from proxy.contract import divergences
from proxy.recordings.report import value_text
from proxy.recordings.side_effects import SideEffectsError
from tests.differential.runner import Account, Duel
from tests.differential.sequences import Sequence, sequences
from tests.differential.sides import sides

Signature = tuple[str, ...]
ROUND = 400
SHRINKING = 45.0
"""Seconds to make one counterexample smaller."""


class Found(AssertionError):
    """A sequence on which the sides differ in a new way."""


@dataclass
class Search:
    """A run's state: what is known, what has been seen."""

    runner: asyncio.Runner
    duel: Duel
    deadline: float
    known: set[Signature] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    best: Account | None = None
    shrink_until: float = 0.0

    def try_one(self, sequence: Sequence) -> None:
        """Put one sequence to both sides; raises Found where they differ in a way not known yet."""
        now = time.monotonic()
        if now > (self.shrink_until if self.best else self.deadline):
            return
        account = self._fight(sequence)
        if account is None or not self._is_new(account):
            return
        account = self._fight(sequence)  # once more: a machine that stalls for seconds looks like a difference
        if account is None or not self._is_new(account):
            self.counts["not again"] += 1
            return
        self.shrink_until = self.shrink_until or now + SHRINKING
        if self.best is None or _size(account) <= _size(self.best):
            self.best = account
        raise Found

    def _is_new(self, account: Account) -> bool:
        return bool(signatures(account) - self.known)

    def _fight(self, sequence: Sequence) -> Account | None:
        try:
            account = self.runner.run(self.duel.fight(sequence.before, sequence.actions))
        except SideEffectsError:  # documents that an index of the native side's will not have
            self.counts["refused"] += 1
            return None
        self.counts["sequences"] += 1
        self.counts["requests"] += len(account.scenario.steps)
        self.counts.update(result.verdict for result in account.results)
        return account

    def round(self, number: int) -> Account | None:
        """A few hundred sequences; the smallest counterexample where there was one."""
        self.best, self.shrink_until = None, 0.0

        @seed(number)
        @settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(sequence=sequences())
        def search(sequence: Sequence) -> None:
            self.try_one(sequence)

        try:
            search()
        except (Found, HypothesisException, ExceptionGroup):
            if self.best is None:
                raise
        return self.best


def signatures(account: Account) -> set[Signature]:
    """What kinds of differences there are: where, of which kind, places in lists and ids aside."""
    return {
        (result.subject, result.endpoint.split("?")[0], re.sub(r"\d+", "N", one.field), one.kind, *_statuses(one))
        for result in account.differing
        for one in result.unexplained
    }


def _statuses(difference: Difference) -> tuple[str, ...]:
    return (
        (value_text(difference.legacy), value_text(difference.native))
        if difference.kind in ("status", "outcome")
        else ()
    )


def _size(account: Account) -> tuple[int, int]:
    return len(account.scenario.steps), len(repr(account.as_recording()))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=None, help="where counterexamples go (a new temporary directory)")
    parser.add_argument("--most", type=int, default=50, help="stop after so many counterexamples")
    parser.add_argument("--divergences", type=Path, default=None, help="declared differences (the contract's own)")
    options = parser.parse_args(arguments)
    out = options.out or Path(tempfile.mkdtemp(prefix="differential-"))
    click.echo(f"counterexamples go to {out}; seed {options.seed}")
    return _search(options.minutes, options.seed, out, options.most, options.divergences)


def _search(minutes: float, first: int, out: Path, most: int, declared: Path | None) -> int:
    begun = time.monotonic()
    logging.basicConfig(filename=out.with_suffix(".native.log"), force=True)
    with asyncio.Runner() as runner, mongodb() as url:
        arena = sides(url, out.with_suffix(".log"), f"differential_{first}")
        both = runner.run(arena.__aenter__())
        place = Duel.between(*both, divergences.load(declared) if declared else None)
        search = Search(runner, runner.run(place.__aenter__()), begun + minutes * 60)
        found = 0
        try:
            number = first
            while time.monotonic() < search.deadline and found < most:
                account = search.round(number)
                number += 1
                if account is not None:
                    found += 1
                    _tell(account, out / f"{found:03d}")
                    search.known |= signatures(account)
        finally:
            runner.run(place.__aexit__(None, None, None))
            runner.run(arena.__aexit__(None, None, None))
    click.echo(f"{found} counterexamples; {dict(search.counts)} in {time.monotonic() - begun:.0f} s")
    return 1 if found else 0


def _tell(account: Account, directory: Path) -> None:
    account.write(directory)
    click.echo(f"--- {directory}\n{account.describe()}".encode(errors="backslashreplace"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
