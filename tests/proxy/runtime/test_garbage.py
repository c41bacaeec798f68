"""The garbage collector during imports."""

from __future__ import annotations

import gc
import subprocess
import sys

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


def test_objects_of_a_block_end_in_the_oldest_generation() -> None:
    code = (
        "import gc; from proxy.runtime.garbage import without_collection\n"
        "with without_collection(): made = [[] for _ in range(1000)]\n"
        "print(any(each is made for each in gc.get_objects(generation=2)), gc.get_freeze_count())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["True", "0"]


def test_frozen_objects_stay_frozen_and_are_counted_once() -> None:
    code = (
        "import gc; from proxy.runtime.garbage import without_collection\n"
        "gc.freeze(); frozen, counts, count = gc.get_freeze_count(), [], gc.get_freeze_count\n"
        "gc.get_freeze_count = lambda: counts.append(1) or count()\n"
        "for _ in range(3):\n"
        "    with without_collection(): pass\n"
        "print(count() == frozen > 1000, len(counts))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["True", "1"]
