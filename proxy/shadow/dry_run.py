"""The ASGI extension `proxy.dry_run`: how a native app is told that a write is a dry run, and what it tells back.

An app declares in its lifespan's state that it knows the extension: `state["proxy.dry_run"] = True`. One that does
not is never given a write. In the scope it then finds

    scope["extensions"]["proxy.dry_run"] = {"deadline": seconds, "report": callable}

and is to answer as ever, but to leave nothing behind and to ask no outside service, within so many seconds. Before it
answers it calls `report` with what it would have written, as mappings of `collection`, `operation` (`insert`, `update`,
`delete`) and `document`, `filter` or `update`; or with None where it cannot rehearse.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.types import ASGIApp

from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason
from proxy.shadow.messages import RequestSnapshot
from proxy.shadow.replay import Bounds, ask
from proxy.types import JSON

EXTENSION: Final = "proxy.dry_run"

Writes = Sequence[Mapping[str, JSON]]


def declares(state: Mapping[str, Any]) -> bool:
    """Whether an app declares, in its lifespan's state, that it can rehearse."""
    return state.get(EXTENSION) is True


class DryRunExchange:
    """One dry run; `wrote` is what the app told that it would have written."""

    def __init__(self) -> None:
        self.wrote: Writes = ()
        self._declined = False

    async def run(self, app: ASGIApp, asked: RequestSnapshot, bounds: Bounds) -> Exchange | Reason:
        """What the app answers, or why there is nothing to compare. Raises StubbornError."""
        announced = {"deadline": max(0.0, bounds.deadline - time.monotonic()), "report": self._note}
        found = await ask(app, asked, bounds, {"extensions": {EXTENSION: announced}})
        return "write_not_allowed" if self._declined else found

    def _note(self, writes: Writes | None) -> None:
        self._declined = writes is None
        self.wrote = writes or ()
