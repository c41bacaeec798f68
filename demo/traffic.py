"""Simulate a clinic's day in a minute: the diary of each person, and its execution.

A day is from 8:00 to 18:00, with consultations in the morning and after lunch, and searches, edits and mistakes in
between. A diary depends only on the seed, the day and the person.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Final, NamedTuple

import httpx
from rich.console import Console
from rich.status import Status

from demo.clinician import TIMEOUTS, ActionCounts, AnswerTimeouts, Clinician
from demo.managed_process import ManagedProcessError

OPENS, CLOSES = 8 * 60, 18 * 60
DAY_S: Final = 60.0
PEOPLE: Final = ("amara", "bola", "chidi", "dayo", "ebele", "femi")

_TICK_S: Final = 0.2
_LIMITS: Final = httpx.Limits(keepalive_expiry=1.0)  # less than the gateway's 5 s: httpx does not repeat as browsers do

MORNING = (9 * 60, 11 * 60)
NOON = (11 * 60, 13 * 60)
AFTERNOON = (13 * 60 + 30, 15 * 60)
EVENING = (15 * 60, 17 * 60)


class Appointment(NamedTuple):
    """An action (the name of a method of `Clinician`) and its time in minutes since midnight."""

    minute: int
    what: str


def diary(chance: Random) -> list[Appointment]:
    """Return one person's day, in order."""

    def some(what: str, how_many: tuple[int, int], span: tuple[int, int]) -> list[Appointment]:
        return [Appointment(chance.randrange(*span), what) for _ in range(chance.randint(*how_many))]

    between = [
        *some("consult", (3, 5), MORNING),
        *some("consult", (0, 2), NOON),
        *some("consult", (3, 4), AFTERNOON),
        *some("consult", (0, 2), EVENING),
        *some("search", (1, 3), (MORNING[0], EVENING[1])),
        *some("slip", (1, 3), (MORNING[0], EVENING[1])),
        *some("review", (1, 2), NOON),
        *some("review", (0, 1), EVENING),
    ]
    arrival = Appointment(chance.randrange(OPENS, OPENS + 45), "arrive")
    return [arrival, *sorted(between), Appointment(chance.randrange(EVENING[1], CLOSES - 15), "leave")]


class Clock:
    """The simulated time. A day takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._scale = seconds / (CLOSES - OPENS)
        self._began = time.monotonic()

    @property
    def minute(self) -> int:
        """The time in minutes since midnight, at most the end of the day."""
        return min(int(OPENS + (time.monotonic() - self._began) / self._scale), CLOSES)

    def __str__(self) -> str:
        return f"{self.minute // 60:02}:{self.minute % 60:02}"

    async def reach(self, minute: float) -> None:
        """Wait until a minute of the day; return immediately if it has passed."""
        await asyncio.sleep((minute - OPENS) * self._scale - (time.monotonic() - self._began))

    async def pause(self, minutes: float) -> None:
        await asyncio.sleep(minutes * self._scale)


class Clinic:
    """A clinic of `people`, who send their requests to a gateway's URL. A day takes `seconds`."""

    def __init__(
        self,
        url: str,
        *,
        seed: int,
        seconds: float = DAY_S,
        people: tuple[str, ...] = PEOPLE,
        timeouts: AnswerTimeouts = TIMEOUTS,
    ) -> None:
        self.counts = ActionCounts()
        self._url = url
        self._seed = seed
        self._seconds = seconds
        self._people = people
        self._timeouts = timeouts
        self._day = 0
        self._clock = Clock(seconds)

    async def open(self) -> None:
        """Play the next day to its end."""
        self._day += 1
        self._clock = Clock(self._seconds)
        async with asyncio.TaskGroup() as group:
            for name in self._people:
                group.create_task(self._work(name))
        await self._clock.reach(CLOSES)

    async def _work(self, name: str) -> None:
        chance = Random(f"{self._seed} {self._day} {name}")  # noqa: S311 - reproducible
        appointments = diary(chance)
        async with self.employ(name, chance) as clinician:
            for minute, what in appointments:
                await self._clock.reach(minute)
                await getattr(clinician, what)()

    @contextlib.asynccontextmanager
    async def employ(self, name: str, chance: Random) -> AsyncIterator[Clinician]:
        """Open a clinician's browser; count their actions for the clinic."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, limits=_LIMITS) as browser:
            yield Clinician(
                name, f"clinic-{self._seed}", browser, chance, self.counts, self._clock.pause, self._timeouts
            )

    @property
    def part_of_day(self) -> str:
        """The day, and the two hours of it that are running."""
        return f"{self._day} {self._clock.minute // 120}"

    def describe(self) -> str:
        """Return the counts of the day on one line."""
        answers, done = self.counts.answers, self.counts.done
        return (
            f"day {self._day}, {self._clock}: {self.counts.at_work} at work, {done['consultations']} consultations, "
            f"{done['mistakes']} mistakes; {answers.total()} requests, refused {answers['4xx']}, "
            f"failed {answers['5xx']}, unanswered {answers['none']}"
        )


class Traffic:
    """A clinic in a thread, day after day or `once`, with a progress line."""

    def __init__(self, url: str, console: Console, *, seed: int, once: bool = False, seconds: float = DAY_S) -> None:
        self._clinic = Clinic(url, seed=seed, seconds=seconds)
        self._console = console
        self._once = once
        self._printed = ""
        self._fault: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def check(self) -> None:
        """Raise ManagedProcessError if the simulation has failed."""
        if self._fault is not None:
            raise ManagedProcessError(f"the traffic failed: {self._fault!r}")

    def wait(self, seconds: float) -> None:
        """Wait for the end of the traffic, at most `seconds`."""
        self._thread.join(seconds)

    def stop(self) -> None:
        """Stop, and wait for the end of the thread."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._play())
        except Exception as error:  # raised by `check`, in the thread that handles it
            self._fault = error

    async def _play(self) -> None:
        playing = asyncio.create_task(self._open_daily())
        with Status("the clinic opens", console=self._console) as status:
            while not playing.done() and not self._stopping.is_set():
                await asyncio.wait({playing}, timeout=_TICK_S)
                self._show(status)
        if playing.done():
            self._console.print(self._clinic.describe(), soft_wrap=True)
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing

    async def _open_daily(self) -> None:
        await self._clinic.open()
        while not self._once:
            await self._clinic.open()

    def _show(self, status: Status) -> None:
        """Update the line on a terminal; otherwise print a line every two simulated hours."""
        line = self._clinic.describe()
        if self._console.is_terminal:
            status.update(line)
        elif self._printed != (now := self._clinic.part_of_day):
            self._printed = now
            self._console.print(line, soft_wrap=True)
