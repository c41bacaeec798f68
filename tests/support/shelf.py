"""A small service for the fuzzer: books on FastAPI, with integer ids, no database, and selectable faults.

Its contract is FastAPI's own document, with a link from a new book to its page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, Field

FAULTS: Final = ("gone", "long", "header")
LINKS: Final = {"show": {"operationId": "show", "parameters": {"number": "$response.body#/number"}}}


class NewBook(BaseModel):
    """A new book."""

    title: str = Field(max_length=20)
    pages: int = Field(ge=1, le=5000)


class Book(NewBook):
    """A book with its number."""

    number: int


def create_shelf(fault: str = "") -> FastAPI:
    """Return the service; `fault` names its fault."""
    app = FastAPI(title="Shelf", version="1")
    books: dict[int, Book] = {}

    @app.post("/books", status_code=201, operation_id="add", responses={201: {"links": LINKS}})
    async def add(book: NewBook) -> Book:
        added = Book(number=len(books) + 1, **book.model_dump())
        books[added.number] = added
        return added

    @app.get("/books/{number}", operation_id="show", responses={404: {"description": "No such book"}})
    async def show(number: int, response: Response) -> Book:
        if number not in books:
            raise HTTPException(410 if fault == "gone" else 404, "no such book")
        book = books[number]
        if fault == "header":
            response.headers["x-shelf"] = "1"
        return book.model_copy(update={"pages": 20}) if fault == "long" and book.pages > 20 else book

    @app.get("/books", operation_id="list")
    async def list_books(limit: int = 3) -> list[Book]:
        return sorted(books.values(), key=lambda book: -book.number)[: max(limit, 0)]

    return app


def write_contract(directory: Path) -> Path:
    """Write the contract where the command reads it; return its directory."""
    document: dict[str, Any] = create_shelf().openapi()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "openapi.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return directory
