"""Determine the revision of native that a comparison belongs to. Pure.

It is the `revision` of the route, else IMAGE_REVISION of the environment, which the image sets to its commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.config.models import Config

IMAGE_REVISION: Final = "IMAGE_REVISION"
MAX_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revision of each route: its own, or that of the image; None where neither is set."""

    image: str | None = None
    routes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, environment: Mapping[str, str]) -> Revisions:
        """Return the revisions of a configuration."""
        image = environment.get(IMAGE_REVISION, "").strip()[:MAX_LENGTH] or None
        return cls(image, {route.name: route.revision for route in config.routes if route.revision is not None})

    def of_route(self, route: str) -> str | None:
        """Return the revision of a route."""
        return self.routes.get(route, self.image)


NO_REVISIONS: Final = Revisions()
