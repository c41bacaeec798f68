"""Clinical codes from the terminology server: the exact calls, one token for all, and each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from handlers.services.terminology import (
    OPERATION,
    Access,
    Code,
    Terminology,
    TerminologyInvalidError,
    TerminologyRefusedError,
    TerminologyTimeoutError,
    TerminologyUnreachableError,
    expand_query,
    expand_url,
)
from tests.support.clock import Clock
from tests.support.event_loop import advance
from tests.support.outside_services import Answer, Script, Upstreams, outside, recorded_calls, upstreams
from tests.support.waiting import HANG_TIMEOUT, until

TOKEN_PATH = "/authorisation/auth/realms/nhs-digital-terminology/protocol/openid-connect/token"
SNOMED = "http://snomed.info/sct"
TOKEN = Answer(body=b'{"access_token": "t", "expires_in": 100}')
NO_CODES = Answer(body=b'{"expansion": {"total": 0}}')


@asynccontextmanager
async def opened(
    url: str, *, clock: Clock | None = None, deadline: float = 5.0, ending: str = "/"
) -> AsyncIterator[Terminology]:
    access = Access(url + TOKEN_PATH, f"{url}/production1/fhir{ending}", "cid", "csecret")
    async with httpx.AsyncClient(timeout=5, follow_redirects=True, verify=False) as client:
        yield Terminology(client, access, deadline=deadline, clock=clock or Clock())


@asynccontextmanager
async def scripted(
    *answers: Answer, clock: Clock | None = None, deadline: float = 5.0
) -> AsyncIterator[tuple[Terminology, Script]]:
    script = Script(answers)
    async with outside(script) as url, opened(url, clock=clock, deadline=deadline) as terminology:
        yield terminology, script


@pytest.fixture
async def offline() -> AsyncIterator[Upstreams]:
    async with upstreams() as services:
        yield services


@pytest.mark.parametrize(
    "ending", ["/", "", "//", *(f"{OPERATION}{more}" for more in ("", "/", "?", "#top", "?url=x"))]
)
async def test_search_sends_the_recorded_calls(offline: Upstreams, ending: str) -> None:
    async with opened(offline.url, ending=ending) as terminology:
        codes = await terminology.find("diabetes")
    assert codes[0] == Code("diabetes 0", "44054006", SNOMED)
    assert [code.code for code in codes] == ["44054006", "73211009", "46635009"]
    assert offline.calls == recorded_calls("ai-codes")


async def test_no_codes_are_an_empty_list(offline: Upstreams) -> None:
    async with opened(offline.url) as terminology:
        assert await terminology.find("zzz") == []
    assert offline.calls == recorded_calls("ai-codes-none")


async def test_failing_server_raises_its_status(offline: Upstreams) -> None:
    async with opened(offline.url) as terminology:
        with pytest.raises(TerminologyRefusedError) as refused:
            await terminology.find("boom")
    assert refused.value.status == 500
    assert offline.calls == recorded_calls("ai-codes-fail")


async def test_own_client_is_closed(offline: Upstreams) -> None:
    terminology = Terminology.open(
        Access(offline.url + TOKEN_PATH, offline.url + "/production1/fhir", "cid", "csecret")
    )
    assert len(await terminology.find("x")) == 3
    await terminology.close()
    with pytest.raises(RuntimeError):
        await terminology.find("x")


async def test_access_token_is_reused_until_shortly_before_expiry() -> None:
    clock = Clock()
    async with scripted(TOKEN, NO_CODES, NO_CODES, TOKEN, NO_CODES, clock=clock) as (codes, script):
        await codes.find("a")
        clock.now += 89
        await codes.find("b")
        clock.now += 1
        await codes.find("c")
    fetched = [index for index, path in enumerate(script.paths) if path.startswith(TOKEN_PATH)]
    assert fetched == [0, 3]


async def test_access_token_without_a_lifetime_is_not_reused() -> None:
    unstated = Answer(body=b'{"access_token": "t"}')
    async with scripted(unstated, NO_CODES, unstated, NO_CODES) as (codes, script):
        await codes.find("a")
        await codes.find("b")
    assert sum(path.startswith(TOKEN_PATH) for path in script.paths) == 2


async def test_concurrent_searches_fetch_one_token() -> None:
    token, codes_given = (asyncio.Event() for _ in range(2))
    answers = Answer(body=TOKEN.body, gate=token), Answer(body=NO_CODES.body, gate=codes_given)
    async with scripted(*answers) as (codes, script):
        searches = asyncio.gather(*(codes.find(str(number)) for number in range(20)))
        await until(lambda: script.bodies)
        token.set()
        await until(lambda: script.active > 1)
        codes_given.set()
        await searches
    assert sum(path.startswith(TOKEN_PATH) for path in script.paths) == 1


async def test_cancelled_fetch_is_repeated_by_the_next() -> None:
    async with scripted(Answer(hang=True), TOKEN, NO_CODES) as (codes, script):
        first = asyncio.create_task(codes.find("a"))
        while not script.bodies:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(codes.find("b"))
        first.cancel()
        assert await second == []
        await asyncio.wait_for(script.left.wait(), HANG_TIMEOUT)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_refused_token_is_replaced_once() -> None:
    refused = Answer(401)
    async with scripted(TOKEN, refused, TOKEN, NO_CODES) as (codes, script):
        assert await codes.find("a") == []
    assert len(script.bodies) == 4
    async with scripted(TOKEN, refused, TOKEN, refused) as (codes, script):
        with pytest.raises(TerminologyRefusedError):
            await codes.find("a")
    assert len(script.bodies) == 4


async def test_concurrently_refused_searches_fetch_one_token() -> None:
    first, second = (asyncio.Event() for _ in range(2))
    async with scripted(TOKEN, Answer(401, gate=first), Answer(401, gate=second), TOKEN, NO_CODES) as (codes, script):
        searches = asyncio.gather(codes.find("a"), codes.find("b"))
        await until(lambda: len(script.bodies) == 3)
        first.set()
        await until(lambda: len(script.bodies) == 5)
        second.set()
        assert not any(await searches)
    assert sum(path.startswith(TOKEN_PATH) for path in script.paths) == 2


async def test_broken_connection_is_retried_once() -> None:
    async with scripted(Answer(cut=True), TOKEN, Answer(cut=True), NO_CODES) as (codes, _):
        assert await codes.find("a") == []
    async with scripted(TOKEN, Answer(cut=True)) as (codes, script):
        with pytest.raises(TerminologyUnreachableError):
            await codes.find("a")
    assert len(script.bodies) == 3


async def test_unreachable_server_raises_an_error(unused_tcp_port: int) -> None:
    async with opened(f"http://127.0.0.1:{unused_tcp_port}") as terminology:
        with pytest.raises(TerminologyUnreachableError):
            await terminology.find("a")


async def test_unresponsive_server_is_abandoned_at_the_deadline() -> None:
    async with scripted(TOKEN, Answer(hang=True), deadline=0.2) as (codes, script):
        with pytest.raises(TerminologyTimeoutError):
            await codes.find("a")
        await asyncio.wait_for(script.left.wait(), HANG_TIMEOUT)


async def test_answer_during_a_stop_of_this_process_is_in_time() -> None:
    gate = asyncio.Event()
    script = Script((TOKEN, replace(NO_CODES, gate=gate)))
    async with outside(script) as url:
        access = Access(url + TOKEN_PATH, f"{url}/production1/fhir/", "cid", "csecret")
        terminology = Terminology.open(access, deadline=500.0)
        finding = asyncio.create_task(terminology.find("a"))
        await until(lambda: len(script.bodies) == 2)
        await advance(501.0)
        gate.set()
        assert await finding == []
        await terminology.close()


@pytest.mark.parametrize(
    "grant",
    [
        b"",
        b"[]",
        b"{}",
        b'{"access_token": 5}',
        b'{"access_token": "\\u00e9"}',
        b'{"access_token": "a\\nb"}',
        b"[" * 100_000,
    ],
    ids=lambda grant: repr(grant[:30]),
)
async def test_grant_without_a_token_is_invalid(grant: bytes) -> None:
    async with scripted(Answer(body=grant)) as (codes, _):
        with pytest.raises(TerminologyInvalidError):
            await codes.find("a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"expansion": []}',
        b'{"expansion": {"contains": 5}}',
        b'{"expansion": {"contains": [null]}}',
        b'{"expansion": {"contains": null}}',
    ],
)
async def test_answer_without_a_value_set_is_invalid(body: bytes) -> None:
    async with scripted(TOKEN, Answer(body=body)) as (codes, _):
        with pytest.raises(TerminologyInvalidError):
            await codes.find("a")


async def test_code_members_are_returned_unchanged() -> None:
    body = b'{"expansion": {"contains": [{"code": "1", "display": null, "system": 7}, {"display": "\xff"}]}}'
    async with scripted(TOKEN, Answer(body=body)) as (codes, _):
        assert await codes.find(None) == [Code(None, "1", 7), Code("\ufffd", ..., ...)]


async def test_redirects_are_followed_up_to_a_limit() -> None:
    there = Answer(307, b"", headers=((b"location", b"/elsewhere"),))
    async with scripted(TOKEN, there, NO_CODES) as (codes, script):
        assert await codes.find("a") == []
    assert script.paths[-1].startswith("/elsewhere")
    async with scripted(TOKEN, there) as (codes, _):
        with pytest.raises(TerminologyInvalidError):
            await codes.find("a")


async def test_broken_encoding_is_invalid() -> None:
    async with scripted(TOKEN, Answer(body=b"x", headers=((b"content-encoding", b"gzip"),))) as (codes, _):
        with pytest.raises(TerminologyInvalidError):
            await codes.find("a")


def test_parameters_are_encoded_as_by_axios() -> None:
    # Expected values are those of `axios.getUri` 1.12.2.
    value_set = "url=http:%2F%2Fsnomed.info%2Fsct%2F83821000000107%2Fversion%2F20240508%3Ffhir_vs%3Disa%2F138875005"
    odd = "x!'()*~-_.@&=+$,:;/?#[]%\0\"<>|`^{}\\"
    encoded = "x!'()*~-_.%40%26%3D%2B$,:%3B%2F%3F%23%5B%5D%25%00%22%3C%3E%7C%60%5E%7B%7D%5C"
    assert expand_query(odd) == f"{value_set}&filter={encoded}&count=10"
    assert expand_query(["a b", "é"]) == f"{value_set}&filter%5B%5D=a+b&filter%5B%5D=%C3%A9&count=10"
    assert expand_query(None) == f"{value_set}&count=10"
    assert expand_query("") == f"{value_set}&filter=&count=10"


async def test_encoding_survives_the_client() -> None:
    async with scripted(TOKEN, NO_CODES) as (codes, script):
        await codes.find("a'b(c)!*~,$: é[]")
    assert script.paths[1] == "/production1/fhir/ValueSet/$expand?" + expand_query("a'b(c)!*~,$: é[]")


@pytest.mark.parametrize("operation", ["", "/", OPERATION, f"{OPERATION}/", "/ValueSet/%24expand", "/valueset/$expand"])
@pytest.mark.parametrize(
    ("given", "query"),
    [
        ("", ""),
        ("?", ""),
        ("?tenant=a%26b", "tenant=a%26b&"),
        ("?url=u&filter=f&filter[]=g&filter%5B%5D=h&count=3&x", "x&"),
        ("?tenant=a#part", "tenant=a&"),
        ("?filters=1&&accounts", "filters=1&accounts&"),
    ],
)
def test_base_and_operation_urls_are_equal(operation: str, given: str, query: str) -> None:
    expected = f"https://t.example/production1/fhir{OPERATION}?{query}{expand_query('x')}"
    assert expand_url(f"https://t.example/production1/fhir{operation}{given}", "x") == expected


def test_root_url_gets_the_operations_path() -> None:
    assert expand_url("http://t.example", None) == f"http://t.example{OPERATION}?{expand_query(None)}"


@pytest.mark.parametrize("url", ["http://[", "http://[::1", "no-url", "ftp://t.example", ""])
async def test_invalid_address_is_unreachable(url: str) -> None:
    async with httpx.AsyncClient(verify=False) as client, outside(Script([TOKEN])) as tokens:
        terminology = Terminology(client, Access(tokens, url, "cid", "csecret"))
        with pytest.raises(TerminologyUnreachableError):
            await terminology.find("diabetes")
