"""The lifespan of ASGI apps in tests that have nothing to start or stop."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send


async def complete_lifespan(receive: Receive, send: Send) -> None:
    """Confirm start-up and shutdown."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def declare_dry_runs(scope: Scope, receive: Receive, send: Send) -> None:
    """Confirm start-up and shutdown of an app that supports dry runs of writes."""
    scope["state"]["proxy.dry_run"] = True
    await complete_lifespan(receive, send)
