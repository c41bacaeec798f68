"""The contracts that routing.yaml names belong to it: they are watched, and refused, with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.contract.model import Contract
from proxy.runtime.config_watcher import ConfigWatcher
from tests.support.watched_config import AppliedConfigs, config_text, settle

CONTRACT = "openapi: 3.1.0\ninfo: {title: a, version: '1'}\npaths: {}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(config_text("http://one"))
    return path


def loaded(watcher: ConfigWatcher) -> Contract | None:
    return watcher.bundle.contract


async def test_change_of_the_contracts_is_a_change_of_the_file(file: Path, tmp_path: Path) -> None:
    adopted = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adopted)
    assert loaded(watcher) is None
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "openapi.yaml").write_text(CONTRACT)
    await settle(watcher)
    assert loaded(watcher) is not None
    file.write_text(config_text("http://one") + "contracts: elsewhere\n")
    await settle(watcher)
    await settle(watcher)
    assert loaded(watcher) is None
    assert adopted.urls == ["http://one"] * 2


async def test_faulty_contracts_are_refused_with_their_file_and_line(file: Path, tmp_path: Path) -> None:
    adopted = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adopted)
    (tmp_path / "contracts").mkdir()
    contract = tmp_path / "contracts" / "openapi.yaml"
    contract.write_text(CONTRACT.replace("paths", "pathz"))
    await settle(watcher)
    assert {one.where for one in watcher.problems} == {"contracts"}
    assert any(f"{contract}:3: " in one.message for one in watcher.problems)
    assert adopted.urls == [None]
    contract.write_text(CONTRACT)
    await settle(watcher)
    assert watcher.problems == ()
    assert adopted.urls == [None, "http://one"]


def test_faulty_contracts_are_fatal_at_the_start(file: Path, tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "divergences.yaml").write_text("- {id: a}\n")
    with pytest.raises(ConfigError, match=r"contracts: .*divergences.yaml:1"):
        ConfigWatcher(file, {}, AppliedConfigs())


async def test_inapplicable_change_keeps_the_previous_contracts(file: Path, tmp_path: Path) -> None:
    def refuse(config: Config | None) -> None:
        if config is not None:
            raise RuntimeError("not now")

    watcher = ConfigWatcher(file, {}, refuse)
    before = watcher.bundle
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "openapi.yaml").write_text(CONTRACT)
    await settle(watcher)
    assert watcher.bundle is before
    assert "RuntimeError" in watcher.problems[0].message
