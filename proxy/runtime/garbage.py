"""The garbage collector while a process starts. The module imports nothing else, so that it can come first."""

from __future__ import annotations

import gc


class _Pause:
    """A block without garbage collections."""

    _has_frozen = False
    """True once the process was found to have frozen objects. They stay frozen, and a count of them visits each one."""

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_raised: object) -> None:
        if self._was_enabled:
            _Pause._has_frozen = _Pause._has_frozen or gc.get_freeze_count() > 0
            if not _Pause._has_frozen:
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def without_collection() -> _Pause:
    """Run a block that imports modules or reads a file of bounded size without garbage collections.

    Nearly all objects of such a block stay, and each collection would visit all of them: a fifth of a gateway's start.
    They end in the oldest generation, so that the next collection does not visit them either.
    """
    return _Pause()
