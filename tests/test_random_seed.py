"""One number decides what random tests draw, and a failure names it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from demo.services import ROOT
from tests.support.random_seed import STRIDE, VARIABLE, seed_of, seeds

OWN_CHOICES: Final = re.compile(r"derandomize|database=None|\bRandom\(\d")
PROBABILITIES: Final = "tests/proxy/rollout/"
"""Tests of probabilities, which have fixed samples."""
CONTENTS: Final = {"tests/proxy/config/test_files.py", "tests/proxy/websocket/test_transports.py"}
"""Tests that need some bytes without a pattern."""
FAILING: Final = """
from random import Random
import pytest
from hypothesis import given, strategies as st
from tests.support.random_seed import seeds

@given(st.integers(0, 10**9))
def test_given(number):
    print("given", number)

@given(st.integers())
def test_failing(number):
    assert number is None

@pytest.mark.seeded
@pytest.mark.parametrize("seed", seeds(1))
def test_seeded(seed):
    pytest.fail(f"seeded {Random(seed).random()}")

def test_other():
    pytest.fail("not random")
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    file = tmp_path / "test_drawing.py"
    file.write_text(FAILING)
    return Run(file)


class Run:
    """Runs the failing tests, and returns the output. `CI` is set, by which Hypothesis chooses its own profile."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, *options: str, seed: str | None = None) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment |= {"CI": "true", "COLUMNS": "200", "HYPOTHESIS_PROFILE": "quick", "MONGODB_URL": "mongodb://none"}
        environment |= {VARIABLE: seed} if seed else {}
        command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-rP", *options, str(self._file)]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout


def drawn(output: str) -> list[str]:
    return re.findall(r"(?:given|seeded) [\d.]+", output)


@pytest.mark.slow
def test_seed_decides_all_choices_and_is_shown(run: Run) -> None:
    by_variable, by_option = run(seed="7"), run("-n", "1", "--hypothesis-seed=7")
    assert len(drawn(by_variable)) > 20
    assert drawn(by_variable) == drawn(by_option)
    for output in (by_variable, by_option):
        assert "random seed: 7 (RANDOM_SEED)" in output.splitlines()
        commands = re.findall(r"^RANDOM_SEED=7 HYPOTHESIS_PROFILE=quick \S+pytest (\S+)", output, re.MULTILINE)
        assert [command.partition("::")[2] for command in commands] == ["test_failing", "test_seeded[7000000]'"]
    common = set(drawn(by_variable)) & set(drawn(run(seed="8")))
    assert len(common) < 5  # small numbers
    assert not any(choice.startswith("seeded") for choice in common)


def test_seed_that_is_no_number_is_refused(run: Run) -> None:
    assert run(seed="seven") == ""


def test_seeds_of_two_runs_have_nothing_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "3")
    third, highest = seeds(5), seed_of(STRIDE - 1)
    monkeypatch.setenv(VARIABLE, "4")
    assert not set(third) & set(seeds(5))
    assert highest < seed_of(0)


def sources() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "tests").rglob("*.py")}


def test_no_other_test_has_a_seed_of_its_own() -> None:
    exempt = {*CONTENTS, "tests/conftest.py", "tests/test_random_seed.py"}
    own = {name for name, text in sources().items() if OWN_CHOICES.search(text)} - exempt
    assert {name for name in own if not name.startswith(PROBABILITIES)} == set()


def test_tests_with_seeds_are_marked() -> None:
    for name, text in sources().items():
        if Path(name).name.startswith("test_") and "import seed" in text:
            assert "pytest.mark.seeded" in text, name
