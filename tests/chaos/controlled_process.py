"""A part of an attack in a separate process, controlled by lines on its standard input and answered with JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

ANSWER_LIMIT: Final = 1 << 24
"""Maximum bytes of one answer."""
AUTOGROUP: Final = Path("/proc/self/autogroup")
"""The nice value of this process's session, as a group."""


class ControlledProcess:
    """A running process that answers commands."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, module: str, *arguments: object) -> AsyncIterator[Self]:
        """Run a module with one argument, a list in JSON; it has started once it has answered the first command."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, json.dumps(arguments)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=ANSWER_LIMIT,
        )
        try:
            controlled = cls(process)
            await controlled.command("started")
            yield controlled
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def command(self, command: str) -> Any:
        """Return the answer to a command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        return json.loads(await self._process.stdout.readline())


async def answer_commands(commands: Mapping[str, Callable[[], object]]) -> None:
    """Answer each line of standard input with the result of its command, null for others, until the input ends."""
    while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
        call = commands.get(command)
        sys.stdout.write(json.dumps(call() if call is not None else None) + "\n")
        sys.stdout.flush()


def _lower_group() -> None:
    """Lower the priority of this process's session. The kernel accepts that only once in a tenth of a second."""
    while True:
        try:
            AUTOGROUP.write_text("19")
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return


def yield_to_others() -> None:
    """Run this process only while no other wants the core: attackers have machines of their own in reality.

    The kernel shares cores between sessions first (sched(7), autogroups), and obeys SCHED_IDLE only within one.
    """
    os.setsid()
    with contextlib.suppress(FileNotFoundError):
        _lower_group()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
