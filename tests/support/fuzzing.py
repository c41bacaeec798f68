"""Schemathesis over an app in this process.

It sends examples, the edges of every schema, random requests, and chains of requests; every enabled check is applied to
each answer.

`FUZZ_EXAMPLES` in the environment is the number of random requests for each operation, and five times the number of
chains.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st
from pymongo.database import Database
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.python import asgi
from schemathesis.schemas import BaseSchema
from schemathesis.wfc.escalation import EscalatingAuthProvider
from starlette.types import ASGIApp

from demo.services import backend_environment
from demo.upstreams import create_app as create_upstreams
from handlers.app import create_app
from handlers.services.documents import new_user
from handlers.settings import Settings
from handlers.v1.tokens import Tokens
from tests.support.backends import SECRET, scratch_database
from tests.support.patient_timings import PATIENT
from tests.support.random_seed import seed_of
from tests.support.sockets import threaded

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "1"))
SEED: Final = seed_of(1)
PEOPLE: Final = ("amara", "ben")

Case = schemathesis.Case[Any]

_TOKENS: Final = Tokens(SECRET, 3600)

schemathesis.openapi.format("email", st.from_regex(r"[a-z0-9]{1,12}@[a-z]{2,8}\.(org|example)", fullmatch=True))


@dataclass(frozen=True)
class Finding:
    """A failed check, reported once for each operation; `request` reproduces it."""

    phase: str
    operation: str
    check: str
    message: str
    request: str

    def __str__(self) -> str:
        return f"{self.operation} · {self.check} ({self.phase})\n{self.message}\n{self.request}"


@dataclass(frozen=True)
class Account:
    """The result of a run: the number of requests by phase, the available transitions, and the findings."""

    requests: Mapping[str, int]
    transitions: int
    findings: Sequence[Finding]

    def __str__(self) -> str:
        phases = ", ".join(f"{number} {phase}" for phase, number in self.requests.items())
        listed = "".join(f"\n\n{finding}" for finding in self.findings)
        return f"seed {SEED}: {phases} ({self.transitions} transitions), {len(self.findings)} findings{listed}"


def explore(schema: BaseSchema) -> Account:
    """Run the engine to its end."""
    requests: dict[str, int] = {}
    findings: dict[tuple[str, str], Finding] = {}
    transitions = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.PhaseStarted) and event.payload is not None:
            transitions = event.payload.transitions_total
        if isinstance(event, events.NonFatalError | events.FatalError):
            raise AssertionError(f"Schemathesis itself failed: {event}")
        if isinstance(event, events.ScenarioFinished):
            phase = event.phase.value
            requests[phase] = requests.get(phase, 0) + len(event.recorder.cases)
            for finding in _findings(event):
                findings.setdefault((finding.operation, finding.check), finding)
    account = Account(requests, transitions, tuple(findings.values()))
    print(account, file=sys.stderr)  # noqa: T201 - what `make fuzz` shows
    return account


def _findings(event: events.ScenarioFinished) -> Iterator[Finding]:
    for identity, checks in event.recorder.checks.items():
        for check in checks:
            failure = check.failure_info
            if failure is not None:
                operation = event.recorder.cases[identity].value.operation.label
                yield Finding(event.phase.value, operation, check.name, str(failure.failure), failure.code_sample)


def configured(checks: Mapping[str, object], operations: Iterable[Mapping[str, object]] = ()) -> SchemathesisConfig:
    """Return a configuration with SEED and EXAMPLES; `checks` and `operations` are as in Schemathesis."""
    generation = {"max-examples": EXAMPLES, "database": "none"}
    chains = {**generation, "max-examples": EXAMPLES * 5}
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "suppress-health-check": ["all"],  # texts may be long, and the machine slow
            "generation": generation,
            "phases": {"stateful": {"generation": chains}},
            "checks": dict(checks),
            "operations": list(operations),
        }
    )


class _Fresh:
    """Authentication with a fresh token for each request, because some requests log out."""

    def __init__(self, user: Mapping[str, Any]) -> None:
        self._user = user

    def get(self, _case: Case, _context: schemathesis.AuthContext) -> str:
        return _TOKENS.issue(self._user["_id"], secrets.token_hex(4))

    def set(self, case: Case, token: str, _context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


def let_in(schema: BaseSchema, database: Database[dict[str, Any]]) -> None:
    """Register two clinicians, neither of whom may read the other's documents."""
    users = [new_user(name, f"{name}@clinic.example", "", "clinician") for name in PEOPLE]
    database["users"].insert_many(users)
    schema.auth.providers.append(EscalatingAuthProvider([_Fresh(user) for user in users], list(PEOPLE), peers=PEOPLE))


@contextmanager
def native(mongodb_url: str) -> Iterator[tuple[ASGIApp, Database[dict[str, Any]]]]:
    """Yield the native app, on its own database and the offline services; Schemathesis starts it."""
    with scratch_database(mongodb_url) as database, threaded(create_upstreams(), lifespan="off") as url:
        environment = backend_environment(mongodb_url, url, database.name)
        named: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
        unlimited = dict.fromkeys(("register_limit", "login_limit", "failed_login_limit"), "1000000/second")
        try:
            yield create_app(Settings.load(**named, **unlimited), PATIENT), database
        finally:
            asgi.shutdown_lifespans()
