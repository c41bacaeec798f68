"""The garbage collector while a process starts. The module imports nothing else, so that it can come first."""

from __future__ import annotations

import gc


class _Pause:
    """A block without garbage collections."""

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_raised: object) -> None:
        if self._was_enabled:
            if gc.get_freeze_count() == 0:  # objects that are frozen stay so
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def without_collection() -> _Pause:
    """Run a block that imports modules or reads a file of bounded size without garbage collections.

    Nearly all objects of such a block stay, and each collection would visit all of them: a fifth of a gateway's start.
    They end in the oldest generation, so that the next collection does not visit them either.
    """
    return _Pause()
