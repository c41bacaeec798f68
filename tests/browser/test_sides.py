"""The page in a real Chromium, with either backend or both behind it: every visit is the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from proxy.config.loading import load
from proxy.gateway.routing import RouteTable
from tests.browser.browser_stack import BOTH_SIDES, BrowserStack
from tests.browser.browsing import PAGE, Browsing
from tests.browser.chromium import find_chromium
from tests.browser.visit import Visit, compare_visits, visit

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="no chromium on PATH, and CHROMIUM names none"),
    pytest.mark.asyncio(loop_scope="package"),
]

UNUSED = {"welcome", "transcripts.read", "ai.analyze", "ai.summarise", "transcription", "rest"}
"""Routes for requests that the page never makes, the route of WebSockets, and the catch-all route."""


@dataclass(frozen=True)
class Halved:
    """A visit that both backends served, and the requests that were compared meanwhile, by verdict."""

    visit: Visit
    compared: Counter[str]


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def direct(stack: BrowserStack, browser: Browsing) -> Visit:
    """Record a visit directly to the demo legacy, with which all other visits are compared."""
    stack.reset()
    return await visit(browser, stack.legacy)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def halved(stack: BrowserStack, browser: Browsing) -> AsyncIterator[Halved]:
    """Record a visit to the gateway, of which both backends serve a half and the other one gets each request too."""
    stack.await_shadow()
    before = stack.compared()
    result = await visit_with(browser, stack, **BOTH_SIDES)
    yield Halved(result, stack.compared() - before)


async def test_visit_is_cross_origin_and_calls_nearly_every_endpoint(stack: BrowserStack, halved: Halved) -> None:
    exchanges = halved.visit.log.exchanges
    assert {exchange.answer.status for exchange in exchanges} == {200, 201, 304}
    assert {exchange.headers["origin"] for exchange in exchanges} == {PAGE}
    assert {exchange.answer.headers["access-control-allow-origin"] for exchange in exchanges} == {PAGE}
    assert {exchange.preflight.status for exchange in exchanges if exchange.preflight} == {204}
    assert [conversation.handshake.status for conversation in halved.visit.log.conversations] == [101]
    table = RouteTable(load(stack.routing, {"LEGACY_URL": "http://127.0.0.1"}).routes)
    used = [table.match(exchange.method, exchange.path.encode()) for exchange in exchanges]
    unused = {route.name for route in table.routes} - {match.route.name for match in used if match}
    assert {name for name in unused if not name.startswith("v1")} == UNUSED


async def test_recorded_audio_returns_as_text(halved: Halved) -> None:
    (conversation,) = halved.visit.log.conversations
    kinds = [frame["type"] for frame in conversation.sent if isinstance(frame, dict)]
    assert kinds[0] == "start_recording"
    assert kinds[-1] == "stop_recording"
    assert set(kinds[1:-1]) == {"audio_chunk"}
    assert len(kinds) > 10
    assert "text: heard #k final" in halved.visit.screens["recorded"]


async def test_half_share_with_full_shadow_is_served_by_both(halved: Halved) -> None:
    assert set(sides(halved.visit)) == {"legacy", "native"}
    assert halved.compared["match"] > 10
    assert halved.compared["mismatch"] == halved.compared["violation"] == 0


@pytest.mark.slow  # the shadow above compares the same backends
async def test_half_share_looks_like_legacy(halved: Halved, direct: Visit) -> None:
    assert compare_visits(direct, halved.visit) == []


@pytest.mark.slow
async def test_share_of_zero_serves_all_from_legacy(stack: BrowserStack, browser: Browsing, direct: Visit) -> None:
    result = await visit_with(browser, stack, native="0%")
    assert compare_visits(direct, result) == []
    assert set(sides(result)) == {"legacy"}


@pytest.mark.slow
async def test_full_share_serves_all_from_native(stack: BrowserStack, browser: Browsing, direct: Visit) -> None:
    result = await visit_with(browser, stack, native="100%")
    assert compare_visits(direct, result) == []
    assert set(sides(result)) == {"native"}


@pytest.mark.slow
async def test_visit_with_legacy_down_and_everything_native_succeeds(
    stack: BrowserStack, browser: Browsing, direct: Visit
) -> None:
    stack.reset()
    stack.route({"native": "100%"}, legacy_down=True)
    result = await visit(browser, stack.gateway)
    assert compare_visits(direct, result) == []
    assert set(sides(result)) == {"native"}
    assert any(exchange.preflight for exchange in result.log.exchanges)


async def visit_with(browser: Browsing, stack: BrowserStack, **settings: object) -> Visit:
    stack.reset()
    stack.route(settings)
    return await visit(browser, stack.gateway)


def sides(result: Visit) -> Counter[str]:
    """Count the answers of each backend, including preflights and the WebSocket's handshake."""
    named = [side for exchange in result.log.exchanges for side in exchange.sides]
    named += [conversation.handshake.headers["x-served-by"] for conversation in result.log.conversations]
    return Counter(named)
