"""Print for people: as wide as the terminal, with a fixed width in a pipe or a file."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

PIPED: Final = 160  # columns


def console() -> Console:
    """Return a console for the current standard output."""
    return Console() if sys.stdout.isatty() else Console(width=PIPED)
