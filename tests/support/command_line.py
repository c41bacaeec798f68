"""Commands of `scribe-proxy`, in this process and in one of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from demo.ports import free_port
from proxy.cli.main import main
from proxy.cli.serve import serve
from tests.support.gateway_process import get


def check(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner(env=env).invoke(main, ["check", *map(str, arguments)])


PROGRAM = Path(sys.executable).with_name("scribe-proxy")


@asynccontextmanager
async def served(
    file: Path, *options: str, timeout: float = 300.0
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, int]]:
    """Run `serve` on two free ports until the end of the block."""
    port, ops = free_port(), free_port()
    command = [str(PROGRAM), "serve", "--config", str(file), "--port", str(port), "--ops-port", str(ops), *options]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        await _wait_until_ready(process, ops, timeout)
        yield process, port, ops
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers too, who would hold its output open
        await process.communicate()


async def _wait_until_ready(process: asyncio.subprocess.Process, ops: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.returncode is None:
        try:
            await get(ops, "/healthz")
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    errors = await process.stderr.read() if process.returncode is not None and process.stderr is not None else b""
    raise AssertionError(f"the gateway did not start: {process.returncode} {errors.decode()}")


def run_serve(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(serve, [str(argument) for argument in arguments])
    return result.exit_code, result.output
