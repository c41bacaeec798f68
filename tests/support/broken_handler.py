"""Services and documents for tests of a native handler that is broken on purpose."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from typing import Any, Final, TypeVar

from bson import ObjectId
from pymongo.database import Database

from demo.services import Service
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import get
from tests.support.clinic import CONSULTATION, DOCUMENTS

S = TypeVar("S", bound=Service)
NOTES: Final = get(f"/api/notes/{CONSULTATION}", FOREVER)


def begin(running: ExitStack, service: S) -> S:
    running.callback(service.stop)
    service.start()
    return service


def plant(database: Database[dict[str, Any]]) -> None:
    """Store a consultation with two notes, so that their order shows; every date is explicit."""
    second = {**DOCUMENTS["notes"][0], "_id": ObjectId(), "body": "second", "created_at": datetime(2026, 1, 3)}
    for name, documents in {**DOCUMENTS, "notes": [*DOCUMENTS["notes"], second]}.items():
        dates = dict.fromkeys(("created_at", "updated_at", "started_at"), datetime(2026, 1, 2))
        database[name].insert_many([{**dates, **document} for document in documents])
