"""Reads that were served without a task, submitted to the shadow process in batches.

Only references are stored when a read is served. The rest is done when a batch is sent: several reads in a tight loop
cost a fraction of the same work between two requests.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from proxy.shadow.messages import AnsweredRead
from proxy.shadow.mirror import DirectRead

MAX_WAITING_BYTES: Final = 1024 * 1024
"""Bytes of bodies from which waiting reads are submitted before the next batch is due."""
READS_PER_STEP: Final = 4
"""Reads to prepare in one iteration of the event loop: each takes tens of microseconds, for which clients wait."""
MAX_STEPS: Final = 16
"""Iterations for one batch: more reads than `READS_PER_STEP` may come in each of them."""


class DirectReadQueue:
    """Reads in the order in which they were served, until they are part of a batch.

    A batch is what waits when it begins; reads that come meanwhile are the next one. `prepare` returns a read as the
    process gets it, None if it is not part of the batch. `send` gets the reads of each batch that has some.
    """

    def __init__(
        self, prepare: Callable[[DirectRead], AnsweredRead | None], send: Callable[[list[AnsweredRead]], None]
    ) -> None:
        self._prepare: Final = prepare
        self._send: Final = send
        self._waiting: Final = deque[DirectRead]()
        self._size = 0
        self._left, self._per_step = 0, READS_PER_STEP
        self._prepared: list[AnsweredRead] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, read: DirectRead) -> bool:
        """Add a read; return True if it can wait for the next batch, False if all have been submitted."""
        self._waiting.append(read)
        self._size += len(read.body)
        if self._size <= MAX_WAITING_BYTES:
            return True
        while self._waiting:
            self.step()
        return False

    def step(self) -> bool:
        """Prepare some reads of the batch; return True before the last of them, which sends it."""
        if not self._left:
            self._left = len(self._waiting)
            self._per_step = max(READS_PER_STEP, math.ceil(self._left / MAX_STEPS))
        for _ in range(min(self._per_step, self._left)):
            self._left -= 1
            read = self._waiting.popleft()
            self._size -= len(read.body)
            answered = self._prepare(read)
            if answered is not None:
                self._prepared.append(answered)
        if self._left:
            return True
        prepared, self._prepared = self._prepared, []
        if prepared:
            self._send(prepared)
        return False
