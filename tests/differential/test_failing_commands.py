"""The demo legacy and the native app answer alike, and store the same, if commands of MongoDB fail."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import pytest

from demo.mongod import find_mongod
from proxy.recordings.model import RecordedRequest
from tests.differential.failing_commands import (
    BROKEN,
    OPERATIONS,
    PERMANENT,
    READS,
    RETRYABLE,
    TRANSIENT,
    UPDATES,
    WRITES,
    FailingCommand,
    FailingPair,
    cases,
    failing_pair,
    failing_server,
)
from tests.differential.people import PASSWORD, TOKEN
from tests.support.backend_pair import get, post, shows
from tests.support.profile import IS_QUICK, examples, spread
from tests.support.random_seed import seed_of

pytestmark = pytest.mark.skipif(find_mongod() is None, reason="no mongod with fail points")

PROFILE = get("/users/profile", TOKEN)
ADD_PROMPT = post("/api/prompts", {"prompt_name": "n", "prompt_text": "t"}, TOKEN)
LOG_IN = post("/users/login", {"email": "amara@x", "password": PASSWORD})
LOG_OUT = post("/users/logout", token=TOKEN)


@dataclass(frozen=True)
class Harness:
    """Both backends, which run on the loop of `runner`."""

    runner: asyncio.Runner
    pair: FailingPair

    def play(self, case: FailingCommand) -> tuple[int | None, int | None]:
        """Assert that nothing undeclared differs; return the statuses of legacy and native."""
        answers, undeclared = self.runner.run(self.pair.play(case))
        assert not undeclared, f"{case.describe()}\n{answers}"
        return answers.legacy.status, answers.native.status


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    directory = tmp_path_factory.mktemp("failing")
    with failing_server(directory) as url, asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        try:
            pair = runner.run(stack.enter_async_context(failing_pair(url, directory / "log")))
            yield Harness(runner, pair)
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize(
    ("request_", "commands", "collection", "code"),
    [
        *((PROFILE, READS, "users", code) for code in (*RETRYABLE, BROKEN)),
        *((PROFILE, READS, "blacktokens", code) for code in (91, BROKEN)),
        *((ADD_PROMPT, WRITES, "prompts", code) for code in spread(TRANSIENT, 0, 4)),
    ],
)
@pytest.mark.slow
def test_one_transient_failure_is_not_visible(
    harness: Harness, request_: RecordedRequest, commands: tuple[str, ...], collection: str, code: int
) -> None:
    status = 200 if request_ is PROFILE else 201
    assert harness.play(FailingCommand(request_, commands, collection, code, 1)) == (status, status)


@pytest.mark.parametrize(
    ("request_", "collection", "status"),
    [(PROFILE, "blacktokens", 401), (PROFILE, "users", 500), (LOG_IN, "users", 200)],
    ids=["authentication", "read", "login"],
)
def test_read_that_fails_twice_is_unavailable(
    harness: Harness, request_: RecordedRequest, collection: str, status: int
) -> None:
    assert harness.play(FailingCommand(request_, READS, collection, 91, 2)) == (status, 503)


@pytest.mark.parametrize(
    ("request_", "commands", "status"), [(PROFILE, READS, 401), (LOG_OUT, WRITES, 200)], ids=["read", "written"]
)
def test_refused_list_of_tokens_is_answered_with_the_message(
    harness: Harness, request_: RecordedRequest, commands: tuple[str, ...], status: int
) -> None:
    assert harness.play(FailingCommand(request_, commands, "blacktokens", PERMANENT[0], 1)) == (status, status)


def each_write(way: int) -> pytest.MarkDecorator:
    """Play each write of a request, or in a quick run those of one of two ways (0 or 1) in which writes fail."""
    return pytest.mark.parametrize(
        ("request_", "collection"),
        spread([(request, name) for request, commands, name in OPERATIONS if commands is WRITES], way, 2),
        ids=lambda part: part if isinstance(part, str) else f"{part.method}_{part.target.replace('/', '_')}",
    )


@shows("start-in-two-writes")
def test_refused_link_of_a_started_consultation(harness: Harness) -> None:
    start = post("/api/consultation/start", {"patient_data": "p"}, TOKEN)
    case = FailingCommand(start, UPDATES, "consultations", PERMANENT[0], 1)
    assert harness.play(case) == (500, 200)
    backends = (harness.pair.backends.legacy, harness.pair.backends.native)
    unlinked, linked = [backend.database.consultations.find().sort("_id", -1)[0] for backend in backends]
    assert "transcript" not in unlinked
    assert "transcript" in linked


@each_write(0)
def test_refused_write_leaves_equal_documents(harness: Harness, request_: RecordedRequest, collection: str) -> None:
    harness.play(FailingCommand(request_, WRITES, collection, PERMANENT[0], 1))


@shows("write-retries")
@each_write(1)
def test_write_that_fails_twice_is_repeated_by_native(
    harness: Harness, request_: RecordedRequest, collection: str
) -> None:
    for code in failures_of(request_):
        case = FailingCommand(request_, WRITES, collection, code, 2)
        harness.play(case)
        answers, stored = harness.runner.run(harness.pair.play_on_native(case))
        assert (answers.differences, stored) == ([], []), case.describe()


def failures_of(request: RecordedRequest) -> tuple[int, ...]:
    """Return the failures that a write meets: each, or in a quick run one, which is another for each request."""
    failures = (TRANSIENT[0], BROKEN)
    return (failures[crc32(request.target.encode()) % len(failures)],) if IS_QUICK else failures


@pytest.mark.seeded
def test_any_failing_command_has_equal_outcomes(harness: Harness) -> None:
    for case in itertools.islice(cases(seed_of(1)), examples(30)):
        harness.play(case)


@pytest.mark.seeded
@pytest.mark.slow
def test_many_failing_commands_have_equal_outcomes(harness: Harness) -> None:
    for case in itertools.islice(cases(seed_of(2)), 200):
        harness.play(case)
