"""Lists of targets in files beside routing.yaml are watched, and saved, with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.key_sources import KeySource
from proxy.config.models import Config
from proxy.runtime.config_watcher import ConfigWatcher
from proxy.runtime.last_good import LastGood, load_config
from tests.support.watched_config import settle

TEXT = """
legacy: {url: http://x}
native: a:b
routes: [{name: a, match: GET /a, native: {include: {header:x-staff: {file: staff.txt}}}}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(TEXT)
    (tmp_path / "staff.txt").write_text("amara\n")
    return path


def staff(config: Config) -> frozenset[str]:
    return config.routes[0].native_traffic.include[KeySource("header", "x-staff")].values


async def test_changed_list_is_a_change_of_the_file(file: Path) -> None:
    applied: list[Config | None] = []
    watcher = ConfigWatcher(file, {}, applied.append)
    (file.parent / "staff.txt").write_text("amara\nben\n")
    await settle(watcher)
    assert staff(watcher.config) == {"amara", "ben"}
    (file.parent / "staff.txt").unlink()
    await settle(watcher)
    assert "staff.txt cannot be read" in watcher.problems[0].message
    assert staff(watcher.config) == {"amara", "ben"}
    (file.parent / "staff.txt").write_text("chi\n")
    await settle(watcher)
    assert (len(watcher.problems), sorted(staff(watcher.config))) == (0, ["chi"])
    assert [config is not None for config in applied] == [True, False, True]


def test_list_is_saved_with_the_last_good_file(file: Path, tmp_path: Path) -> None:
    saved = LastGood(tmp_path / "state", file)
    saved.save(file.read_bytes(), tmp_path / "contracts")
    (tmp_path / "staff.txt").unlink()
    loaded = load_config(file, {}, saved)
    assert "staff.txt cannot be read" in loaded.problems[0].message
    assert staff(loaded.config) == {"amara"}


def test_changed_list_is_saved_although_the_file_is_the_same(file: Path, tmp_path: Path) -> None:
    saved = LastGood(tmp_path / "state", file)
    for names in ("amara", "ben"):
        (tmp_path / "staff.txt").write_text(f"{names}\n")
        saved.save(file.read_bytes(), tmp_path / "contracts")
        loaded = saved.load()
        assert loaded is not None
        assert loaded.lists == {"staff.txt": f"{names}\n"}
