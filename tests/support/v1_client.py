"""`/api/v1` of the native app behind the gateway's listener, with offline outside services and registered people."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from bson import ObjectId
from pymongo.database import Database

from demo.services import backend_environment
from handlers.app import create_app
from handlers.container import ServiceTimings
from handlers.services.documents import new_user
from handlers.settings import Settings
from handlers.v1.tokens import Tokens
from proxy.server.memory_budget import BUDGET_KEY, MemoryBudget
from tests.support.backend_pair import Outside
from tests.support.backends import SECRET, client_of, scratch_database
from tests.support.outside_services import lasting
from tests.support.patient_timings import PATIENT
from tests.support.sockets import serving
from tests.support.websocket_server import with_state

V1: Final = "/api/v1"
TOKENS: Final = Tokens(SECRET, 3600)
NOBODY: Final = "0123456789abcdef01234567"

PASSWORD: Final = "correct horse"
"""The password of those who sign up."""


@dataclass(frozen=True)
class Person:
    """A person whose requests have a token."""

    surface: Surface
    identity: ObjectId
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request to a path below `/api/v1`."""
        headers = {**self.headers, **request.pop("headers", {})}
        return await self.surface.client.request(method, V1 + path, headers=headers, **request)

    async def get(self, path: str, **request: Any) -> Any:
        """Send a GET and return the JSON of its 200."""
        return expect(200, await self.send("GET", path, **request))

    async def post(self, path: str, body: object, status: int = 201) -> Any:
        """Send a POST, assert its status and return the JSON."""
        return expect(status, await self.send("POST", path, json=body))

    async def start(self) -> Any:
        """Start a consultation and return it."""
        return await self.post("/consultations/start", {}, 200)


@dataclass(frozen=True)
class Surface:
    """The running app with a client, its database and its outside calls."""

    client: httpx.AsyncClient
    database: Database[dict[str, Any]]
    port: int
    outside: Outside = field(default_factory=Outside)
    budget: MemoryBudget = field(default_factory=MemoryBudget)

    def person(self, role: str = "clinician", name: str = "amara") -> Person:
        """Return a new person without a password, because hashing one is slow."""
        user = new_user(name, f"{ObjectId()}@clinic.example", "", role)
        self.database["users"].insert_one(user)
        return Person(self, user["_id"], TOKENS.issue(user["_id"], name))


def expect(status: int, answer: httpx.Response) -> Any:
    """Assert the status of an answer and return its JSON."""
    assert answer.status_code == status, (answer.request.method, str(answer.request.url), answer.text)
    return answer.json() if answer.content else None


@contextlib.asynccontextmanager
async def v1_surface(
    mongodb_url: str, timings: ServiceTimings = PATIENT, /, **changes: object
) -> AsyncIterator[Surface]:
    """Run the native app with some settings changed."""
    outside = Outside()
    with scratch_database(mongodb_url) as database:
        async with lasting(outside) as beyond:
            environment = backend_environment(mongodb_url, f"http://127.0.0.1:{beyond}", database.name)
            named = {name.lower(): value for name, value in environment.items()}
            app = create_app(Settings.load(**{**named, **changes}), timings)
            budget = MemoryBudget()
            budgeted = with_state(app, {BUDGET_KEY: budget})
            async with (
                app.router.lifespan_context(app),
                serving(budgeted, lifespan="on") as port,
                client_of(port) as client,
            ):
                yield Surface(client, database, port, outside, budget)


async def sign_up(surface: Surface) -> str:
    email = f"{ObjectId()}@clinic.example"
    user = {"username": "amara", "email": email, "password": PASSWORD, "role": "clinician"}
    expect(201, await surface.client.post(f"{V1}/users/register", json=user))
    return email


async def log_in(surface: Surface, email: str, password: str) -> httpx.Response:
    return await surface.client.post(f"{V1}/users/login", json={"email": email, "password": password})
