"""`python -m tests.differential --minutes N`: `scribe-proxy fuzz` between the demo legacy and the native app.

Starts both backends, each with a database and outside services, and passes all arguments to the command.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from typing import Final

from demo.mongod import mongodb
from proxy.fuzz.options import FuzzBackend
from tests.differential.runner import CONTRACTS
from tests.differential.sides import sides

COMMAND: Final = "from proxy.cli.main import main; main()"
PLUGIN: Final = "tests.differential.plugin"


def arguments_for(legacy: FuzzBackend, native: FuzzBackend) -> list[str]:
    """Return the command's options for two running sides."""
    options = {
        "--legacy": legacy.url,
        "--native": native.url,
        "--contracts": CONTRACTS,
        "--mongodb-url": legacy.mongodb_url,
        "--legacy-database": legacy.database,
        "--native-database": native.database,
        "--legacy-calls-url": legacy.calls_url,
        "--native-calls-url": native.calls_url,
        "--plugin": PLUGIN,
    }
    return [str(part) for option in options.items() for part in option]


async def run(arguments: list[str]) -> int:
    """Start both sides and the command as a process of its own; return its exit code."""
    log = Path(tempfile.mkdtemp(prefix="fuzz-"))
    logging.basicConfig(filename=log / "native.log", force=True)
    with mongodb() as url:
        async with sides(url, log / "legacy.log", f"fuzz_{log.name[5:]}") as both:
            command = [sys.executable, "-c", COMMAND, "fuzz", *arguments_for(*both), *arguments]
            process = await asyncio.create_subprocess_exec(*command)
            return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1:])))
