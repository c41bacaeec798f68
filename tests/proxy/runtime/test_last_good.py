"""The last good configuration: saved, loaded when the file is refused at a start, and validated before use."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.runtime.config_watcher import ConfigWatcher
from proxy.runtime.last_good import LastGood, default_state_directory, load_config
from tests.support.watched_config import AppliedConfigs, config_text, settle

CONTRACT = "openapi: 3.1.0\ninfo: {title: a, version: '1'}\npaths: {}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(config_text("http://${HOST}"))
    return path


@pytest.fixture
def saved(file: Path) -> LastGood:
    """Save the present file with a contract."""
    (file.parent / "contracts").mkdir()
    (file.parent / "contracts" / "openapi.yaml").write_text(CONTRACT)
    last_good = LastGood(file.parent / "state" / "deep", file)
    last_good.save(file.read_bytes(), file.parent / "contracts")
    return last_good


ENV = {"HOST": "one"}


@pytest.mark.parametrize("content", ["legacy: {ulr: a}\n", "[", "", "\x00", "native: b:c\n"])
def test_refused_file_is_replaced_by_the_saved_one(file: Path, saved: LastGood, content: str) -> None:
    file.write_text(content)
    loaded = load_config(file, ENV, saved)
    assert loaded.config.legacy.url == "http://one"
    assert loaded.bundle.contract is not None
    assert loaded.problems
    assert loaded.saved_at is not None
    with pytest.raises(ConfigError) as fatal:
        load_config(file, ENV)
    assert fatal.value.problems == loaded.problems


def test_missing_file_is_replaced_by_the_saved_one(file: Path, saved: LastGood) -> None:
    file.unlink()
    assert load_config(file, ENV, saved).config.legacy.url == "http://one"


def test_invalid_contracts_are_replaced_by_the_saved_ones(file: Path, saved: LastGood) -> None:
    (file.parent / "contracts" / "openapi.yaml").write_text("nonsense")
    loaded = load_config(file, ENV, saved)
    assert loaded.bundle.contract is not None
    assert {problem.where for problem in loaded.problems} == {"contracts"}


def test_valid_file_precedes_the_saved_one(file: Path, saved: LastGood) -> None:
    file.write_text(config_text("http://two"))
    loaded = load_config(file, ENV, saved)
    assert (loaded.config.legacy.url, loaded.saved_at, loaded.problems) == ("http://two", None, ())


def test_values_of_the_environment_are_not_saved(file: Path, saved: LastGood) -> None:
    secret = {"HOST": "s3cret-host"}
    saved.save(file.read_bytes(), file.parent / "contracts")
    load_config(file, secret, saved)
    assert b"s3cret" not in saved.path.read_bytes()
    file.write_text("[")
    with pytest.raises(ConfigError):
        load_config(file, {}, saved)  # the saved text needs a variable that is not set


def test_saved_file_is_readable_by_its_owner_only(saved: LastGood) -> None:
    assert stat.S_IMODE(saved.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(saved.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["other writers", "no JSON", "no text", "a directory", "nothing"])
def test_damaged_saved_file_is_ignored_and_hides_no_problem(file: Path, saved: LastGood, damage: str) -> None:
    if damage == "other writers":
        saved.path.chmod(0o666)
    elif damage == "a directory":
        saved.path.unlink()
        saved.path.mkdir()
    elif damage == "nothing":
        saved.path.unlink()
    else:
        saved.path.write_text("{" if damage == "no JSON" else "{}")
    file.write_text("legacy: {ulr: a}\n")
    with pytest.raises(ConfigError, match=r"legacy\.ulr"):
        load_config(file, ENV, saved)


def test_paths_have_separate_saved_files(tmp_path: Path) -> None:
    paths = {LastGood(tmp_path, tmp_path / name).path for name in ("a.yaml", "b.yaml", "c/../a.yaml")}
    assert len(paths) == 3


def test_unwritable_directory_is_reported_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    last_good = LastGood(file, file)  # a file is where the directory should be
    for _ in range(3):
        last_good.save(file.read_bytes(), file.parent)
    assert caplog.text.count("cannot be written") == 1
    assert last_good.load() is None


def test_failed_write_leaves_no_file(file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    last_good = LastGood(tmp_path / "state", file)
    last_good.path.mkdir(parents=True)  # a directory cannot be replaced
    last_good.save(file.read_bytes(), tmp_path)
    assert "cannot be written" in caplog.text
    assert list(last_good.path.parent.iterdir()) == [last_good.path]


def test_changed_contract_is_saved_although_the_file_is_the_same(file: Path, saved: LastGood) -> None:
    contracts = file.parent / "contracts"
    (contracts / "openapi.yaml").write_text(CONTRACT + "x-more: 1\n")
    saved.save(file.read_bytes(), contracts)
    loaded = saved.load()
    assert loaded is not None
    assert loaded.contracts == {"openapi.yaml": CONTRACT + "x-more: 1\n"}


def test_unchanged_text_is_not_written_again(file: Path, saved: LastGood) -> None:
    before = saved.path.stat().st_ino
    saved.save(file.read_bytes(), file.parent / "contracts")
    assert saved.path.stat().st_ino == before
    saved.save(b"legacy: {url: http://x}\n", file.parent / "contracts")
    assert saved.path.stat().st_ino != before


async def test_watcher_saves_applied_configurations_only(file: Path, tmp_path: Path) -> None:
    last_good = LastGood(tmp_path / "state", file)
    watcher = ConfigWatcher(file, ENV, AppliedConfigs(), last_good=last_good)
    file.write_text(config_text("http://two"))
    await settle(watcher)
    file.write_text("[")
    await settle(watcher)
    loaded = last_good.load()
    assert loaded is not None
    assert loaded.text == config_text("http://two")


async def test_watcher_started_with_the_saved_file_reports_the_refused(file: Path, saved: LastGood) -> None:
    file.write_text("legacy: {ulr: a}\n")
    applied: list[Config | None] = []
    watcher = ConfigWatcher(file, ENV, applied.append, load_config(file, ENV, saved), last_good=saved)
    assert watcher.problems[0].where == "legacy.ulr"
    await settle(watcher)
    assert applied == [None]
    assert watcher.refused_snapshot is not None
    assert watcher.refused_snapshot.text == "legacy: {ulr: a}\n"
    file.write_text(config_text("http://one"))
    await settle(watcher)
    assert [config.legacy.url if config else None for config in applied] == [None, "http://one"]
    assert watcher.problems == ()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x"}, "/x/scribe-proxy"),
        ({"XDG_STATE_HOME": "relative"}, "/home/a/.local/state/scribe-proxy"),
        ({}, "/home/a/.local/state/scribe-proxy"),
    ],
)
def test_state_directory_follows_systemd_then_xdg(
    env: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/a")
    assert default_state_directory(env) == Path(expected)


def test_user_without_a_home_has_no_state_directory() -> None:
    home = Path("~no-such-user").expanduser
    assert default_state_directory({}, home) is None
    assert default_state_directory({"XDG_STATE_HOME": "/x"}, home) == Path("/x/scribe-proxy")


def test_saved_file_ignores_the_umask(file: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        last_good = LastGood(tmp_path / "open", file)
        last_good.save(b"legacy: {url: http://x}\n", tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(last_good.path.stat().st_mode) == 0o600
