"""A changed file is picked up however it was changed; a faulty one is kept out and remembered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.config import Config, ConfigError, load
from proxy.reload import Watcher


def text(url: str) -> str:
    return f"legacy: {{url: '{url}'}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(text("http://one"))
    return path


class Adoption:
    """What a watcher handed over: URLs of adopted configurations, None for refusals."""

    def __init__(self) -> None:
        self.urls: list[str | None] = []

    def __call__(self, config: Config | None) -> None:
        self.urls.append(config.legacy.url if config else None)


async def settle(watcher: Watcher) -> None:
    """Two looks: a change counts once two readings agree."""
    await watcher.look()
    await watcher.look()


@contextlib.asynccontextmanager
async def running(watcher: Watcher) -> AsyncIterator[None]:
    task = asyncio.create_task(watcher.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], limit: float) -> float:
    """Seconds until the condition held."""
    began = time.perf_counter()
    while not condition():
        await asyncio.sleep(0.01)
        assert time.perf_counter() - began < limit, "not in time"
    return time.perf_counter() - began


def in_place(path: Path, content: str) -> None:
    path.write_text(content)


def by_rename(path: Path, content: str) -> None:
    other = path.with_suffix(".new")
    other.write_text(content)
    other.replace(path)


def by_config_map(path: Path, content: str) -> None:
    """As a kubelet does: a new directory, and `..data` swapped over to it in one step."""
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


@pytest.mark.parametrize("change", [in_place, by_rename, by_config_map])
async def test_a_change_is_in_force_within_two_seconds(file: Path, change: Callable[[Path, str], None]) -> None:
    change(file, text("http://one"))
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption)
    async with running(watcher):
        await asyncio.sleep(0.1)
        change(file, text("http://two"))
        assert await until(lambda: bool(adoption.urls), 3) < 2
        change(file, text("http://six"))
        assert await until(lambda: len(adoption.urls) == 2, 3) < 2
    assert adoption.urls == ["http://two", "http://six"]
    assert watcher.config.legacy.url == "http://six"


async def test_a_change_of_equal_size_and_time_is_seen(file: Path) -> None:
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption)
    before = file.stat()
    file.write_text(text("http://two"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    await settle(watcher)
    assert adoption.urls == ["http://two"]


async def test_a_faulty_file_changes_nothing_and_says_why(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption)
    before = watcher.config
    file.write_text("legacy: {ulr: http://two}\nfrob: 1\n")
    with caplog.at_level(logging.INFO, "scribe_proxy.reload"):
        await settle(watcher)
    assert watcher.config is before
    assert [problem.line for problem in watcher.problems] == [1, 2]
    assert adoption.urls == [None]
    assert [record.message for record in caplog.records] == [
        f"{file}:1: legacy.ulr: unknown key; did you mean `url`?",
        f"{file}:2: frob: {watcher.problems[1].message}",
        f"{file}: refused; revision {before.revision} stays in force",
    ]
    await settle(watcher)
    assert (watcher.applied, watcher.refused, adoption.urls) == (0, 1, [None])


async def test_a_file_put_right_clears_the_problems(file: Path) -> None:
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption)
    file.write_text("[")
    await settle(watcher)
    file.write_text(text("http://one"))
    await settle(watcher)
    assert watcher.problems == ()
    assert adoption.urls == [None, "http://one"]


async def test_a_deleted_file_leaves_the_last_good_one_in_force(file: Path) -> None:
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption)
    file.unlink()
    await settle(watcher)
    assert watcher.config.legacy.url == "http://one"
    assert [problem.message for problem in watcher.problems] == ["cannot be read: No such file or directory"]
    file.write_text(text("http://two"))
    await settle(watcher)
    assert (watcher.problems, adoption.urls) == ((), [None, "http://two"])


async def test_a_moment_without_the_file_is_no_change(file: Path) -> None:
    watcher = Watcher(file, {}, Adoption())
    aside = file.rename(file.with_suffix(".bak"))
    assert not await watcher.look()
    aside.rename(file)
    await settle(watcher)
    assert (watcher.problems, watcher.refused) == ((), 0)


async def test_a_half_written_file_waits_for_its_other_half(file: Path) -> None:
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption)
    with file.open("w") as half:
        half.write(text("http://two"))
        half.flush()
        assert not await watcher.look()
        half.write("limits: {in_flight: 7}\n")
    await settle(watcher)
    assert adoption.urls == ["http://two"]
    assert watcher.config.limits.in_flight == 7


async def test_a_half_written_file_that_stays_is_refused_and_its_other_half_taken(file: Path) -> None:
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption)
    file.write_text("legacy: {url: ")
    await settle(watcher)
    file.write_text(text("http://two"))
    await settle(watcher)
    assert adoption.urls == [None, "http://two"]


async def test_comments_alone_change_nothing(file: Path) -> None:
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption)
    file.write_text("# hello\n" + file.read_text())
    await settle(watcher)
    assert (adoption.urls, watcher.applied) == ([], 0)


async def test_a_change_that_cannot_be_put_in_place_is_refused(file: Path) -> None:
    def refuse(config: Config | None) -> None:
        if config is not None:
            raise RuntimeError("no room")

    watcher = Watcher(file, {}, refuse)
    file.write_text(text("http://two"))
    await settle(watcher)
    assert watcher.config.legacy.url == "http://one"
    assert [problem.message for problem in watcher.problems] == ["could not be put in place: no room"]


async def test_a_change_between_start_up_and_watching_is_not_missed(file: Path) -> None:
    config = load(file, {})
    file.write_text(text("http://two"))
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption, config)
    assert watcher.config is config
    await watcher.look()
    assert adoption.urls == ["http://two"]


async def test_a_configuration_in_force_is_not_put_in_place_again(file: Path) -> None:
    adoption = Adoption()
    watcher = Watcher(file, {}, adoption, load(file, {}))
    await settle(watcher)
    assert adoption.urls == []


def test_a_faulty_file_at_the_start_is_fatal(file: Path) -> None:
    file.write_text("")
    with pytest.raises(ConfigError):
        Watcher(file, {}, Adoption())


async def test_watching_outlives_whatever_happens(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str | None] = []

    def fail_over_refusals(config: Config | None) -> None:
        calls.append(config.legacy.url if config else None)
        if config is None:
            raise RuntimeError("cannot even refuse")

    watcher = Watcher(file, {}, fail_over_refusals, interval=0.01)
    async with running(watcher):
        file.write_text("[")
        await until(lambda: calls == [None], 3)
        file.write_text(text("http://two"))
        await until(lambda: calls == [None, "http://two"], 3)
    assert "could not be looked at" in caplog.text


async def test_the_last_two_sound_texts_are_kept_and_the_one_that_is_refused(file: Path) -> None:
    watcher = Watcher(file, {}, lambda _: None)

    def refused() -> str | None:
        return watcher.refused_edition.text if watcher.refused_edition is not None else None

    first, second = text("http://one"), text("http://two")
    file.write_text(first + "# a comment\n")
    await settle(watcher)
    file.write_text(second)
    await settle(watcher)
    file.write_text("legacy: nothing\n")
    await settle(watcher)
    assert [edition.text for edition in watcher.editions] == [first + "# a comment\n", second]
    assert refused() == "legacy: nothing\n"
    file.write_bytes(b"\xff\xfe\x00")
    await settle(watcher)
    assert refused() is None  # it is no text
    file.write_text(second)
    await settle(watcher)
    assert [edition.text for edition in watcher.editions] == [first + "# a comment\n", second]
    assert refused() is None
