"""Print the figures of every attack with its bound; exit with 1 if one exceeds it.

python -m tests.chaos [WORD …]      # attacks whose name contains one of the words; without words, write docs/chaos.md
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
be cut. During an attack with figures of others, other clients send 40 requests a second from a separate process and
address. The command exits with 1 if a figure exceeds its bound, and writes this page. `make coverage` plays two short
attacks; `make test` those by stalling clients, with small limits.

- `p99 of others, ratio` is the p99 of other clients during the attack, divided by the p99 before it (at least 10 ms).
  It is meaningful only on an idle machine.
- Attackers run in a separate process that gets a core only while no other process needs it (SCHED_IDLE in a session
  of its own with nice 19), because real attackers use the cores of other machines. Before the attack, such a process
  occupies one core as well.
- `attack's MiB` are the bytes that the attackers sent in spite of that.
- A request without an answer counts with the time that it has waited.
- `loop lag` is CPU time of the loop's thread.

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
