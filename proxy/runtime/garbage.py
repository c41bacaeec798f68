"""The garbage collector while a process starts."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Run a block that imports modules or reads a file of bounded size without garbage collections.

    Nearly all objects of such a block stay, and each collection would visit all of them: a fifth of a gateway's start.
    They end in the oldest generation, so that the next collection does not visit them either.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if gc.get_freeze_count() == 0:  # objects that are frozen stay so
                gc.freeze()
                gc.unfreeze()
            gc.enable()
