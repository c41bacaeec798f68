"""`GET /health`, which shows that the process answers.

The legacy has no such path. v1 answers it only if `routing.yaml` has a route for exactly `/health` that selects
native. Under a wider route, the legacy dialect answers as the legacy does.
"""

from typing import Final, Literal

from starlette.types import Scope

from handlers.v1.routing import create_router
from handlers.v1.schemas import ResponseModel

PATH: Final = "/health"

router = create_router("service")


class Health(ResponseModel):
    """The health of the process."""

    status: Literal["healthy"] = "healthy"


def is_routed(scope: Scope) -> bool:
    """Return whether the request's route is exactly `/health`; the gateway stores a route's path in the scope."""
    return scope["path"] == PATH and scope.get("proxy.template") == PATH


@router.get(PATH)
async def health() -> Health:
    """Report that the process answers. Available only by a route of its own in `routing.yaml`."""
    return Health()
