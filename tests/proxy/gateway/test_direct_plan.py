"""Plans: the requests that have one, and its end with the configuration or the shares."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest
from starlette.types import Receive, Scope, Send

from proxy.config.loading import parse
from proxy.gateway import bucketing
from proxy.gateway.direct_plan import DirectPlanner
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_record import RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.starting import Progressed, StartedRequest, StartRequest
from proxy.gateway.timeouts import Timeouts
from proxy.server.head_parser import HeadParser
from proxy.server.known_heads import KnownHeads
from proxy.server.request_head import RequestHead
from proxy.types import BasisPoints, HeaderFields
from tests.support.sockets import serving

LEGACY = "legacy: {url: 'http://127.0.0.1:1'}\nnative: a:b\n"
ROUTES = """
routes:
  - {name: kept, match: GET /kept}
  - {name: half, match: GET /half, native: 50%}
  - {name: moved, match: GET /moved, native: 100%}
  - {name: shadowed, match: GET /shadowed, shadow: 100%}
  - {name: sampled, match: GET /sampled, shadow: 50%}
  - {name: dry, match: DELETE /dry, shadow: {share: 100%, writes: dry_run}}
  - {name: all, match: 'GET /*'}
"""
COOKIE = "bucketing: {cookie: {name: sticky}}\n"


class StartingLegacy:
    """Answers each request, and records its target and how it was sent."""

    def __init__(self) -> None:
        self.started: list[tuple[bytes, HeaderFields, bytes]] = []
        self.awaited: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.awaited.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def prepare(
        self, method: str, target: bytes, headers: HeaderFields, timeouts: Timeouts | None
    ) -> StartRequest | None:
        def start(request_id: bytes, progressed: Progressed) -> StartedRequest | None:
            started = Answered()
            self.started.append((target, headers, request_id))
            asyncio.get_running_loop().call_soon(progressed, started)
            return started

        return start


class Answered:
    """A started request that is answered at once."""

    def finish(self) -> tuple[int, HeaderFields, bytes] | None:
        return 204, (), b""


async def native(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def snapshot(legacy: StartingLegacy, text: str = LEGACY + ROUTES) -> RoutingSnapshot:
    return RoutingSnapshot.of(parse(text, {}, "test.yaml"), legacy, native)


def head(path: str, *headers: str, method: str = "GET") -> RequestHead:
    raw = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()
    known, parsed = KnownHeads(), None
    for _ in range(4):
        parsed, _ = HeadParser(known).feed(raw)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize("shadows", [False, True])
@pytest.mark.parametrize(
    ("line", "routes", "planned"),
    [
        ("GET /kept", ROUTES, True),
        ("GET /other", ROUTES, True),
        ("GET /half", ROUTES, False),
        ("GET /moved", ROUTES, False),
        ("GET /shadowed", ROUTES, True),
        ("HEAD /shadowed", ROUTES, True),
        ("GET /sampled", ROUTES, False),
        ("DELETE /dry", ROUTES, None),
        ("GET /kept", COOKIE + ROUTES, False),
    ],
)
def test_plan_exists_for_requests_of_legacy_only(line: str, routes: str, planned: bool | None, shadows: bool) -> None:
    planner = DirectPlanner(snapshot(StartingLegacy(), LEGACY + routes), {}, shadows=shadows)
    method, path = line.split()
    plan = planner.plan(head(path, method=method), "127.0.0.1", "http")
    assert (plan is not None) == (planned if planned is not None else not shadows)
    assert plan is None or plan.may_shadow == (shadows and path == "/shadowed")


def test_caller_with_the_sticky_cookie_has_a_plan() -> None:
    planner = DirectPlanner(snapshot(StartingLegacy(), LEGACY + COOKIE + ROUTES), {}, shadows=False)
    assert planner.plan(head("/kept", "Cookie: sticky=1"), "127.0.0.1", "http") is not None


def test_plan_is_cached_by_head_and_peer() -> None:
    planner, recurring = DirectPlanner(snapshot(StartingLegacy()), {}, shadows=False), head("/kept")
    plans = [planner.plan(recurring, peer, "http") for peer in ("127.0.0.1", "127.0.0.1", "127.0.0.2")]
    assert plans[0] is plans[1]
    addresses = [dict(plan.origin.passed)[b"x-forwarded-for"] for plan in plans if plan is not None]
    assert addresses == [b"127.0.0.1", b"127.0.0.1", b"127.0.0.2"]


async def send_requests(port: int, times: int, path: str = "/all") -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(f"GET {path}?x HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_new_configuration_ends_the_plans() -> None:
    before, after = StartingLegacy(), StartingLegacy()
    gateway = Gateway(snapshot(before))
    async with serving(gateway) as port, asyncio.timeout(30):
        for legacy in (before, after):
            gateway.snapshot = snapshot(legacy)
            await send_requests(port, 4)
    assert (len(before.started), len(after.started)) == (4, 4)
    target, headers, request_id = after.started[-1]
    assert (target, dict(headers)[b"x-forwarded-host"], request_id) == (b"/all?x", b"a", b"abc")


async def test_every_change_of_file_or_shares_ends_the_plans() -> None:
    records: list[RequestRecord] = []
    texts = [LEGACY + ROUTES, LEGACY + ROUTES.replace("match: 'GET /*'", "match: 'GET /*', native: 100%")]
    snapshots = [snapshot(StartingLegacy(), text) for text in texts]
    zero = {"all": bucketing.Limit(BasisPoints(0), BasisPoints(0))}
    states = [(plan, limits) for plan in snapshots for limits in ({}, zero)]
    gateway = Gateway(snapshots[0], [records.append])
    async with serving(gateway) as port, asyncio.timeout(60):
        for change in permutations(states, 2):
            for gateway.snapshot, gateway.limits in change:
                await send_requests(port, 4)
                backend = "native" if gateway.snapshot is snapshots[1] and not gateway.limits else "legacy"
                assert [record.backend for record in records] == [backend] * 4
                records.clear()
