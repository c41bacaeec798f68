"""A placeholder for `importlib.metadata`, which is imported when it is used.

pydantic imports it for its plugins, of which none are loaded here, and its import takes as long as a third of
pydantic's own: it needs email, csv, zipfile, tempfile and socket. A call of `entry_points`, and each other attribute,
is that of the module itself.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final

NAME: Final = "importlib.metadata"


class DeferredMetadata(ModuleType):
    """The module until one of its attributes is used."""

    def entry_points(self, **selection: Any) -> Any:
        """Return the real module's `entry_points(…)`."""
        return _imported().entry_points(**selection)

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # which the import statement reads
            raise AttributeError(name)
        return getattr(_imported(), name)


def _imported() -> ModuleType:
    if isinstance(sys.modules.get(NAME), DeferredMetadata):
        del sys.modules[NAME]
    return importlib.import_module(NAME)


def defer_metadata() -> None:
    """Put the placeholder in place, unless the module has been imported already."""
    if NAME not in sys.modules:
        sys.modules[NAME] = DeferredMetadata(NAME)
        importlib.metadata = sys.modules[NAME]
