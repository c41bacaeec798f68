"""Where commands write for people: as wide as the terminal, and wide enough for a pipe or a file."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

PIPED: Final = 160  # columns, where nobody says


def console() -> Console:
    """Standard output as it is now."""
    return Console() if sys.stdout.isatty() else Console(width=PIPED)
