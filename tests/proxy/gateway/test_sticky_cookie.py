"""The sticky cookie: set once, unchanged by a login, never forwarded; raising a share moves callers one way."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.loading import parse
from proxy.config.models import Config, StickyCookie
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.sticky_cookie import draw_id, is_private, set_cookie
from tests.support.running_gateway import Harness, running_gateway

CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
bucketing: {key: [jwt:userID, header:x-caller], salt: test, cookie: {max_age: 30d}}
served_by: false
routes:
  - {name: half, match: "* /half", native: SHARE}
  - {name: other, match: "* /other", native: 50%}
"""


def config(share: str = "50%") -> str:
    return CONFIG.replace("SHARE", share)


async def send_request(
    harness: Harness, *headers: str, method: str = "GET", target: str = "/half"
) -> tuple[str, str | None]:
    """Return the side that answered, and the cookie that it set."""
    head, body = await harness.send(target, *headers, method=method)
    cookie = re.search(r"^set-cookie: ([^\r]*)", head, re.MULTILINE)
    return body.decode(), cookie[1] if cookie else None


def token(user: int) -> str:
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, {"userID": user})
    )
    return f"Authorization: Bearer {'.'.join(parts)}.x"


async def test_sticky_caller_keeps_its_backend_over_a_login() -> None:
    async with running_gateway(config()) as harness:
        for caller in range(40):
            backend, cookie = await send_request(harness, f"X-Caller: {caller}")
            assert cookie is not None
            value = cookie.partition(";")[0]
            for headers in ((f"X-Caller: {caller}",), (token(caller),), (token(caller + 7), "X-Caller: other")):
                assert await send_request(harness, f"Cookie: {value}", *headers) == (backend, None)


@pytest.mark.parametrize("share", ["1%", "50%", "99%"])
async def test_caller_without_a_key_keeps_its_backend_with_its_cookie(share: str) -> None:
    async with running_gateway(config(share)) as harness:
        for _ in range(20):
            backend, cookie = await send_request(harness)
            assert (backend, cookie is None) == ("legacy", False)
            assert await send_request(harness, f"Cookie: {str(cookie).partition(';')[0]}") == (backend, None)


async def test_own_cookies_reach_no_backend() -> None:
    async with running_gateway(config()) as harness:
        for share in ("0%", "100%"):
            harness.gateway.snapshot = RoutingSnapshot.of(_parsed(share), harness.legacy, harness.native)
            await send_request(harness, "Cookie: a=1; scribe_caller=x; scribe_ops=secret; b=2")
            await send_request(harness, "Cookie: scribe_ops=secret")
        scopes = [*harness.legacy.scopes, *harness.native.scopes]
    assert [dict(scope["headers"]).get(b"cookie") for scope in scopes] == [b"a=1; b=2", None] * 2


def _parsed(share: str) -> Config:
    return parse(config(share), {})


async def test_raising_the_share_moves_callers_to_native_only() -> None:
    async with running_gateway(config("10%")) as harness:
        cookies = [(await send_request(harness, f"X-Caller: {caller}"))[1] for caller in range(30)]
        before = ["legacy"] * 30
        for share in ("10%", "30%", "60%", "100%"):
            harness.gateway.snapshot = RoutingSnapshot.of(_parsed(share), harness.legacy, harness.native)
            backends = [
                (await send_request(harness, f"Cookie: {str(cookie).partition(';')[0]}"))[0] for cookie in cookies
            ]
            if share != "10%":
                assert all(was == "legacy" or now == "native" for was, now in zip(before, backends, strict=True))
            before = backends
    assert set(before) == {"native"}


async def test_client_without_cookies_keeps_its_backend() -> None:
    async with running_gateway(config()) as harness:
        assert len({(await send_request(harness, "X-Caller: 7"))[0] for _ in range(20)}) == 1


async def test_cookie_is_secure_over_https() -> None:
    async with running_gateway(config() + "trusted_proxies: 127.0.0.1\n") as harness:
        _, plain = await send_request(harness)
        _, secure = await send_request(harness, "X-Forwarded-Proto: https")
    pattern = r"scribe_caller=[\w-]{22,}; Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax"
    assert re.fullmatch(pattern, str(plain))
    assert re.fullmatch(pattern + "; Secure", str(secure))


async def test_cookie_is_set_where_a_share_matters_only() -> None:
    preflight = ("Origin: http://a", "Access-Control-Request-Method: GET")
    async with running_gateway(config()) as harness:
        assert (await send_request(harness, target="/unmatched"))[1] is None
        assert (await send_request(harness, *preflight, method="OPTIONS"))[1] is None
        harness.legacy.raising = harness.native.raising = RuntimeError()
        assert (await send_request(harness))[1] is None


async def test_cookie_is_off_by_default() -> None:
    async with running_gateway(config().replace(", cookie: {max_age: 30d}", "")) as harness:
        assert (await send_request(harness))[1] is None


@pytest.mark.parametrize(
    ("status", "header", "private"),
    [
        (200, None, True),
        (200, b"private, max-age=60", True),
        (200, b"no-store", True),
        (200, b"Public, max-age=60", False),
        (200, b"max-age=0, s-maxage=60", False),
        (304, None, False),
    ],
)
def test_shared_cacheable_answers_set_no_cookie(status: int, header: bytes | None, private: bool) -> None:
    headers = [(b"cache-control", header)] if header is not None else []
    assert is_private(status, headers) is private


@given(st.integers(0, 20))
def test_id_is_drawn_until_it_fits(number: int) -> None:
    assert draw_id(lambda drawn: drawn.endswith(f"{number:x}")).endswith(f"{number:x}")


def test_id_is_drawn_where_none_fits() -> None:
    drawn = {draw_id(lambda _: False) for _ in range(50)}
    assert len(drawn) == 50
    assert min(map(len, drawn)) >= 22


def test_cookie_has_the_configured_name() -> None:
    assert set_cookie(StickyCookie(name="c", max_age=60), "v", secure=False).startswith(b"c=v; Max-Age=60; ")
