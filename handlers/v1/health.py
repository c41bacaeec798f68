"""`GET /health`: that the process answers. The legacy has no such path, so it is v1's only where `routing.yaml` says
so: by a route of its own for `/health` that gives it to native. By a route that takes it among others it stays the
legacy's, whose dialect answers as the legacy does.
"""

from typing import Final, Literal

from starlette.types import Scope

from handlers.v1.routing import create_router
from handlers.v1.schemas import ResponseModel

PATH: Final = "/health"

router = create_router("service")


class Health(ResponseModel):
    """A sign of life."""

    status: Literal["healthy"] = "healthy"


def is_routed(scope: Scope) -> bool:
    """Whether a request came by a route for `/health` alone: the gateway notes a route's path in the scope."""
    return scope["path"] == PATH and scope.get("proxy.template") == PATH


@router.get(PATH)
async def health() -> Health:
    """Tell that the process answers. There only by a route of its own in `routing.yaml`."""
    return Health()
