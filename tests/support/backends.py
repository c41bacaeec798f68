"""Both backends on a MongoDB: the native app in this process, the demo's legacy under Node, a database each."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient
from pymongo.database import Database

from demo.services import DemoLegacy, backend_environment
from handlers.app import create_app
from handlers.settings import Settings
from tests.support.patient_timings import PATIENT
from tests.support.sockets import serving
from tests.support.waiting import BRIEFLY_IDLE, HANG_TIMEOUT

SECRET = "dev-secret"
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Backend:
    """A running backend with a client and its database."""

    client: httpx.AsyncClient
    database: Database[dict[str, Any]]


@contextlib.contextmanager
def scratch_database(mongodb_url: str) -> Iterator[Database[dict[str, Any]]]:
    """Yield a database with a new name, and drop it at the end."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongodb_url)
    name = f"test_{uuid.uuid4().hex[:12]}"
    try:
        yield client[name]
    finally:
        client.drop_database(name)
        client.close()


def token_of(claims: object) -> str:
    """Return a token with any claims and a valid signature."""
    parts = (b'{"alg":"HS256","typ":"JWT"}', json.dumps(claims).encode())
    signed = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), signed.encode(), "sha256"))
    return f"{signed}.{signature.rstrip(b'=').decode()}"


def client_of(port: int) -> httpx.AsyncClient:
    """Return a client that ignores the environment's proxies, and reads no certificates, which takes 20 ms of CPU."""
    base_url = f"http://127.0.0.1:{port}"
    return httpx.AsyncClient(
        base_url=base_url, trust_env=False, verify=False, timeout=HANG_TIMEOUT, limits=BRIEFLY_IDLE
    )


def settings_for(mongodb_url: str, database: str, **changes: object) -> Settings:
    """Return settings of a native app, with the secret of the demo's legacy."""
    return Settings.load(mongodb_url=mongodb_url, database_name=database, jwt_secret_key=SECRET, **changes)


@contextlib.asynccontextmanager
async def native_backend(mongodb_url: str, **changes: object) -> AsyncIterator[Backend]:
    """Run the native app behind the gateway's listener."""
    with scratch_database(mongodb_url) as database:
        app = create_app(settings_for(mongodb_url, database.name, **changes), PATIENT)
        async with app.router.lifespan_context(app), serving(app) as port, client_of(port) as client:
            yield Backend(client, database)


@contextlib.asynccontextmanager
async def legacy_backend(mongodb_url: str, log: Path) -> AsyncIterator[Backend]:
    """Run the demo's legacy, which uses the real libraries."""
    with scratch_database(mongodb_url) as database:
        demo_legacy = DemoLegacy(backend_environment(mongodb_url, NOWHERE, database.name), log)
        demo_legacy.start()
        try:
            async with client_of(demo_legacy.port) as client:
                yield Backend(client, database)
        finally:
            demo_legacy.stop()
