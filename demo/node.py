"""Find Node for the demo's legacy, check its version, and install the packages once."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.managed_process import ManagedProcess

OLDEST = 20
_INSTALL_S = 600.0

Progress = Callable[[int, int], None]


class NodeError(Exception):
    """Node or its packages are missing. The message is one line."""


def find_node() -> Path:
    """Return the `node` on PATH. Raises NodeError if it is absent, broken, or older than Node 20."""
    program = shutil.which("node")
    if program is None:
        raise NodeError(f"Node.js {OLDEST} or newer is needed for the demo's legacy, and there is no `node` on PATH")
    reply = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.", reply.stdout)
    if version is None:
        raise NodeError(f"{program} --version prints no version: {(reply.stdout + reply.stderr).strip()[:200]}")
    if int(version[1]) < OLDEST:
        raise NodeError(
            f"Node.js {OLDEST} or newer is needed for the demo's legacy, and {program} is {reply.stdout.strip()}"
        )
    return Path(program)


def is_installed(project: Path) -> bool:
    """Return whether `npm ci` has run in `project` since its lock file changed."""
    installed = project / "node_modules" / ".package-lock.json"
    lock = project / "package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime


def install(project: Path, log: Path, progress: Progress = lambda done, total: None) -> None:
    """Run `npm ci` in `project`; `progress` receives the installed and the total packages. Raises NodeError.

    Of several processes one runs it, because `npm ci` begins by removing all packages; the others wait for it.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NodeError("npm is needed once, to install the packages of the demo's legacy, and there is none on PATH")
    total = len(json.loads((project / "package-lock.json").read_text())["packages"]) - 1
    with _locked(project / "package-lock.json"):
        if is_installed(project):
            return
        child = ManagedProcess("npm ci", [npm, "ci"], log=log, cwd=project)
        child.start()
        try:
            _watch(child, project / "node_modules", total, progress)
        finally:
            child.stop()


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold the exclusive lock of an existing file, where the system has such locks."""
    with file.open("rb") as opened:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _watch(child: ManagedProcess, modules: Path, total: int, progress: Progress) -> None:
    deadline = time.monotonic() + _INSTALL_S
    while child.running:
        if time.monotonic() > deadline:
            raise NodeError(f"npm ci has not finished after {_INSTALL_S:.0f} s: {child.last_output()}")
        progress(min(_count(modules), total), total)
        time.sleep(0.1)
    if child.returncode:
        raise NodeError(f"npm ci failed: {child.last_output()}")
    progress(total, total)


def _count(modules: Path) -> int:
    return sum(1 for pattern in ("[!@]*/package.json", "@*/*/package.json") for _ in modules.glob(pattern))
