"""The garbage collector during imports."""

from __future__ import annotations

import gc

import pytest

from proxy.runtime.garbage import without_collection


def test_block_runs_without_collection() -> None:
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_is_enabled_again_after_a_failed_import() -> None:
    with pytest.raises(ModuleNotFoundError), without_collection():
        raise ModuleNotFoundError
    assert gc.isenabled()


def test_disabled_collection_stays_disabled() -> None:
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
