"""Swagger UI and Redoc, as they are shipped in `assets/`: each page, the files it loads, and what it may do at all.

A page's policy lets it load from this port and nowhere else, whatever is in its scripts.
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
        "style-src 'self' 'unsafe-inline'",  # both pages make styles as they run
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
    """Something to answer with; `tag` is its entity tag."""

    body: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, name: str, body: bytes) -> AssetFile:
        """A body, whose type its name tells."""
        return cls(body, _TYPES[Path(name).suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class Page:
    """One of the pages: its template, and the files that stand below its path."""

    template: str
    directory: str
    files: tuple[str, ...]

    def html(self, at: str, openapi: str, title: str) -> AssetFile:
        """The page at a path; `openapi` is the path of what it shows."""
        text = _TEMPLATES.get_template(self.template).render(at=at, openapi=openapi, title=title)
        return AssetFile.of(self.template, text.encode())

    def file(self, name: str) -> AssetFile:
        """One of its files."""
        return _asset(f"{self.directory}/{name}")


SWAGGER: Final = Page(
    "swagger.html", "swagger-ui", ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png")
)
REDOC: Final = Page("redoc.html", "redoc", ("redoc.standalone.js",))


@cache
def _asset(name: str) -> AssetFile:
    """A shipped file as it is, but for the one thing that Redoc would load from elsewhere: its maker's logo."""
    return AssetFile.of(name, (ASSETS / name).read_bytes().replace(_LOGO, _NOTHING))
