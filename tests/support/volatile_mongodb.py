"""The MongoDB of a test run, which need not survive a crash of the machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from demo.mongod import Mongod

MEMORY: Final = Path("/dev/shm")
ENOUGH: Final = 4 << 30
"""Free bytes of MEMORY from which on the data are stored there."""
OPTIONS: Final = ("--journalCommitInterval", "10")
"""The journal's interval in ms. Dropping a database, and reading a change that was not awaited, wait for its end."""


@contextmanager
def volatile_mongodb() -> Iterator[str]:
    """Yield `MONGODB_URL`, or the URL of a mongod with its data in memory if there is enough, which ends here.

    Each new collection, index and journal entry would wait for the disk otherwise.
    """
    if url := os.environ.get("MONGODB_URL"):
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="mongod-", dir=_directory()) as directory,
        Mongod(Path(directory), options=OPTIONS) as mongod,
    ):
        yield mongod.url


def _directory() -> Path | None:
    """Return MEMORY if it is writable and has space; None selects the directory of temporary files."""
    usable = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ENOUGH
    return MEMORY if usable else None
