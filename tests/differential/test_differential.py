"""The demo legacy and the native app answer alike: a short run of the differential search."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from demo.services import ROOT
from proxy.fuzz.conversation import FuzzConversation, FuzzFrame
from proxy.fuzz.differential import Differential, write_execution
from proxy.fuzz.execution import Execution
from proxy.fuzz.options import FuzzBackend
from proxy.recordings import model
from proxy.websocket.frames import BINARY, CLOSE, PING, TEXT
from tests.differential.__main__ import COMMAND, arguments_for
from tests.differential.actions import Action
from tests.differential.conversations import TARGET
from tests.differential.people import ABSENT, TOKEN
from tests.differential.runner import between
from tests.differential.sequences import Sequence
from tests.differential.sides import sides
from tests.support.profile import examples
from tests.support.random_seed import seed_of

START = FuzzFrame.text({"type": "start_recording", "consultationId": "C-1"})
CHUNK = FuzzFrame.text({"type": "audio_chunk", "audioData": "QUJD"})
STOP = FuzzFrame.text({"type": "stop_recording"})


@dataclass(frozen=True)
class RunningPair:
    """Both backends, which run on the loop of `runner`. For `strict`, no difference is declared."""

    runner: asyncio.Runner
    backends: tuple[FuzzBackend, FuzzBackend]
    differential: Differential
    strict: Differential

    def play(self, sequence: Sequence, *, strict: bool = False) -> Execution:
        differential = self.strict if strict else self.differential
        return self.runner.run(differential.run(sequence.before, sequence.actions))

    def converse(self, conversation: FuzzConversation) -> Execution:
        return self.runner.run(self.differential.conversations.run(conversation))


@pytest.fixture(scope="module")
def pair(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPair]:
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def start() -> RunningPair:
            log = tmp_path_factory.mktemp("differential") / "log"
            both = await stack.enter_async_context(sides(mongodb_url, log, f"differential_{uuid.uuid4().hex[:8]}"))
            differential = await stack.enter_async_context(between(*both))
            strict = await stack.enter_async_context(between(*both, ()))
            return RunningPair(runner, both, differential, strict)

        try:
            yield runner.run(start())
        finally:
            runner.run(stack.aclose())


@pytest.mark.seeded
@pytest.mark.slow
def test_fuzz_command_reports_no_difference(pair: RunningPair, tmp_path: Path) -> None:
    # A short run of `make fuzz` with the plug-in.
    limits = ["--strict", "--minutes", "3", "--max-sequences", str(examples(12)), "--hang-after", "3"]
    limits += ["--seed", str(seed_of(1))]
    limits += ["--into", str(tmp_path / "found")]
    command = [sys.executable, "-c", COMMAND, "fuzz", *arguments_for(*pair.backends), *limits]
    process = pair.runner.run(asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=ROOT))
    output, errors = pair.runner.run(process.communicate())
    assert process.returncode == 0, f"{output.decode()}\n{errors.decode()}"
    assert b" 0 undeclared" in output


def test_difference_becomes_a_recording(pair: RunningPair, tmp_path: Path) -> None:
    logout = Action(
        "POST", "/users/logout"
    )  # the legacy never answers it, the native side does: declared, but not here
    account = pair.play(Sequence({"users": [{"_id": {"$oid": ABSENT}, "email": "a"}]}, [logout]), strict=True)
    (result,) = account.differing
    assert [(one.location, one.kind) for one in result.unexplained] == [("outcome", "outcome")]
    assert "POST /users/logout" in account.describe()
    (again,) = model.load(write_execution(account, tmp_path / "found")).scenarios
    assert again.steps == account.scenario.steps
    assert again.before == account.scenario.before
    assert again.store == account.scenario.store


def test_declared_difference_is_not_reported(pair: RunningPair) -> None:
    account = pair.play(Sequence({}, [Action("POST", "/users/logout")]))
    assert not account.differing
    assert [result.declared for result in account.results if result.declared] == [("logout-without-token",)]


@pytest.mark.parametrize(
    "frames",
    [
        (START, CHUNK, CHUNK, STOP, STOP),
        (START, *[CHUNK] * 9, STOP, START, CHUNK, STOP),
        (FuzzFrame(TEXT, "null"), FuzzFrame(PING, "p"), FuzzFrame(TEXT, "{", fin=False), FuzzFrame(TEXT, "x")),
        (replace(STOP, opcode=BINARY), FuzzFrame(CLOSE, "\x03\xe9bye")),
    ],
    ids=["twice-stopped", "nine-chunks", "broken", "closed"],
)
def test_conversations_go_alike(pair: RunningPair, frames: tuple[FuzzFrame, ...]) -> None:
    account = pair.converse(FuzzConversation(TARGET, frames))
    assert not account.differing, account.describe()
    assert account.received[0]["type"] == "connection"  # type: ignore[index,call-overload]


def test_refused_handshakes_are_equal(pair: RunningPair) -> None:
    for conversation in (
        FuzzConversation("/elsewhere"),
        FuzzConversation(TARGET, headers=(("sec-websocket-protocol", "a, a"),)),
    ):
        account = pair.converse(conversation)
        assert not account.differing, account.describe()
        assert account.received == ()


def test_later_requests_use_earlier_ids(pair: RunningPair) -> None:
    auth = (("authorization", f"Bearer {TOKEN}"), ("content-type", "application/json"))
    actions = [
        Action("POST", "/api/prompts", auth, '{"prompt_name":"a","prompt_text":"b"}'),
        Action("DELETE", "/api/prompts/<_id 0>", auth),
        Action("GET", "/", (("if-none-match", "<etag 7>"),)),
        Action("GET", "/api/prompts/<_id 3>?", (("authorization", f"x <token 0|{TOKEN}>"),)),
    ]
    account = pair.play(Sequence({}, actions))
    assert not account.differing
    made, deleted, _, named = (step for step in account.scenario.steps)
    identity = deleted.request.target.removeprefix("/api/prompts/")
    assert identity in made.answer.text
    assert deleted.answer.text == '{"msg":"Prompt deleted successfully"}'
    assert named.request.target == f"/api/prompts/{identity}?"
    assert named.request.headers == (("authorization", f"x {TOKEN}"),)
