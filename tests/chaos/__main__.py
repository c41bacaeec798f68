"""Prints the figures of every attack with its bound; ends with 1 if one is beyond it.

python -m tests.chaos [WORD …]      # only attacks whose name holds one of the words; all of them write docs/chaos.md
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from tests.chaos.figures import HEAD
from tests.chaos.run import all_attacks, play

PAGE: Final = Path(__file__).parents[2] / "docs" / "chaos.md"
INTRODUCTION: Final = """\
# Attacks and their bounds
`make chaos` plays each attack on real parts: `scribe-proxy serve`, the Node legacy, a MongoDB behind a relay that can
be cut. Other clients send 40 requests a second from a process and an address of their own. It ends with 1 where a
figure is beyond its bound, and writes this page. `make coverage` plays the faster attacks.

`p99 of others, ratio` compares the time of the attack with the time before it, of which 10 ms count at least; it is a
verdict only on an idle machine. Attackers run in a process of their own that gets a core only while no other process
wants it (SCHED_IDLE), because in reality they use the cores of other machines; before the attack, such a process keeps
one core busy as well. `attack's MiB` are the bytes that they sent all the same. Requests without an answer count with
the time that they have waited. `loop lag` is CPU time of the loop's thread.

Last run: {cores} cores, load average {load:.1f} when it began.

{table}"""


def main() -> None:
    """Play the attacks of the command line."""
    words, load = sys.argv[1:], os.getloadavg()[0]
    chosen = [attack for attack in all_attacks() if not words or any(word in attack.name for word in words)]
    table = asyncio.run(play(chosen))
    text = "\n".join((HEAD, *map(str, table), ""))
    sys.stdout.write(text)
    if not words:
        PAGE.write_text(INTRODUCTION.format(cores=os.cpu_count(), load=load, table=text))
    failures = sum(row.passed is False for row in table)
    sys.stdout.write(f"{len(chosen)} attacks, {len(table)} figures, {failures} beyond their bound\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
