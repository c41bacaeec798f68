"""The options of a run. Pure, and imported without the extra `fuzz`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FuzzBackend:
    """The URL of one backend, its database and its list of outside calls; None is neither reset nor compared."""

    url: str
    mongodb_url: str | None = None
    database: str | None = None
    calls_url: str | None = None

    @property
    def urls(self) -> list[str]:
        """Return every URL that a run would use."""
        return [url for url in (self.url, self.mongodb_url, self.calls_url) if url]


@dataclass(frozen=True)
class FuzzOptions:
    """How to search: `seconds` in all, `hang_after` seconds for an answer, at most `max_findings` and `max_sequences`.

    `contracts` holds openapi.yaml and may hold divergences.yaml and recordings/, which `recordings` replaces.
    """

    contracts: Path
    seconds: float
    seed: int
    hang_after: float = 1.5
    max_findings: int = 20
    max_sequences: int | None = None
    recordings: Path | None = None
    plugin: str | None = None
    divergences: tuple[Path, ...] = ()
