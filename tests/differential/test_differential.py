"""The stand-in and the native app answer alike, whatever they are asked: a short run of the differential search."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from proxy.recordings import model
from proxy.recordings.side_effects import SideEffectsError
from tests.differential.actions import Action
from tests.differential.people import ABSENT, TOKEN
from tests.differential.runner import Account, Duel
from tests.differential.sequences import Sequence, sequences
from tests.differential.sides import sides

pytestmark = [pytest.mark.timeout(240)]

Fight = Callable[[Sequence], Account]


@contextlib.contextmanager
def fighting(mongodb_url: str, log: Path, *, undeclared: bool = False) -> Iterator[Fight]:
    """Both sides, and a way to put sequences to them; `undeclared` takes no difference for meant."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def begin() -> Duel:
            both = await stack.enter_async_context(sides(mongodb_url, log, f"differential_{uuid.uuid4().hex[:8]}"))
            return await stack.enter_async_context(Duel.between(*both, () if undeclared else None))

        duel = runner.run(begin())
        try:
            yield lambda sequence: runner.run(duel.fight(sequence.before, sequence.actions))
        finally:
            runner.run(stack.aclose())


@pytest.fixture(scope="module")
def fight(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fight]:
    with fighting(mongodb_url, tmp_path_factory.mktemp("differential") / "log") as found:
        yield found


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(sequence=sequences())
def test_both_sides_answer_alike(fight: Fight, tmp_path_factory: pytest.TempPathFactory, sequence: Sequence) -> None:
    """The longer search, `python -m tests.differential`, makes counterexamples smaller; here they are only shown."""
    try:
        account = fight(sequence)
        if account.differing:  # once more: a machine that stalls for seconds looks like a difference
            account = fight(sequence)
    except SideEffectsError:
        return  # documents that an index of the native side's will not have
    if account.differing:
        place = account.write(tmp_path_factory.mktemp("counterexample"))
        pytest.fail(f"{account.describe()}\nrecorded in {place}, for `scribe-proxy verify --recordings`")


def test_a_difference_is_found_and_becomes_a_recording(mongodb_url: str, tmp_path: Path) -> None:
    logout = Action(
        "POST", "/users/logout"
    )  # the legacy never answers it, the native side does: declared, but not here
    with fighting(mongodb_url, tmp_path / "log", undeclared=True) as fight:
        account = fight(Sequence({"users": [{"_id": {"$oid": ABSENT}, "email": "a"}]}, [logout]))
    (result,) = account.differing
    assert [(one.place, one.kind) for one in result.unexplained] == [("outcome", "outcome")]
    assert "POST /users/logout" in account.describe()
    (again,) = model.load(account.write(tmp_path / "found")).scenarios
    assert again.steps == account.scenario.steps
    assert again.before == account.scenario.before
    assert again.store == account.scenario.store


def test_what_is_declared_is_no_difference(fight: Fight) -> None:
    account = fight(Sequence({}, [Action("POST", "/users/logout")]))
    assert not account.differing
    assert [result.declared for result in account.results if result.declared] == [("logout-without-token",)]


def test_later_requests_name_what_earlier_ones_made(fight: Fight) -> None:
    auth = (("authorization", f"Bearer {TOKEN}"), ("content-type", "application/json"))
    actions = [
        Action("POST", "/api/prompts", auth, '{"prompt_name":"a","prompt_text":"b"}'),
        Action("DELETE", "/api/prompts/<id 0>", auth),
        Action("GET", "/", (("if-none-match", "<tag 7>"),)),
        Action("GET", "/api/prompts/<id 3>?", (("authorization", "x <token 0>"),)),
    ]
    account = fight(Sequence({}, actions))
    assert not account.differing
    made, deleted, _, named = (step for step in account.scenario.steps)
    identity = deleted.request.target.removeprefix("/api/prompts/")
    assert identity in made.answer.text
    assert deleted.answer.text == '{"msg":"Prompt deleted successfully"}'
    assert named.request.target == f"/api/prompts/{identity}?"
    assert named.request.headers == (("authorization", f"x {TOKEN}"),)
