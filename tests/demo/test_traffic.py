"""A clinic's simulated day: the same for the same seed, busy in opening hours, and played on the native app."""

from __future__ import annotations

import io
import time
from collections import Counter
from random import Random

import pytest
from rich.console import Console

from demo.clinician import AnswerTimeouts, Clinician, dig
from demo.managed_process import ManagedProcessError
from demo.ports import free_port
from demo.traffic import CLOSES, OPENS, Clinic, Traffic, diary
from tests.support.backend_pair import RunningBackend, native_backend
from tests.support.random_seed import seed_of, seeds
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT


def test_diary_depends_on_the_seed_only() -> None:
    assert diary(Random("1 1 amara")) == diary(Random("1 1 amara"))
    assert diary(Random("1 1 amara")) != diary(Random("2 1 amara"))


@pytest.mark.seeded
def test_day_is_ordered_and_peaks_in_morning_and_after_lunch() -> None:
    consultations: Counter[int] = Counter()
    for seed in seeds(200):
        day = diary(Random(seed))
        assert [day[0].what, day[-1].what] == ["arrive", "leave"]
        assert day == sorted(day)
        assert day[0].minute >= OPENS
        assert day[-1].minute < CLOSES
        assert {what for _, what in day} <= {name for name in vars(Clinician) if not name.startswith("_")}
        consultations.update(minute // 60 for minute, what in day if what == "consult")
    assert min(consultations[9], consultations[10], consultations[14]) > 2 * max(consultations[11], consultations[15])


def test_dig_returns_none_for_a_missing_member() -> None:
    assert dig({"a": {"b": 1}}, "a", "b") == 1
    assert dig({"a": [1]}, "a", "b") is None
    assert dig(None, "a") is None


PATIENT = AnswerTimeouts(60, 60)
"""Seconds that a busy machine does not reach."""


def url_of(native: RunningBackend) -> str:
    return f"http://{native.origin.host}:{native.origin.port}"


@pytest.mark.seeded
@pytest.mark.slow
async def test_two_days_of_traffic_are_answered_by_native(mongodb_url: str) -> None:
    async with native_backend(mongodb_url) as native:
        clinic = Clinic(url_of(native), seed=seed_of(7), seconds=1.0, people=("amara",), timeouts=PATIENT)
        await clinic.open()
        first, registered = clinic.describe(), native.database.users.count_documents({})
        await clinic.open()
        answers, done = clinic.counts.answers, clinic.counts.done
        assert first.startswith("day 1, 18:00: 0 at work, ")
        assert clinic.describe().startswith("day 2, 18:00: 0 at work, ")
        assert registered == native.database.users.count_documents({}) == 1
        assert answers["2xx"] > 5 * answers["4xx"]
        assert answers["none"] == 0
        stored = native.database.consultations.count_documents({"status": "ended"})
        assert stored == native.database.consultations.count_documents({}) == done["consultations"] > 8
        assert native.database.transcripts.count_documents({"transcript_text": {"$regex": "heard .* final"}}) == stored
        assert native.database.transcripts.count_documents({"summary": {"$regex": "answer"}}) == stored
        assert native.database.blacktokens.count_documents({}) == 2
        assert native.database.notes.count_documents({}) >= stored / 2
        assert done["mistakes"] >= 2


async def test_unreachable_backend_counts_as_no_answer() -> None:
    clinic = Clinic(served_by_nobody(), seed=1, seconds=0.1, people=("amara",))
    await clinic.open()
    assert set(clinic.counts.answers) == {"none"}


@pytest.mark.seeded
async def test_mistaken_requests_are_answered_without_a_5xx(mongodb_url: str) -> None:
    async with native_backend(mongodb_url) as native:
        clinic = Clinic(url_of(native), seed=seed_of(3), seconds=0.5, people=(), timeouts=PATIENT)
        await clinic.open()
        async with clinic.employ("amara", Random(seed_of(1))) as clinician:
            await clinician.arrive()
            answered = clinic.counts.answers.copy()
            for _ in range(30):
                await clinician.slip()
        made = clinic.counts.answers - answered
        assert made.total() == 30
        assert made["4xx"] > 10
        assert made["none"] == 0


def served_by_nobody() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_traffic_reports_progress_and_ends_after_a_day() -> None:
    console = Console(file=io.StringIO(), width=200)
    traffic = Traffic(served_by_nobody(), console, seed=1, once=True, seconds=1.0)
    traffic.start()
    traffic.wait(HANG_TIMEOUT)
    traffic.check()
    traffic.stop()
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines  # a paused process reports fewer hours
    assert lines[-1].startswith("day 1, 18:00: 0 at work")


def test_traffic_continues_day_after_day_until_stopped() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    assert isinstance(console.file, io.StringIO)
    traffic = Traffic(served_by_nobody(), console, seed=1, seconds=0.1)
    traffic.start()
    deadline = time.monotonic() + HANG_TIMEOUT
    while "day 2" not in console.file.getvalue():
        traffic.check()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    began = time.monotonic()
    traffic.stop()
    assert time.monotonic() - began < PROMPT_TIMEOUT


def test_unstarted_traffic_can_be_stopped() -> None:
    output = io.StringIO()
    Traffic("http://127.0.0.1:9", Console(file=output), seed=1).stop()
    assert output.getvalue() == ""


def test_failed_traffic_raises_its_error() -> None:
    traffic = Traffic("http://clinic:no-port", Console(file=io.StringIO()), seed=1, seconds=0.1)
    traffic.start()
    traffic.wait(HANG_TIMEOUT)
    with pytest.raises(ManagedProcessError, match="unhandled errors in a TaskGroup"):
        traffic.check()
