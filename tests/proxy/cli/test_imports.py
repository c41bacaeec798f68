"""Modules that commands import: quick commands import only what they need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import HANG_TIMEOUT

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, sys
from proxy.cli.main import main
try:
    main(sys.argv[1:], "scribe-proxy")
finally:
    print(json.dumps([*sys.modules]))
"""
SERVICE = (
    *("fastapi", "handlers.app", "httptools", "httpx", "jinja2", "jose", "motor", "openai", "prometheus_client"),
    *("pymongo", "schemathesis", "starlette", "uvicorn", "uvloop"),
)
OFFLINE = ("rich", "urllib.request", "proxy.comparison", "proxy.recordings", "proxy.ops", "difflib")
METADATA = ("importlib.metadata._adapters", "zipfile", "csv")
"""Modules that `importlib.metadata` imports."""
CASES = {
    "--help": (*SERVICE, *OFFLINE, "pydantic", "yaml", "importlib.metadata"),
    "check": (*SERVICE, *OFFLINE, *METADATA),
    "explain GET /api/prompts --key k": (*SERVICE, *OFFLINE, *METADATA, "proxy.contract", "jsonschema_rs", "email"),
    "status --ops-url http://127.0.0.1:1": (*SERVICE, "proxy.config.models", "proxy.reports", "pydantic", "yaml"),
}


def loaded(command: str) -> set[str]:
    """Return the modules that are loaded when a command has ended, whatever its exit code."""
    run = [sys.executable, "-c", SCRIPT, *command.split()]
    output = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=HANG_TIMEOUT, check=False).stdout
    return set(json.loads(output.splitlines()[-1]))


COLLECTIONS = """
import gc, sys
generations = []
gc.callbacks.append(lambda phase, info: generations.append(info["generation"]) if phase == "start" else None)
from proxy.cli.main import main
try:
    main(sys.argv[1:], "scribe-proxy")
finally:
    gc.callbacks.clear()
    print(len(generations))
"""


@pytest.mark.parametrize("command", CASES)
def test_command_imports_only_the_modules_it_needs(command: str) -> None:
    modules = loaded(command)
    assert "click" in modules
    assert [name for name in CASES[command] if name in modules] == []


@pytest.mark.parametrize("command", CASES)
def test_quick_command_collects_no_garbage_while_it_imports(command: str) -> None:
    run = [sys.executable, "-c", COLLECTIONS, *command.split()]
    output = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=HANG_TIMEOUT, check=False).stdout
    assert int(output.splitlines()[-1]) <= 8


USES = """
import sys
from proxy.cli.deferred_metadata import defer_metadata
defer_metadata()
import importlib.metadata as metadata
from importlib.metadata import entry_points
before = "zipfile" in sys.modules
assert "scribe-proxy" in entry_points(group="console_scripts").names
from importlib.metadata import version
import importlib.metadata._adapters
assert version("click") == metadata.version("click") == importlib.metadata.version("click")
print(before, "zipfile" in sys.modules)
"""


def test_metadata_is_imported_on_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", USES], cwd=ROOT, capture_output=True, text=True, check=True, timeout=HANG_TIMEOUT
    )
    assert done.stdout == "False True\n"


def test_native_app_imports_the_models_package_later() -> None:
    run = [sys.executable, "-c", "import json, sys, handlers.app; print(json.dumps([*sys.modules]))"]
    output = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=HANG_TIMEOUT, check=True).stdout
    assert "openai" not in json.loads(output)
