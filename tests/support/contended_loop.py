"""A contended event loop: each turn in the fair queue takes passes of the loop, as beside the work of other clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from proxy.fair_queue import FairQueue


@contextmanager
def contended() -> Iterator[None]:
    """Let every pass of the event loop be long, so that all work which may wait is queued."""
    with patch.object(FairQueue, "pass_is_long", True):
        yield
