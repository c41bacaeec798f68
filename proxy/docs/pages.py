"""Swagger UI and Redoc from `assets/`: their pages, files and content security policy.

The policy allows loading from this port only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader

ASSETS: Final = Path(__file__).parent / "assets"
_TEMPLATES: Final = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
_LOGO: Final = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
_NOTHING: Final = b"data:,"

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # both pages create styles at run time
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src blob:",  # Redoc's search
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class AssetFile:
    """The body of a response with its media type; `tag` is its entity tag."""

    body: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, name: str, body: bytes) -> AssetFile:
        """Create a file; its media type follows from its name."""
        return cls(body, _TYPES[Path(name).suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its template, and the files below its path."""

    template: str
    directory: str
    files: tuple[str, ...]

    def html(self, at: str, openapi: str, title: str) -> AssetFile:
        """Render the page for the path `at`; `openapi` is the path of its document."""
        text = _TEMPLATES.get_template(self.template).render(at=at, openapi=openapi, title=title)
        return AssetFile.of(self.template, text.encode())

    def file(self, name: str) -> AssetFile:
        """Return one of its files."""
        return _asset(f"{self.directory}/{name}")


SWAGGER: Final = Page(
    "swagger.html", "swagger-ui", ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png")
)
REDOC: Final = Page("redoc.html", "redoc", ("redoc.standalone.js",))


@cache
def _asset(name: str) -> AssetFile:
    """Read a shipped file; the one URL of another host, in Redoc, is removed."""
    return AssetFile.of(name, (ASSETS / name).read_bytes().replace(_LOGO, _NOTHING))
