"""The frontend's server and files, as far as they can be tested without a browser; `tests/browser` has the rest."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from demo.services import Frontend
from demo.web import API_VARIABLE, FILES, create_app
from tests.support.waiting import HANG_TIMEOUT

API = "https://api.scribe.example"
SCRIPTS = sorted(FILES.rglob("*.js"))


@pytest.fixture
async def page() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(f"{API}/"))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3000") as client:
        yield client


async def test_page_policy_allows_own_files_and_one_api(page: httpx.AsyncClient) -> None:
    answer = await page.get("/")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert answer.status_code == 200
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"{API} wss://api.scribe.example"
    assert "microphone=(self)" in answer.headers["permissions-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_unchanged_files_are_revalidated_with_304(page: httpx.AsyncClient) -> None:
    first = await page.get("/app.js")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-type"].startswith("text/javascript")
    again = await page.get("/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


async def test_config_script_names_the_api(page: httpx.AsyncClient) -> None:
    answer = await page.get("/config.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.text == f'export default {{"api": "{API}", "chunkMs": 500}};\n'


async def test_missing_api_option_falls_back_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_VARIABLE, "http://localhost:1234")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://page") as client:
        answer = await client.get("/config.js")
    assert "http://localhost:1234" in answer.text
    assert "connect-src http://localhost:1234 ws://localhost:1234" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/nothing", "/%2e%2e/web.py", "/styles"])
async def test_unknown_file_is_404(page: httpx.AsyncClient, path: str) -> None:
    answer = await page.get(path)
    assert answer.status_code in (307, 404)
    assert "import" not in answer.text
    assert "content-security-policy" in answer.headers


def test_files_exist_and_are_all_referenced() -> None:
    index = (FILES / "index.html").read_text()
    named = {FILES / path.lstrip("/") for path in re.findall(r'(?:href|src)="(/[^"]+)"', index)}
    for script in SCRIPTS:
        text = script.read_text()
        named |= {(script.parent / path).resolve() for path in re.findall(r'from "(\.[^"]+)"', text)}
        named |= {FILES / path.lstrip("/") for path in re.findall(r'src: "(/[^"]+)"', text)}
    assert named | {FILES / "index.html"} == {file for file in FILES.rglob("*") if file.is_file()}


@pytest.mark.parametrize("file", sorted(FILES.rglob("*.*")), ids=lambda file: str(file.relative_to(FILES)))
def test_page_does_not_name_the_proxy_and_loads_only_own_files(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"proxy|gateway|served.by|native|legacy", text, re.IGNORECASE)
    assert set(re.findall(r"https?://[\w.:]+", text)) <= {"http://www.w3.org", "http://localhost:8000"}


def test_own_server_address_may_use_the_microphone(tmp_path: Path) -> None:
    frontend = Frontend(API, tmp_path / "log")
    frontend.start()
    try:
        frontend.check()
        assert frontend.url == f"http://localhost:{frontend.port}"
        assert API in httpx.get(f"{frontend.url}/config.js", trust_env=False, verify=False, timeout=HANG_TIMEOUT).text
    finally:
        frontend.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(frontend.url, trust_env=False, verify=False, timeout=HANG_TIMEOUT)
