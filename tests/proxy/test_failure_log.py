"""Failures that no code handles are logged by type, code location and fingerprint, without their messages."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import common
import handlers
import proxy
from common.failure_trace import trace_of
from common.log_lines import JsonFormatter
from proxy.failure_log import report_unhandled
from tests.support.waiting import HANG_TIMEOUT

CANARY = "jane.roe@clinic.example"
SOURCES = [path for package in (common, proxy, handlers) for path in Path(package.__file__ or "").parent.rglob("*.py")]


def failure() -> Exception:
    try:
        raise ValueError(CANARY) from KeyError(CANARY)
    except ValueError as error:
        return error


def test_formatter_hides_messages_of_exceptions() -> None:
    error = failure()
    record = logging.LogRecord(
        "app", logging.ERROR, "", 0, "%s failed", ("x",), (type(error), error, error.__traceback__)
    )
    line = JsonFormatter().format(record)
    assert CANARY not in line
    assert json.loads(line)["exception"] == trace_of(error)


async def test_failed_task_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise failure()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report_unhandled)
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    loop.call_exception_handler({"message": CANARY})
    assert "ValueError at" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        "raise ValueError(secret)",
        "import threading; threading.Thread(target=lambda: int(secret)).start()",
        "type('Left', (), {'__del__': lambda self: int(secret)})()",
        "import logging; logging.getLogger('app').error('failed', exc_info=ValueError(secret))",
    ],
    ids=["process", "thread", "finaliser", "log"],
)
def test_uncaught_error_is_logged_without_its_message(fault: str) -> None:
    program = (
        "from proxy.observability.log_writer import configure_logging\nconfigure_logging()\n"
        f"secret = ''.join(reversed({CANARY[::-1]!r}))\n{fault}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_TIMEOUT, check=False
    )
    assert re.search(r"(ValueError|failed)", done.stderr)
    assert CANARY not in done.stderr


def test_modules_never_log_exception_messages() -> None:
    files = [path.name for path in SOURCES if re.search(r"logger\.exception|exc_info=(?!None)", path.read_text())]
    assert files == []
