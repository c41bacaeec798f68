"""Prints the figures of every attack with its bound; ends with 1 if one is beyond it.

python -m tests.chaos [WORD …]      # only attacks whose name holds one of the words
"""

from __future__ import annotations

import asyncio
import sys

from tests.chaos.figures import HEAD
from tests.chaos.run import all_attacks, play


def main() -> None:
    """Play the attacks of the command line."""
    words = sys.argv[1:]
    chosen = [attack for attack in all_attacks() if not words or any(word in attack.name for word in words)]
    table = asyncio.run(play(chosen))
    sys.stdout.write("\n".join((HEAD, *map(str, table), "")))
    failures = sum(row.passed is False for row in table)
    sys.stdout.write(f"{len(chosen)} attacks, {len(table)} figures, {failures} beyond their bound\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
