"""The state of a watched file at one moment: its bytes, and the metadata that identifies a version of it."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from proxy.config.loading import MAX_BYTES
from proxy.config.problems import Problem
from proxy.config.targets import list_files
from proxy.contract.bundle import Stamp, fingerprint

Content = bytes | Problem
"""The bytes of a file, or the reason why it cannot be read."""


@dataclass(frozen=True, slots=True)
class FileState:
    """The result of reading a file.

    `inode` is (device, inode), `modified` is in nanoseconds; both are 0 after a failure.

    `open_for_writing`: a process on this machine has the file open for writing. Always False if the file belongs to
    another user or its file system has no leases. `contracts`: the stamp of the contracts and value lists that the file
    names.
    """

    content: Content
    inode: tuple[int, int]
    modified: int
    open_for_writing: bool
    contracts: Stamp

    @property
    def version(self) -> tuple[Content, Stamp]:
        """The parts that determine the configuration."""
        return self.content, self.contracts


def read_state(path: Path, contracts: Path) -> FileState:
    """Read a file and the stamp of its contracts. Blocks for as long as the file system does."""
    missing = (0, 0), 0, False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO blocks without O_NONBLOCK
    except OSError as error:
        return FileState(_unreadable(error.strerror), *missing, fingerprint(contracts))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return FileState(_unreadable("not a regular file"), *missing, fingerprint(contracts))
        content = _read(descriptor)
        written = _is_open_for_writing(descriptor)
        stamp = stamp_of(path, contracts, content)
        return FileState(content, (status.st_dev, status.st_ino), status.st_mtime_ns, written, stamp)
    except OSError as error:
        return FileState(_unreadable(error.strerror), *missing, fingerprint(contracts))
    finally:
        os.close(descriptor)


def stamp_of(path: Path, contracts: Path, content: bytes) -> Stamp:
    """Return the stamp of the files that a routing.yaml names: its contracts and the value lists next to it."""
    return fingerprint(contracts) + tuple(
        _stamp(path.parent, name) for name in list_files(content.decode(errors="ignore"))
    )


def _stamp(directory: Path, name: str) -> tuple[str, int, int, int]:
    try:
        status = (directory / name).stat()
    except (OSError, ValueError):
        return name, 0, 0, 0
    return name, status.st_mtime_ns, status.st_size, status.st_ino


def _read(descriptor: int) -> bytes:
    """Return at most MAX_BYTES + 1 bytes."""
    chunks = bytearray()
    while len(chunks) <= MAX_BYTES and (chunk := os.read(descriptor, MAX_BYTES + 1 - len(chunks))):
        chunks += chunk
    return bytes(chunks)


def _unreadable(cause: str | None) -> Problem:
    return Problem(0, "", f"cannot be read: {cause}")


def _is_open_for_writing(descriptor: int) -> bool:
    """Query the kernel with a read lease (fcntl(2), F_SETLEASE), which it refuses while the file has writers.

    A process that opens the file for writing meanwhile waits until the lease is released, microseconds later. The
    signal for a broken lease is set to SIGURG, which is ignored by default.
    """
    if sys.platform != "linux":
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
