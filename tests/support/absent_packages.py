"""Packages that cannot be imported or found, as if they are not installed."""

from __future__ import annotations

import sys

import pytest


def hide_package(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let imports of a module fail, and `find_spec` return None for it, until the end of a test.

    Python documents None in `sys.modules` for this (the import system, "The module cache").
    """
    monkeypatch.setitem(sys.modules, name, None)
