"""Preflights follow the route of the announced request: on real sockets, with legacy up and down."""

from __future__ import annotations

import pytest

from proxy.config.loading import parse
from proxy.gateway.bucketing import Limit
from proxy.gateway.preflight import match_request, requested_method
from proxy.gateway.routing import RouteTable
from proxy.types import BasisPoints
from tests.support.fallback_gateway import FallbackHarness, legacy, running_fallbacks
from tests.support.sockets import scripted

CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
bucketing: {key: jwt:userID}
overrides: {header: x-side, secret: 0123456789abcdef}
routes:
  - {name: new, match: GET /things, native: 100%}
  - {name: some, match: POST /things, native: 25%}
  - {name: old, match: PUT /things}
  - {name: covered, match: PATCH /things, on_legacy_down: native}
  - {name: pinned, match: DELETE /things, native: 25%, pin: legacy}
  - {name: stream, match: WS /things, native: 100%}
  - {name: own, match: OPTIONS /own, native: 0%}
  - {name: owned, match: GET /own, native: 100%}
  - {name: addressed, match: GET /addressed, native: 50%}
"""
TABLE = RouteTable(parse(CONFIG, {}).routes)


async def preflight(harness: FallbackHarness, method: str, target: str = "/things") -> str:
    """Return the answer's status and side."""
    headers = (f"Access-Control-Request-Method: {method}", "Origin: http://localhost:3000")
    return (await harness.send(target, *headers, method="OPTIONS"))[0]


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("OPTIONS", {"origin": "http://a", "access-control-request-method": "PUT"}, "PUT"),
        ("OPTIONS", {"access-control-request-method": "PUT"}, None),
        ("OPTIONS", {"origin": "http://a"}, None),
        ("OPTIONS", {"origin": "http://a", "access-control-request-method": ""}, None),
        ("OPTIONS", {"origin": "http://a", "access-control-request-method": "WS"}, None),
        ("GET", {"origin": "http://a", "access-control-request-method": "PUT"}, None),
    ],
)
def test_preflight_has_an_origin_and_a_method(method: str, headers: dict[str, str], expected: str | None) -> None:
    assert requested_method(method, [(name.encode(), value.encode()) for name, value in headers.items()]) == expected


@pytest.mark.parametrize(
    ("requested", "path", "route"),
    [
        (b"GET", b"/things", "new"),
        (b"HEAD", b"/things", "new"),
        (b"DELETE", b"/things", "pinned"),
        (b"WS", b"/things", None),
        (b"LINK", b"/things", None),
        (b"GET", b"/own", "own"),
        (b"PUT", b"/own", "own"),
    ],
)
def test_preflight_matches_the_requested_method(requested: bytes, path: bytes, route: str | None) -> None:
    headers = [(b"origin", b"http://a"), (b"access-control-request-method", requested)]
    match = match_request(TABLE, "OPTIONS", headers, path)
    assert (match.route.name if match else None) == route
    assert match is None or match.preflight is (route != "own")


@pytest.mark.parametrize(
    ("requested", "path", "route", "preflight"),
    [
        (b"GET", b"/things", "new", True),
        (b"LINK", b"/things", "rest", True),
        (b"GET", b"/elsewhere", "rest", True),
        (b"GET", b"/own", "own", False),
    ],
)
def test_catch_all_route_takes_no_preflight_of_another(
    requested: bytes, path: bytes, route: str, preflight: bool
) -> None:
    table = RouteTable(parse(f'{CONFIG}  - {{name: rest, match: "* /*"}}\n', {}).routes)
    headers = [(b"origin", b"http://a"), (b"access-control-request-method", requested)]
    match = match_request(table, "OPTIONS", headers, path)
    assert match is not None
    assert (match.route.name, match.preflight) == (route, preflight)


def test_other_options_request_matches_as_itself() -> None:
    match = match_request(TABLE, "GET", [], b"/things")
    assert match is not None
    assert not match.preflight
    assert match_request(TABLE, "OPTIONS", [(b"origin", b"http://a")], b"/things") is None


@pytest.mark.parametrize(
    ("method", "up", "down"),
    [
        ("GET", "200 native", "200 native"),
        ("POST", "200 legacy", "200 native"),
        ("PUT", "200 legacy", "502 gateway"),
        ("PATCH", "200 legacy", "200 native"),
        ("DELETE", "200 legacy", "502 gateway"),
        ("LINK", "200 legacy", "502 gateway"),
    ],
)
async def test_preflight_reaches_the_side_that_has_callers(method: str, up: str, down: str) -> None:
    async with scripted(legacy) as port, running_fallbacks(port, CONFIG) as harness:
        assert await preflight(harness, method) == up
    async with running_fallbacks(None, CONFIG) as harness:
        assert await preflight(harness, method) == down


async def test_options_without_a_preflight_goes_to_legacy() -> None:
    async with running_fallbacks(None, CONFIG) as harness:
        assert (await harness.send("/things", method="OPTIONS"))[0] == "502 gateway"


@pytest.mark.parametrize(("cap", "answer"), [(0, "502 gateway"), (100, "200 native")])
async def test_preflight_of_a_capped_route_uses_native_above_zero(cap: int, answer: str) -> None:
    async with running_fallbacks(None, CONFIG) as harness:
        harness.gateway.limits = {"some": Limit(cap=BasisPoints(cap))}
        assert await preflight(harness, "POST") == answer


async def test_legacy_answers_a_preflight_that_native_fails() -> None:
    text = CONFIG.replace("jwt:userID", "client-ip").replace("native: 50%", "native: 99.99%")
    async with scripted(legacy) as port, running_fallbacks(port, text) as harness:
        harness.native.status = 503
        assert await preflight(harness, "GET", "/addressed") == "200 legacy"
        assert await preflight(harness, "GET") == "503 native"  # no caller is left on legacy


async def test_preflight_is_not_counted_as_a_request_of_the_route() -> None:
    async with running_fallbacks(None, CONFIG) as harness:
        await preflight(harness, "GET")
        (record,) = harness.observed
    assert (record.method, record.route, record.template, record.backend) == ("OPTIONS", None, "/things", "native")
