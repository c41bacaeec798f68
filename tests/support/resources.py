"""Requests to both backends with the same stored documents, for tests of single resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bson import ObjectId, json_util

from proxy.fuzz.differential import Differential
from proxy.fuzz.execution import Execution
from proxy.types import JSON
from tests.differential.actions import Action, spelled
from tests.differential.people import ABSENT, AMARA, BOLA, TOKEN, claims, sign

UNSAID = object()


def action(method: str, path: str, body: object = UNSAID, *, token: str | None = TOKEN) -> Action:
    """Return a request with a JSON body, or without a body."""
    headers = [] if token is None else [("authorization", f"Bearer {token}")]
    if body is UNSAID:
        return Action(method, path, tuple(headers))
    return Action(method, path, (*headers, ("content-type", "application/json")), spelled(body))  # type: ignore[arg-type]


def as_user(user: JSON) -> str:
    """Return a validly signed token with any value as the user's id."""
    return sign(claims(user))


def extended(document: Mapping[str, object]) -> JSON:
    """Return a document in relaxed extended JSON."""
    text = json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS)
    return json_util.json.loads(text)  # type: ignore[attr-defined, no-any-return]


async def same(
    differential: Differential, before: Mapping[str, Sequence[Mapping[str, object]]], *actions: Action
) -> Execution:
    """Send the actions to both backends and assert equal answers and documents; return legacy's execution."""
    planted = {name: [extended(document) for document in documents] for name, documents in before.items()}
    account = await differential.run(planted, actions)
    assert not account.differing, account.describe()
    return account


def texts(account: Execution) -> list[str]:
    """Return legacy's answers, step by step."""
    return [f"{step.answer.status} {step.answer.text}" for step in account.scenario.steps]


AMARA_ID, BOLA_ID, ABSENT_ID = ObjectId(AMARA), ObjectId(BOLA), ObjectId(ABSENT)
PEOPLE: list[dict[str, object]] = [
    {"_id": AMARA_ID, "username": "amara", "email": "amara@clinic.example", "role": "clinician"},
    {"_id": BOLA_ID, "username": "bola", "email": "bola@clinic.example", "role": "clinician"},
]
