"""Both APIs of the native app under Schemathesis: every answer is one that the OpenAPI describes."""

from __future__ import annotations

from typing import Any, Final

import pytest
import schemathesis
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.services import ROOT
from handlers.v1.app import OPENAPI
from proxy.contract import divergences
from proxy.contract.divergences import Divergence
from proxy.docs.openapi import read_contract
from tests.support.fuzzing import EXAMPLES, Account, configured, explore, let_in, native

pytestmark = [pytest.mark.timeout(300 + 120 * EXAMPLES), pytest.mark.seeded]

ACCEPTED: Final = ["2xx", "401", "403", "404", "409"]
UNPROMISED: Final = (  # properties that neither the legacy nor its contract has
    "not_a_server_error",  # the legacy answers many faulty requests with 500
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",  # a deleted prompt can be deleted again
    "object_level_authorization",  # anybody reads the notes on anybody's consultation
)


def routed(app: ASGIApp) -> ASGIApp:
    """Return the scope that the gateway passes on for a route of `/health` alone."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        named = {"proxy.template": "/health"} if scope.get("path") == "/health" else {}
        await app({**scope, **named}, receive, send)

    return pass_on


def assert_sound(account: Account, *, requests: int) -> None:
    assert not account.findings, str(account)
    assert sum(account.requests.values()) >= requests
    assert account.requests["stateful"] > 0
    assert account.transitions > 0


@pytest.mark.slow
def test_v1_satisfies_its_openapi(mongodb_url: str) -> None:
    taken = {  # an address that is taken is a 400
        "include-name": "POST /api/v1/users/register",
        "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "400"]}},
    }
    config = configured({"positive_data_acceptance": {"expected-statuses": ACCEPTED}}, [taken])
    with native(mongodb_url) as (app, database):
        schema = schemathesis.openapi.from_asgi(OPENAPI, routed(app), config=config)
        let_in(schema, database)
        assert_sound(explore(schema), requests=500)


def as_native_answers(contract: dict[str, Any], declared: tuple[Divergence, ...]) -> dict[str, Any]:
    """Return the contract, with those answers of native alone that divergences.yaml declares."""
    for divergence in declared:
        for case in divergence.when:
            method, _, path = (case.operation or divergence.operation).partition(" ")
            operation = contract["paths"].get(path, {}).get(method.lower())
            if operation is not None and case.native.status is not None:
                _allow(operation["responses"], str(case.native.status), divergence.native)
    return contract


def _allow(responses: dict[str, Any], status: str, description: str) -> None:
    known = responses.get(status, {"description": description})
    if "application/json" not in known.get("content", {}):
        content = {"content": {**known["content"], "application/json": {}}} if "content" in known else {}
        responses[status] = {"description": known["description"], **content}


@pytest.mark.slow  # recordings, which native answers alike, satisfy the contract in tests/proxy/cli/test_contracts.py
def test_legacy_api_satisfies_its_contract(mongodb_url: str) -> None:
    declared = divergences.load(ROOT / "contracts" / "divergences.yaml")
    contract = as_native_answers(read_contract(ROOT / "contracts" / "openapi.yaml"), declared)
    del contract["paths"]["/transcription-stream"]  # a WebSocket
    any_token = {"include-name": "POST /users/logout", "checks": {"ignored_auth": {"enabled": False}}}
    config = configured({name: {"enabled": False} for name in UNPROMISED}, [any_token])
    with native(mongodb_url) as (app, database):
        schema = schemathesis.openapi.from_dict(contract, config=config)
        schema.app = app
        let_in(schema, database)
        assert_sound(explore(schema), requests=300)
