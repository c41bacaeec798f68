"""The demo legacy and the native app answer alike: a short run of the differential search."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demo.services import ROOT
from proxy.fuzz.conversation import FuzzConversation, FuzzFrame
from proxy.fuzz.differential import Differential, write_execution
from proxy.fuzz.execution import Execution
from proxy.recordings import model
from proxy.websocket.frames import BINARY, CLOSE, PING, TEXT
from tests.differential.__main__ import COMMAND, arguments_for
from tests.differential.actions import Action
from tests.differential.conversations import TARGET
from tests.differential.people import ABSENT, TOKEN
from tests.differential.runner import between
from tests.differential.sequences import Sequence
from tests.differential.sides import sides

Fight = Callable[[Sequence], Execution]
Converse = Callable[[FuzzConversation], Execution]

START = FuzzFrame.text({"type": "start_recording", "consultationId": "C-1"})
CHUNK = FuzzFrame.text({"type": "audio_chunk", "audioData": "QUJD"})
STOP = FuzzFrame.text({"type": "stop_recording"})


@contextlib.contextmanager
def fighting(mongodb_url: str, log: Path, *, undeclared: bool = False) -> Iterator[Fight]:
    """Start both backends, and return a runner of sequences; with `undeclared`, no difference counts as declared."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def begin() -> Differential:
            both = await stack.enter_async_context(sides(mongodb_url, log, f"differential_{uuid.uuid4().hex[:8]}"))
            return await stack.enter_async_context(between(*both, () if undeclared else None))

        duel = runner.run(begin())
        try:
            yield lambda sequence: runner.run(duel.run(sequence.before, sequence.actions))
        finally:
            runner.run(stack.aclose())


@pytest.fixture(scope="module")
def fight(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fight]:
    with fighting(mongodb_url, tmp_path_factory.mktemp("differential") / "log") as found:
        yield found


@pytest.fixture(scope="module")
def conversations(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converse]:
    """Play conversations to both backends."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def begin() -> Differential:
            log = tmp_path_factory.mktemp("conversations") / "log"
            both = await stack.enter_async_context(sides(mongodb_url, log, f"differential_{uuid.uuid4().hex[:8]}"))
            return await stack.enter_async_context(between(*both))

        duel = runner.run(begin())
        try:
            yield lambda conversation: runner.run(duel.conversations.run(conversation))
        finally:
            runner.run(stack.aclose())


def test_the_command_finds_no_difference(mongodb_url: str, tmp_path: Path) -> None:
    # A short run of `make fuzz` with the plug-in.
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        both = runner.run(
            stack.enter_async_context(sides(mongodb_url, tmp_path / "log", f"fuzz_{uuid.uuid4().hex[:8]}"))
        )
        try:
            limits = ["--minutes", "3", "--max-sequences", "16", "--hang-after", "3", "--seed", "1"]
            limits += ["--into", str(tmp_path / "found")]
            command = [sys.executable, "-c", COMMAND, "fuzz", *arguments_for(*both), *limits]
            process = runner.run(asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=ROOT))
            output, errors = runner.run(process.communicate())
        finally:
            runner.run(stack.aclose())
    assert process.returncode == 0, f"{output.decode()}\n{errors.decode()}"
    assert b" 0 undeclared" in output


def test_a_difference_is_found_and_becomes_a_recording(mongodb_url: str, tmp_path: Path) -> None:
    logout = Action(
        "POST", "/users/logout"
    )  # the legacy never answers it, the native side does: declared, but not here
    with fighting(mongodb_url, tmp_path / "log", undeclared=True) as fight:
        account = fight(Sequence({"users": [{"_id": {"$oid": ABSENT}, "email": "a"}]}, [logout]))
    (result,) = account.differing
    assert [(one.location, one.kind) for one in result.unexplained] == [("outcome", "outcome")]
    assert "POST /users/logout" in account.describe()
    (again,) = model.load(write_execution(account, tmp_path / "found")).scenarios
    assert again.steps == account.scenario.steps
    assert again.before == account.scenario.before
    assert again.store == account.scenario.store


def test_what_is_declared_is_no_difference(fight: Fight) -> None:
    account = fight(Sequence({}, [Action("POST", "/users/logout")]))
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
def test_conversations_go_alike(conversations: Converse, frames: tuple[FuzzFrame, ...]) -> None:
    account = conversations(FuzzConversation(TARGET, frames))
    assert not account.differing, account.describe()
    assert account.received[0]["type"] == "connection"  # type: ignore[index,call-overload]


def test_a_refused_handshake_goes_alike(conversations: Converse) -> None:
    for conversation in (
        FuzzConversation("/elsewhere"),
        FuzzConversation(TARGET, headers=(("sec-websocket-protocol", "a, a"),)),
    ):
        account = conversations(conversation)
        assert not account.differing, account.describe()
        assert account.received == ()


def test_later_requests_name_what_earlier_ones_made(fight: Fight) -> None:
    auth = (("authorization", f"Bearer {TOKEN}"), ("content-type", "application/json"))
    actions = [
        Action("POST", "/api/prompts", auth, '{"prompt_name":"a","prompt_text":"b"}'),
        Action("DELETE", "/api/prompts/<_id 0>", auth),
        Action("GET", "/", (("if-none-match", "<etag 7>"),)),
        Action("GET", "/api/prompts/<_id 3>?", (("authorization", f"x <token 0|{TOKEN}>"),)),
    ]
    account = fight(Sequence({}, actions))
    assert not account.differing
    made, deleted, _, named = (step for step in account.scenario.steps)
    identity = deleted.request.target.removeprefix("/api/prompts/")
    assert identity in made.answer.text
    assert deleted.answer.text == '{"msg":"Prompt deleted successfully"}'
    assert named.request.target == f"/api/prompts/{identity}?"
    assert named.request.headers == (("authorization", f"x {TOKEN}"),)
