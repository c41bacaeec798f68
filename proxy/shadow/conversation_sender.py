"""Send conversations to the shadow process, in parts that do not block the gateway's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from common.background_tasks import BackgroundTasks
from proxy.comparison.conversation import split_chunks
from proxy.shadow.messages import CompareConversation, ConversationPart

PART_SIZE: Final = 256 * 1024
"""Maximum size in bytes of a part."""
PART_INTERVAL: Final = 0.01
"""Seconds between two parts."""

SendMessage: TypeAlias = Callable[[ConversationPart | CompareConversation], None]


class ConversationSender:
    """Sends conversations by `send`, as long as `is_pending` returns True for their number."""

    def __init__(self, send: SendMessage, is_pending: Callable[[int], bool]) -> None:
        self._send, self._is_pending = send, is_pending
        self._tasks = BackgroundTasks()

    def submit(self, job: CompareConversation) -> None:
        """Begin to send a conversation."""
        self._tasks.start(self._run(job))

    def cancel(self) -> None:
        """Stop sending."""
        self._tasks.cancel()

    async def _run(self, job: CompareConversation) -> None:
        for part in split_chunks(job.raw.chunks, PART_SIZE):
            if not self._is_pending(job.number):
                return  # the process that received the earlier parts has ended
            self._send(ConversationPart(job.number, part))
            await asyncio.sleep(PART_INTERVAL)
        if self._is_pending(job.number):
            self._send(job._replace(raw=job.raw._replace(chunks=())))
