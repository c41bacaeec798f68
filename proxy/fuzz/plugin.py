"""A service's plug-in, for users, tokens and unusual documents that neither contract nor recordings contain.

A plug-in is a Python module, given by its import path or file. Importing it may register Schemathesis hooks and
authentication. It may define these names:

    HEADERS      strategy for headers `((name, value), …)` that are added to requests drawn from the contract
    REQUESTS     strategy for a `FuzzRequest`, drawn in addition to contract and dictionary
    DOCUMENTS    strategy for the documents that both databases start from
    SEQUENCES    strategy for `(documents, [FuzzRequest, …])`, if requests depend on documents
    CONVERSATIONS  strategy for a `FuzzConversation`, drawn in addition to those of recordings
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis.strategies import SearchStrategy

from proxy.fuzz.conversation import FuzzConversation
from proxy.fuzz.execution import Documents
from proxy.fuzz.requests import FuzzRequest

Headers = tuple[tuple[str, str], ...]


class PluginError(ValueError):
    """A plug-in that cannot be imported, or that defines something other than strategies."""


@dataclass(frozen=True)
class Plugin:
    """The strategies of a plug-in."""

    headers: SearchStrategy[Headers] | None = None
    requests: SearchStrategy[FuzzRequest] | None = None
    documents: SearchStrategy[Documents] | None = None
    sequences: SearchStrategy[tuple[Documents, Sequence[FuzzRequest]]] | None = None
    conversations: SearchStrategy[FuzzConversation] | None = None


def load_plugin(name: str) -> Plugin:
    """Return the plug-in of an import path or a file; raises `PluginError`."""
    try:
        module = _from_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except Exception as error:
        raise PluginError(f"{name}: {type(error).__name__}: {error}") from error
    strategies: dict[str, Any] = {field.name: getattr(module, field.name.upper(), None) for field in fields(Plugin)}
    for field, strategy in strategies.items():
        if not isinstance(strategy, SearchStrategy | None):
            raise PluginError(f"{name}: {field.upper()} is not a Hypothesis strategy")
    if all(strategy is None for strategy in strategies.values()) and not hasattr(module, "schemathesis"):
        raise PluginError(f"{name}: none of {', '.join(field.upper() for field in strategies)} is defined")
    return Plugin(**strategies)


def _from_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scribe_proxy_fuzz_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
