"""TCP ports of this machine: free ones, and the processes that listen."""

import contextlib
import errno
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

_LISTEN = "0A"


_UNASSIGNED = range(15_000, 32_000)
"""The range is below the ports that systems give to outgoing connections, one of which could take a free port."""


class PortAllocator:
    """Chooses free ports from a range, and no port twice, because a chosen port may be used only later."""

    def __init__(self, ports: range = _UNASSIGNED) -> None:
        self._ports = ports
        self._given: set[int] = set()

    def take_share(self, index: int, of: int) -> None:
        """Keep every `of`th port from `index` on, so that concurrent processes never choose the same one."""
        self._ports = _UNASSIGNED[index % of :: of]

    def __call__(self) -> int:
        while True:
            port = secrets.choice(self._ports)
            if port not in self._given and is_free(port):
                self._given.add(port)
                return port


free_port = PortAllocator()
"""Return a free port of this machine."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether no process listens on a port; lingering connections do not count.

    A missing address or family, or a privileged port, counts as free: the server then reports the error.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


def owner(port: int) -> str | None:
    """Return the process that listens on `port`, as `name (pid 123)`; None if it is unknown."""
    pid = _owner_by_proc(port) if Path("/proc/net/tcp").exists() else _owner_by_lsof(port)
    if pid is None:
        return None
    name = _name(pid)
    return f"{name} (pid {pid})" if name else f"pid {pid}"


def _owner_by_proc(port: int) -> int | None:
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in sockets:
                        return int(process.name)
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    yield fields[9]


def _owner_by_lsof(port: int) -> int | None:
    if not shutil.which("lsof"):
        return None
    output = subprocess.run(
        ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"], capture_output=True, text=True, check=False
    )
    return int(output.stdout.split()[0]) if output.stdout.split() else None


def _name(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    if shutil.which("ps"):
        output = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return output.stdout.strip() or None
    return None
