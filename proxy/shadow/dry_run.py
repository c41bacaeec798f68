"""The ASGI extension `proxy.dry_run`: marks a write as a dry run and lets the native app report what it would write.

An app declares support in its lifespan's state: `state["proxy.dry_run"] = True`. Other apps receive no writes. The
scope of a dry run has

    scope["extensions"]["proxy.dry_run"] = {"deadline": seconds, "report": callable}

The app answers as usual within `deadline` seconds, stores nothing and calls no outside service. Before its answer it
calls `report` with the writes that it would make, as mappings of `collection`, `operation` (`insert`, `update`,
`delete`) and `document`, `filter` or `update`; or with None if it declines the dry run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from starlette.types import ASGIApp

from proxy.comparison.body_digests import MAX_CONTENT
from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason
from proxy.shadow.messages import RequestSnapshot
from proxy.shadow.replay import Bounds, replay_request
from proxy.types import JSON

EXTENSION: Final = "proxy.dry_run"

Writes = Sequence[Mapping[str, JSON]]


def supports_dry_run(state: Mapping[str, Any]) -> bool:
    """Return True if an app's lifespan state declares support for dry runs."""
    return state.get(EXTENSION) is True


class DryRunExchange:
    """One dry run; `writes` are those reported by the app."""

    def __init__(self) -> None:
        self.writes: Writes = ()
        self._declined = False

    async def run(self, app: ASGIApp, request: RequestSnapshot, bounds: Bounds) -> Exchange | Reason:
        """Return the app's answer, or the reason why there is nothing to compare.

        Raises:
            UncancellableAppError: the app ignores its cancellation.
        """
        extension = {"deadline": max(0.0, bounds.deadline - time.monotonic()), "report": self._record}
        bounds = replace(bounds, by_role=True, ceiling=max(bounds.ceiling, MAX_CONTENT))
        result = await replay_request(app, request, bounds, extensions={EXTENSION: extension})
        return "write_not_allowed" if self._declined else result

    def _record(self, writes: Writes | None) -> None:
        self._declined = writes is None
        self.writes = writes or ()
