"""Options of a run. Pure; imported without the extra `fuzz`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FuzzBackend:
    """One backend: URL, database, list of outside calls. The latter are neither reset nor compared if None."""

    url: str
    mongodb_url: str | None = None
    database: str | None = None
    calls_url: str | None = None

    @property
    def urls(self) -> list[str]:
        """Return all URLs that a run uses."""
        return [url for url in (self.url, self.mongodb_url, self.calls_url) if url]


@dataclass(frozen=True)
class FuzzOptions:
    """Options of a search: `seconds` in all, `hang_after` seconds for an answer, and its limits.

    `contracts` holds openapi.yaml and may hold divergences.yaml and recordings/, which `recordings` replaces. `strict`
    compares as `PlayerSettings.strict`.
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
    strict: bool = False
