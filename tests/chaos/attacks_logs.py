"""A standard output that is unread, closed or full loses log lines, but no request."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.chaos.figures import Attack, Figures, Setup
from tests.chaos.target import Target

REQUESTS: Final = 1_600
"""Each writes a log line; a pipe holds 64 KiB."""
CONCURRENCY: Final = 16


async def write_logs(target: Target) -> Figures:
    """Send requests that are logged; count those that fail."""
    failed = 0

    async def send(count: int) -> None:
        nonlocal failed
        for _ in range(count):
            try:
                failed += (await target.client.get(f"{target.url}/api/notes/a")).status_code != 401
            except OSError:
                failed += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONCURRENCY):
            tasks.create_task(send(REQUESTS // CONCURRENCY))
    return {"requests": REQUESTS, "failed": failed, "RSS, MiB": target.peak_rss()}


ATTACKS: Final = [
    Attack("stdout unread", write_logs, Setup(stdout="unread"), quick=True),
    Attack("stdout closed", write_logs, Setup(stdout="closed")),
    Attack("stdout on a full disk", write_logs, Setup(stdout="full")),
]
