"""A changed file is applied however it was changed; an invalid one is refused and remembered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.observability import metrics
from proxy.runtime.config_watcher import ConfigWatcher, WatchTimings
from proxy.runtime.last_good import load_config
from tests.support.clock import Clock
from tests.support.samples import value_of
from tests.support.waiting import until
from tests.support.watched_config import AppliedConfigs, config_text, settle

UNFINISHED_DELAY: Final = 60.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(config_text("http://one"))
    return path


@contextlib.asynccontextmanager
async def running(watcher: ConfigWatcher) -> AsyncIterator[None]:
    task = asyncio.create_task(watcher.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def by_overwriting(path: Path, content: str) -> None:
    path.write_text(content)


def by_rename(path: Path, content: str) -> None:
    other = path.with_suffix(".new")
    other.write_text(content)
    other.replace(path)


def by_config_map(path: Path, content: str) -> None:
    """Replace a file as a kubelet does: write a new directory, and swap `..data` over to it in one step."""
    volume = path.parent
    fresh = volume / f"..{time.monotonic_ns()}"
    fresh.mkdir()
    (fresh / path.name).write_text(content)
    link = volume / "..data_tmp"
    link.symlink_to(fresh.name)
    link.replace(volume / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(f"..data/{path.name}")


@pytest.mark.parametrize("change", [by_overwriting, by_rename, by_config_map])
async def test_changed_file_is_applied(file: Path, change: Callable[[Path, str], None]) -> None:
    change(file, config_text("http://one"))
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption)
    async with running(watcher):
        await asyncio.sleep(0.1)
        change(file, config_text("http://two"))
        await until(lambda: bool(adoption.urls))
        change(file, config_text("http://six"))
        await until(lambda: len(adoption.urls) == 2)
    assert adoption.urls == ["http://two", "http://six"]
    assert watcher.config.legacy.url == "http://six"


async def test_change_of_equal_size_and_time_is_detected(file: Path) -> None:
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption)
    before = file.stat()
    file.write_text(config_text("http://two"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    await settle(watcher)
    assert adoption.urls == ["http://two"]


async def test_invalid_file_changes_nothing_and_is_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption)
    before = watcher.config
    file.write_text("legacy: {ulr: http://two}\nfrob: 1\n")
    with caplog.at_level(logging.INFO, "scribe_proxy.reload"):
        await settle(watcher)
    assert watcher.config is before
    assert [problem.line for problem in watcher.problems] == [1, 2]
    assert adoption.urls == [None]
    assert [record.message for record in caplog.records] == [
        f"{file}:1:10: legacy.ulr: unknown key; did you mean `url`?\n    1 | legacy: {{ulr: •••}}\n{' ' * 17}^",
        f"{file}:2:1: frob: {watcher.problems[1].message}\n    2 | frob: 1\n        ^",
        f"{file}: refused; revision {before.revision} stays in force",
    ]
    await settle(watcher)
    assert (watcher.applied, watcher.refused, adoption.urls) == (0, 1, [None])


async def test_corrected_file_clears_the_problems(file: Path) -> None:
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption)
    file.write_text("[")
    await settle(watcher)
    file.write_text(config_text("http://one"))
    await settle(watcher)
    assert watcher.problems == ()
    assert adoption.urls == [None, "http://one"]


async def test_deleted_file_keeps_the_running_configuration(file: Path) -> None:
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption)
    file.unlink()
    await settle(watcher)
    assert watcher.config.legacy.url == "http://one"
    assert [problem.message for problem in watcher.problems] == ["cannot be read: No such file or directory"]
    file.write_text(config_text("http://two"))
    await settle(watcher)
    assert (watcher.problems, adoption.urls) == ((), [None, "http://two"])


async def test_briefly_missing_file_is_not_a_change(file: Path) -> None:
    watcher = ConfigWatcher(file, {}, AppliedConfigs())
    moved = file.rename(file.with_suffix(".bak"))
    assert not await watcher.check()
    moved.rename(file)
    await settle(watcher)
    assert (watcher.problems, watcher.refused) == ((), 0)


async def test_half_written_file_waits_for_its_rest(file: Path) -> None:
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption)
    with file.open("w") as half:
        half.write(config_text("http://two"))
        half.flush()
        assert not await watcher.check()
        half.write("limits: {in_flight: 7}\n")
    await settle(watcher)
    assert adoption.urls == ["http://two"]
    assert watcher.config.limits.in_flight == 7


async def test_half_written_file_is_refused_and_its_completion_applied(file: Path) -> None:
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption)
    file.write_text("legacy: {url: ")
    await settle(watcher)
    file.write_text(config_text("http://two"))
    await settle(watcher)
    assert adoption.urls == [None, "http://two"]


async def test_changed_comments_apply_nothing(file: Path) -> None:
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption)
    file.write_text("# hello\n" + file.read_text())
    await settle(watcher)
    assert (adoption.urls, watcher.applied) == ([], 0)


async def test_inapplicable_change_is_refused(file: Path) -> None:
    def refuse(config: Config | None) -> None:
        if config is not None:
            raise RuntimeError("no room")

    watcher = ConfigWatcher(file, {}, refuse)
    file.write_text(config_text("http://two"))
    await settle(watcher)
    assert watcher.config.legacy.url == "http://one"
    assert watcher.problems[0].message.startswith("could not be applied: RuntimeError at ")


async def test_change_before_the_first_check_is_applied(file: Path) -> None:
    loaded = load_config(file, {})
    file.write_text(config_text("http://two"))
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption, loaded)
    assert watcher.config is loaded.config
    await settle(watcher)
    assert adoption.urls == ["http://two"]


async def test_running_configuration_is_not_applied_again(file: Path) -> None:
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption, load_config(file, {}))
    await settle(watcher)
    assert adoption.urls == []


def test_faulty_file_at_the_start_is_fatal(file: Path) -> None:
    file.write_text("")
    with pytest.raises(ConfigError):
        ConfigWatcher(file, {}, AppliedConfigs())


async def test_watcher_survives_unexpected_errors(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str | None] = []

    def fail_over_refusals(config: Config | None) -> None:
        calls.append(config.legacy.url if config else None)
        if config is None:
            raise RuntimeError("cannot even refuse")

    watcher = ConfigWatcher(file, {}, fail_over_refusals, timings=WatchTimings(interval=0.01))
    async with running(watcher):
        file.write_text("[")
        await until(lambda: calls == [None])
        file.write_text(config_text("http://two"))
        await until(lambda: calls == [None, "http://two"])
    assert "could not be read" in caplog.text


async def test_valid_texts_and_the_refused_one_are_stored(file: Path) -> None:
    watcher = ConfigWatcher(file, {}, lambda _: None)

    def refused() -> str | None:
        return watcher.refused_snapshot.text if watcher.refused_snapshot is not None else None

    first, second = config_text("http://one"), config_text("http://two")
    file.write_text(first + "# a comment\n")
    await settle(watcher)
    file.write_text(second)
    await settle(watcher)
    file.write_text("legacy: nothing\n")
    await settle(watcher)
    assert [edition.text for edition in watcher.snapshots] == [first + "# a comment\n", second]
    assert refused() == "legacy: nothing\n"
    file.write_bytes(b"\xff\xfe\x00")
    await settle(watcher)
    assert refused() is None  # it is no text
    file.write_text(second)
    await settle(watcher)
    assert [edition.text for edition in watcher.snapshots] == [first + "# a comment\n", second]
    assert refused() is None


WHOLE = (
    config_text("http://one")
    + "limits: {in_flight: 7}\nroutes:\n- {name: a, match: GET /a}\n- {name: b, match: GET /b}\n"
)


async def started(
    file: Path, content: str = WHOLE, clock: Callable[[], float] = time.monotonic
) -> tuple[ConfigWatcher, AppliedConfigs]:
    """Return a watcher that has read its file once, and waits `UNFINISHED_DELAY` seconds for an unfinished one."""
    file.write_text(content)
    adoption = AppliedConfigs()
    timings = WatchTimings(prefix_delay=UNFINISHED_DELAY, writer_timeout=UNFINISHED_DELAY, clock=clock)
    watcher = ConfigWatcher(file, {}, adoption, timings=timings)
    await settle(watcher)
    return watcher, adoption


@pytest.mark.parametrize("lines", range(5))
async def test_writer_pausing_at_a_line_end_changes_nothing(file: Path, lines: int) -> None:
    watcher, adoption = await started(file)
    new = WHOLE.replace("http://one", "http://two").splitlines(keepends=True)
    with file.open("w") as half:
        half.writelines(new[:lines])
        half.flush()
        for _ in range(5):
            await watcher.check()
        assert adoption.urls == []
        half.writelines(new[lines:])
    await settle(watcher)
    assert adoption.urls == ["http://two"]
    assert len(watcher.config.routes) == 2


async def test_writer_that_never_closes_is_reported_once(file: Path) -> None:
    clock = Clock()
    watcher, adoption = await started(file, clock=clock)
    with file.open("a") as half:
        half.write("served_by: false\n")
        half.flush()
        await settle(watcher)
        assert adoption.urls == []
        clock.now += UNFINISHED_DELAY
        await settle(watcher)
        assert ["still open for writing" in problem.message for problem in watcher.problems] == [True]
        assert adoption.urls == [None]
    await settle(watcher)
    assert (watcher.problems, adoption.urls, watcher.config.served_by) == ((), [None, "http://one"], False)


@pytest.mark.parametrize("lines", [3, 4])
async def test_truncated_text_written_in_place_waits(file: Path, lines: int) -> None:
    clock = Clock()
    watcher, adoption = await started(file, WHOLE.replace("routes:", "x-more:\nroutes:"), clock)
    file.write_text("".join(file.read_text().splitlines(keepends=True)[: lines + 2]))
    await settle(watcher)
    assert adoption.urls == []
    clock.now += UNFINISHED_DELAY
    await settle(watcher)
    assert (len(watcher.config.routes), watcher.refused) == ((1, 0) if lines == 3 else (2, 0))


async def test_beginning_of_the_running_text_by_rename_is_applied(file: Path) -> None:
    watcher, adoption = await started(file)
    by_rename(file, "".join(WHOLE.splitlines(keepends=True)[:-1]))
    await settle(watcher)
    assert adoption.urls == ["http://one"]
    assert [route.name for route in watcher.config.routes] == ["a"]


@pytest.mark.parametrize("left", ["", "routes: []\n"])
async def test_file_without_the_previous_routes_is_refused(file: Path, left: str) -> None:
    watcher, adoption = await started(file)
    by_rename(file, config_text("http://two") + left)
    await settle(watcher)
    assert adoption.urls == [None]
    assert "no route is left of 2" in watcher.problems[0].message
    by_rename(file, config_text("http://two") + "routes: [{name: a, match: GET /a}]\n")
    await settle(watcher)
    assert adoption.urls == [None, "http://two"]


@pytest.mark.parametrize("special", ["fifo", "directory", "device"])
async def test_special_file_is_refused_without_waiting(file: Path, special: str) -> None:
    watcher, adoption = await started(file)
    file.unlink()
    if special == "fifo":
        os.mkfifo(file)
    elif special == "directory":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    await settle(watcher)
    assert ["not a regular file" in problem.message for problem in watcher.problems] == [True]
    file.rmdir() if special == "directory" else file.unlink()
    file.write_text(WHOLE)
    await settle(watcher)
    assert adoption.urls == [None, "http://one"]


async def test_hanging_read_is_reported_once_and_survived(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Reading a FIFO as the contract hangs, as does a file on an unavailable network file system.
    file.write_text(WHOLE)
    (file.parent / "contracts").mkdir()
    adoption = AppliedConfigs()
    watcher = ConfigWatcher(file, {}, adoption, timings=WatchTimings(interval=0.01, read_timeout=0.1))
    contract = file.parent / "contracts" / "openapi.yaml"
    before, others = value_of(metrics.CONFIG_READ_TIMEOUTS), set(threading.enumerate())
    async with running(watcher):
        os.mkfifo(contract)
        file.write_text(WHOLE.replace("http://one", "http://two"))
        await until(lambda: value_of(metrics.CONFIG_READ_TIMEOUTS) >= before + 3)
        assert (adoption.urls, watcher.config.legacy.url) == ([None], "http://one")
        assert ["no answer within" in problem.message for problem in watcher.problems] == [True]
        contract.unlink()
        await until(lambda: adoption.urls == [None, "http://two"])
        assert watcher.problems == ()
    assert caplog.text.count("no answer within") == 1
    readers = [thread for thread in threading.enumerate() if thread.name == "config" and thread not in others]
    assert len(readers) < 20  # bounded, however long it hung


async def test_watcher_stopped_during_a_hanging_read_ends_at_once(file: Path) -> None:
    watcher = ConfigWatcher(file, {}, AppliedConfigs(), timings=WatchTimings(interval=0.01))
    (file.parent / "contracts").mkdir()
    os.mkfifo(file.parent / "contracts" / "openapi.yaml")
    async with running(watcher):
        file.write_text(config_text("http://two"))
        await asyncio.sleep(0.3)
    assert asyncio.all_tasks() == {asyncio.current_task()}
