"""Fixtures of all tests, and the division of the tests between processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Generator, Iterator
from typing import Final

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from demo.ports import free_port
from handlers.settings import Settings
from tests.support.event_loop import AdvancedLoopPolicy
from tests.support.random_seed import VARIABLE, random_seed, repeating
from tests.support.volatile_mongodb import volatile_mongodb

BROWSER: Final = "tests/browser/"
LONGEST: Final = (
    BROWSER,
    "tests/test_",
    "tests/conformance/",
    "tests/differential/",
    "tests/demo/",
    "tests/proxy/runtime/test_worker_group",
    "tests/proxy/rollout/test_hub",
    "tests/handlers/test_faults",
    "tests/handlers/test_hostile_input",
    "tests/proxy/cli/test_fuzz",
    "tests/proxy/runtime/test_process_hygiene",
    "tests/proxy/shadow/test_shadow",
    "tests/proxy/observability/test_log_writer",
    "tests/chaos/",
)
"""Files that start first, so that no process runs them alone at the end."""

DIVIDED: Final = frozenset(
    {"tests/test_recordings.py", "tests/test_schemathesis.py", "tests/conformance/test_grammar.py"}
)
"""Files with few and long tests, each of which starts its own servers."""

READERS: Final = frozenset({"tests/test_architecture.py", "tests/test_conventions.py", "tests/test_vocabulary.py"})
"""Files that read all modules of the project: together they parse each once."""

OWN_VARIABLES: Final = frozenset(
    {
        "LEGACY_URL",
        "OPS_TOKEN",
        "OPS_URL",
        "OPS_VIEWER_TOKEN",
        "SCRIBE_PROXY_PIN",
        "SCRIBE_OVERRIDE_SECRET",
        "REPORTS_KEY",
        "REPORTS_REDACT",
        "REPORTS_STAGING",
    }
    | {name.upper() for name in Settings.model_fields if name != "mongodb_url"}
)
"""Variables that the product reads and a person's shell may have, as the demo prints them, except MONGODB_URL."""

for variable in os.environ.copy():
    if variable in OWN_VARIABLES or variable.startswith("OTEL_"):
        del os.environ[variable]

for variable in ("NO_PROXY", "no_proxy"):
    os.environ[variable] = ",".join(filter(None, (os.environ.get(variable), "127.0.0.1,localhost")))

os.environ["TERM"] = "xterm"
for variable in ("COLUMNS", "LINES"):  # a width that no test has chosen
    os.environ.pop(variable, None)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of the many processes would compile all modules again
sys.dont_write_bytecode = False

asyncio.set_event_loop_policy(AdvancedLoopPolicy())

if (worker := os.environ.get("PYTEST_XDIST_WORKER", "")).startswith("gw"):
    free_port.take_share(int(worker[2:]), of=16)

STATE_DIRECTORY: Final = tempfile.mkdtemp(prefix="scribe-proxy-tests-")
os.environ["SCRIBE_PROXY_STATE_DIR"] = STATE_DIRECTORY

for profile, number in (("quick", 25), ("usual", 50), ("thorough", 1000)):
    settings.register_profile(  # no check of durations: a busy machine takes as long as it takes
        profile,
        max_examples=number,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=False,  # Hypothesis's own profile in CI sets it
        database=None,  # the seed alone decides
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


RANDOM: Final = ("hypothesis", "seeded")
"""Marks of random tests; Hypothesis's plug-in sets the first."""

gc.disable()  # until all tests are collected, because nothing of that is garbage

SHOWN_DURATION: Final = 0.2
"""Seconds from which on a worker reports a setup or a teardown that passed."""

MONGODB_URL: Final = pytest.StashKey[str]()
SHARED: Final = contextlib.ExitStack()
"""Servers of the whole run, which end with it."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis and all other generators one seed, also in the workers of `-n`."""
    if (given := config.getoption("--hypothesis-seed")) is not None:
        os.environ[VARIABLE] = given
    try:
        config.option.hypothesis_seed = str(random_seed())
    except ValueError:
        raise pytest.UsageError(f"the random seed is not a whole number: {os.environ[VARIABLE]}") from None


def pytest_report_header() -> str:
    """Show the seed."""
    return f"random seed: {random_seed()} ({VARIABLE})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the command that repeats a random test to the report of its failure.

    Without a collection of garbage: a finalizer that formats a traceback breaks the parser of sources in Python 3.11.
    """
    gc.disable()
    try:
        report = yield
    finally:
        gc.enable()
    if report.failed and any(item.get_closest_marker(name) for name in RANDOM):
        report.sections.append(("Random seed", repeating(settings.get_current_profile_name(), item.nodeid)))
    return report


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return the id of a body coded with gzip, without its bytes, which contain the time: all processes must agree."""
    return f"gzip of {len(val)} bytes" if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Give every worker of `-n` the one MongoDB, which starts with the first."""
    url = node.config.stash.get(MONGODB_URL, None) or SHARED.enter_context(volatile_mongodb())
    node.config.stash[MONGODB_URL] = node.workerinput["mongodb_url"] = url


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test in a worker of `-n` with two messages to the main process instead of six; return None elsewhere.

    Setups and teardowns that passed are reported only if `--durations` might show them.
    """
    if not hasattr(item.config, "workerinput"):
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed or report.duration >= SHOWN_DURATION:
            item.ihook.pytest_runtest_logreport(report=report)
    return True


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collections, each of which would visit all of them.

    The little garbage among them stays in memory: finding it takes a second in each worker.
    """
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Stop the servers and remove what processes of the tests have stored."""
    SHARED.close()
    shutil.rmtree(STATE_DIRECTORY, ignore_errors=True)


@pytest.fixture(scope="session")
def mongodb_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of a real MongoDB replica set: `MONGODB_URL`, or a mongod that this test run starts."""
    given = getattr(request.config, "workerinput", {}).get("mongodb_url")
    with contextlib.nullcontext(given) if given else volatile_mongodb() as url:
        yield url


@pytest.fixture(scope="module", autouse=True)
def _leaves_nothing_open() -> Iterator[None]:
    """Collect a module's garbage, so that an object left unclosed is an error of its last test, not of a later module.

    Sockets without a transport are PyMongo's, which abandons those that it was connecting when it is closed. The
    objects still in use are frozen: no later round visits them.
    """
    yield
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        gc.collect()
    gc.freeze()


class ByFile(LoadScopeScheduling):
    """A scheduler that runs a file's tests in one process, so that shared servers start once.

    All browser tests run in one process. Tests of the files in DIVIDED share nothing and mostly wait, so they run in
    parallel.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file in DIVIDED:
            return nodeid
        if file in READERS:
            return "readers"
        return BROWSER if file.startswith(BROWSER) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Schedule the tests of `-n` by file, in the order of collection."""
    config.option.loadscopereorder = False  # it would begin with the files of the most tests
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, in the order of LONGEST; leave the others in their order."""
    items.sort(key=lambda item: [not item.nodeid.startswith(path) for path in LONGEST])
