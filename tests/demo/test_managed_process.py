import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from demo.managed_process import ManagedProcess, ManagedProcessError
from tests.support.waiting import HANG_TIMEOUT

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)

Spawn = Callable[..., ManagedProcess]


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Spawn]:
    """Start a child that runs a line of Python."""
    children: list[ManagedProcess] = []

    def spawn(code: str, **settings: object) -> ManagedProcess:
        child = ManagedProcess("it", [sys.executable, "-c", code], log=tmp_path / "logs" / "it.log", **settings)  # type: ignore[arg-type]
        children.append(child)
        child.start()
        return child

    yield spawn
    for child in children:
        child.stop(grace=0)


def test_output_is_awaited_and_matched(python: Spawn) -> None:
    child = python("print('noise'); print('port 4711', flush=True); import time; time.sleep(60)")
    assert child.wait_for(r"port (\d+)", HANG_TIMEOUT)[1] == "4711"
    assert child.running


def test_exit_before_the_line_reports_code_and_last_output(python: Spawn) -> None:
    with pytest.raises(ManagedProcessError, match=r"it ended with code 3: no \| luck"):
        python("import sys; sys.exit(print('no\\nluck', flush=True) or 3)").wait_for("ready", HANG_TIMEOUT)


@pytest.mark.parametrize("own_session", [True, False])
def test_child_leads_a_session_or_a_group_of_this_one(python: Spawn, own_session: bool) -> None:
    child = python("print('up', flush=True); import time; time.sleep(60)", own_session=own_session)
    child.wait_for("up", HANG_TIMEOUT)
    assert child.pid is not None
    assert os.getpgid(child.pid) == child.pid
    assert (os.getsid(child.pid) == os.getsid(0)) is not own_session


def test_silence_is_not_waited_for_beyond_the_time(python: Spawn) -> None:
    with pytest.raises(ManagedProcessError, match=r"it is not ready in time; .* ends: it printed nothing"):
        python("import time; time.sleep(60)").wait_for("ready", 0.1)


def test_check_passes_while_it_runs_and_raises_after(python: Spawn) -> None:
    child = python("import time; print('up', flush=True); time.sleep(60)")
    child.wait_for("up", HANG_TIMEOUT)
    child.check()
    child.stop()
    with pytest.raises(ManagedProcessError):
        child.check()


def test_missing_program_raises_an_error_with_its_name(tmp_path: Path) -> None:
    child = ManagedProcess("the oracle", [tmp_path / "absent"], log=tmp_path / "log")
    with pytest.raises(ManagedProcessError, match="the oracle cannot be run"):
        child.start()
    assert not child.running
    child.stop()


def test_given_environment_extends_the_inherited_one(python: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    child = python("import os; print(os.environ['INHERITED'], os.environ['GIVEN'])", env={"GIVEN": "too"})
    assert child.wait_for("yes too", HANG_TIMEOUT)


def test_process_ignoring_sigterm_is_killed(python: Spawn) -> None:
    child = python(STUBBORN)
    child.wait_for("ready", HANG_TIMEOUT)
    pid = child.pid
    child.stop(grace=0.1)
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()


def test_stop_ends_the_grandchildren(python: Spawn) -> None:
    child = python(
        "import subprocess, sys, time;"
        f"g = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]);"
        "print('grandchild', g.pid, flush=True); time.sleep(60)"
    )
    grandchild = child.wait_for(r"grandchild (\d+)", HANG_TIMEOUT)[1]
    child.wait_for("ready", HANG_TIMEOUT)
    child.stop()
    assert _is_gone_soon(Path(f"/proc/{grandchild}/stat"))


def _is_gone_soon(status: Path) -> bool:
    deadline = time.monotonic() + HANG_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if status.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return True
    return False


class Interrupted(subprocess.Popen[bytes]):
    """A process whose start is interrupted by Ctrl-C."""

    def __init__(self, *arguments: object, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[call-overload]
        signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def sigint(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    """Set SIGINT's handler: a terminal's, or the one of a script's background job (ignored)."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[ManagedProcess]:
    """Return a child whose start is interrupted by Ctrl-C."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = ManagedProcess("it", command, log=tmp_path / "log", popen=Interrupted)
    yield child
    child.stop(grace=0)
    assert not child.running


def test_ctrl_c_during_a_start_stops_the_process(interrupted: ManagedProcess) -> None:
    with sigint(signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        interrupted.start()
    assert interrupted.running


def test_ctrl_c_in_a_background_job_stays_ignored(interrupted: ManagedProcess) -> None:
    with sigint(signal.SIG_IGN):
        interrupted.start()
    assert interrupted.running


def test_child_of_a_background_job_can_be_interrupted(python: Spawn) -> None:
    with sigint(signal.SIG_IGN):
        child = python("import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)")
    assert child.wait_for("True|False", HANG_TIMEOUT)[0] == "True"


def test_child_may_be_started_from_any_thread(python: Spawn) -> None:
    started: list[ManagedProcess] = []
    thread = threading.Thread(target=lambda: started.append(python("import time; time.sleep(60)")))
    thread.start()
    thread.join(HANG_TIMEOUT)
    assert started[0].running
