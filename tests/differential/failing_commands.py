"""Commands of MongoDB that fail, by the server's fail point, during one request of either backend.

    with failing_server(directory) as url:
        async with failing_pair(url, directory) as pair:
            await pair.play(FailingCommand(request, READS, "users", code=91, times=1))

A fail point belongs to the whole server, so that a case sends its request to one backend after the other.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient

from demo.mongod import Mongod
from handlers.storage.circuit_breaker import BreakerTimings
from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.verdicts import Difference
from proxy.contract.divergences import explain
from proxy.recordings.model import RecordedRequest
from tests.support.backend_pair import DECLARED, AnswerPair, BackendPair, RunningBackend, legacy_backend, native_backend
from tests.support.clinic import DOCUMENTS, PROMPT, everything
from tests.support.patient_timings import PATIENT
from tests.support.waiting import PROMPT_TIMEOUT

READS: Final = ("find",)
UPDATES: Final = ("update",)
WRITES: Final = ("insert", "update", "delete", "findAndModify")
COLLECTIONS: Final = ("users", "blacktokens", "consultations", "transcripts", "notes", "prompts")

BROKEN: Final = 0
"""In place of an error code: the server closes the connection."""
RETRYABLE: Final = (6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436)
"""Error codes after which Node's driver repeats a read, and a write that the server labels."""
UNLABELLED: Final = 134
"""The one of them that the server does not label for a write."""
TRANSIENT: Final = (*(code for code in RETRYABLE if code != UNLABELLED), BROKEN)
"""Failures after which both drivers repeat a write."""
PERMANENT: Final = (1, 2, 13, 96, 8000)
"""Error codes that no driver retries."""
OPEN: Final = ("/users/users", "/users/register", "/users/login", "/users/logout")
"""The beginnings of paths without authentication."""
_TOUCHED: Final = {
    "POST /users/register": ("users", "users"),
    "GET /users/users/": ("users", ""),
    "GET /users/profile": ("users", ""),
    "GET /api/consultation": ("consultations transcripts users", ""),
    "GET /api/transcript/": ("transcripts", ""),
    "GET /api/notes/": ("notes users", ""),
    "GET /api/prompts": ("prompts", ""),
    "POST /users/login": ("users", ""),
    "POST /api/consultation/start": ("", "consultations transcripts"),
    "POST /api/consultation/6": ("consultations transcripts prompts", "transcripts consultations"),
    "POST /api/transcript/": ("", "transcripts"),
    "POST /api/notes/": ("consultations", "notes consultations"),
    "PATCH /api/notes/": ("notes", "notes"),
    "POST /api/prompts": ("", "prompts"),
    f"PATCH /api/prompts/{PROMPT}/add-prompt": ("prompts", "transcripts"),
    f"PATCH /api/prompts/{PROMPT}": ("", "prompts"),
    "POST /api/ai/6": ("consultations transcripts", ""),
    "DELETE /api/notes/": ("notes", "notes"),
    "DELETE /api/prompts/": ("", "prompts"),
    "POST /users/logout": ("", "blacktokens"),
}
"""The collections that the legacy reads, besides that of logged-out tokens, and those that it writes, by the beginning
of the request; the first that fits."""


def _touched_by(request: RecordedRequest) -> tuple[str, str]:
    line = f"{request.method.replace('HEAD', 'GET')} {request.target}"
    return next((names for beginning, names in _TOUCHED.items() if line.startswith(beginning)), ("", ""))


CODES: Final = (*RETRYABLE, BROKEN, *PERMANENT)
BROKEN_OFF: Final = "failed-command-broken-off"
"""The name by which `written-together` recognises what the legacy leaves half written."""
THIRD_REFUSED: Final = "failed-command-third-write-refused"
"""The name by which `start-in-two-writes` recognises what only the legacy is refused."""
UNHURRIED: Final = replace(PATIENT, breaker=BreakerTimings(silence=PROMPT_TIMEOUT))
"""Timings of a native app whose driver may take long to find the server again, as on a busy machine."""
FAILS_TWICE: Final = "failed-command-write-fails-twice"
"""The name by which `write-retries` recognises what only native writes."""

OPERATIONS: Final = [
    *((request, READS, "blacktokens") for request in everything() if not request.target.startswith(OPEN)),
    *((request, READS, name) for request in everything() for name in _touched_by(request)[0].split()),
    *((request, WRITES, name) for request in everything() for name in _touched_by(request)[1].split()),
]
"""The operations of the legacy: each request with a kind of its commands and a collection."""


@dataclass(frozen=True)
class FailingCommand:
    """A request during which the first `times` commands of some names on one collection fail with a code."""

    request: RecordedRequest
    commands: tuple[str, ...]
    collection: str
    code: int
    times: int

    def describe(self) -> str:
        """Return the case as one line."""
        return (
            f"{self.request.method} {self.request.target}: {self.commands} {self.collection} {self.code} x{self.times}"
        )

    @property
    def scenario(self) -> str:
        """Return the name by which a divergence recognises the case, empty if no difference is intended."""
        if self.commands == WRITES and self.times > 1 and self.code in TRANSIENT:
            return FAILS_TWICE
        if self.commands == UPDATES:
            return THIRD_REFUSED
        return BROKEN_OFF if self.request.target == "/api/consultation/start" else ""

    def fail_point(self, database: str) -> dict[str, Any]:
        """Return the command that sets the fail point for one database."""
        failure: dict[str, Any] = {"errorCode": self.code} if self.code else {"closeConnection": True}
        data = {"failCommands": list(self.commands), "namespace": f"{database}.{self.collection}", **failure}
        return {"configureFailPoint": "failCommand", "mode": {"times": self.times}, "data": data}


@dataclass(frozen=True)
class FailingPair:
    """Both backends on one server with fail points."""

    backends: BackendPair
    client: MongoClient[dict[str, Any]]

    async def play(self, case: FailingCommand) -> tuple[AnswerPair, list[Difference]]:
        """Return both answers, and the undeclared differences between answers and between documents."""
        self.backends.plant(DOCUMENTS)
        legacy, native = [await self._send(backend, case) for backend in (self.backends.legacy, self.backends.native)]
        answers = AnswerPair(case.request, legacy, native)
        answered = replace(answers.occurrence, scenario=case.scenario)
        undeclared = list(explain(DECLARED, answered, answers.differences).unexplained)
        for collection in COLLECTIONS:
            occurrence, differences = self.backends.stored(collection, case.scenario)
            undeclared += explain(DECLARED, occurrence, differences).unexplained
        return answers, undeclared

    async def play_on_native(self, case: FailingCommand) -> tuple[AnswerPair, list[Difference]]:
        """Return both answers, of which only native's command fails, and all differences between the documents."""
        self.backends.plant(DOCUMENTS)
        answers = AnswerPair(
            case.request, await self.backends.legacy.send(case.request), await self._send(self.backends.native, case)
        )
        return answers, [part for name in COLLECTIONS for part in self.backends.stored(name)[1]]

    async def _send(self, backend: RunningBackend, case: FailingCommand) -> DecodedAnswer:
        self.client.admin.command(case.fail_point(backend.database.name))
        try:
            return await backend.send(case.request)
        finally:
            self.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def cases(seed: int) -> Iterator[FailingCommand]:
    """Yield cases of every endpoint without end, in the order of a seed."""
    draw = random.Random(seed)
    while True:
        request, commands, collection = draw.choice(OPERATIONS)
        yield FailingCommand(request, commands, collection, draw.choice(CODES), 1)


@contextlib.contextmanager
def failing_server(directory: Path) -> Iterator[str]:
    """Start a MongoDB with fail points; yield its URL."""
    with Mongod(directory / "failing", options=("--setParameter", "enableTestCommands=1")) as mongod:
        yield mongod.url


@contextlib.asynccontextmanager
async def failing_pair(url: str, log: Path) -> AsyncIterator[FailingPair]:
    """Start both backends. The legacy's driver checks its server twice a second, not every ten seconds."""
    through = f"{url}&heartbeatFrequencyMS=500"
    with MongoClient[dict[str, Any]](url) as client:
        async with (
            legacy_backend(url, log, through=through) as legacy,
            native_backend(url, timings=UNHURRIED) as native,
        ):
            yield FailingPair(BackendPair(legacy, native), client)
