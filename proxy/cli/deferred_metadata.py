"""A placeholder for `importlib.metadata`, which is imported only when it is used.

pydantic imports it for its plugins, none of which are used here. The import needs email, csv, zipfile, tempfile and
socket, and takes a third as long as pydantic's own. A call of `entry_points`, and any other attribute, uses the real
module.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final

NAME: Final = "importlib.metadata"


class DeferredMetadata(ModuleType):
    """The placeholder, until an attribute of the module is used."""

    def entry_points(self, **selection: Any) -> Any:
        """Return the real module's `entry_points(…)`."""
        return _imported().entry_points(**selection)

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # read by the import statement
            raise AttributeError(name)
        return getattr(_imported(), name)


def _imported() -> ModuleType:
    if isinstance(sys.modules.get(NAME), DeferredMetadata):
        del sys.modules[NAME]
    return importlib.import_module(NAME)


def defer_metadata() -> None:
    """Install the placeholder, unless the module is already imported."""
    if NAME not in sys.modules:
        sys.modules[NAME] = DeferredMetadata(NAME)
        importlib.metadata = sys.modules[NAME]
