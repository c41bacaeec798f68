"""The ops pages in a real Chromium, on a real MongoDB: wide and narrow, light and dark, and without scripts."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from demo.ports import free_port
from proxy.config.loading import parse
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.ops.app import create_ops
from proxy.reports.triage import difference_id
from proxy.rollout.mongo import MongoStore
from tests.browser.browsing import Browsing
from tests.browser.chromium import find_chromium
from tests.browser.tab import DESKTOP, TOKEN, ContextSettings, Tab
from tests.support.board_scene import board_stage
from tests.support.ops_server import Stage, roll_out, serve_a_minute, stage, store_a_day
from tests.support.sockets import serving
from tests.support.unhurried import patient_database

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="no chromium on PATH, and CHROMIUM names none"),
    pytest.mark.asyncio(loop_scope="package"),
]

PHONE: ContextSettings = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "is_mobile": True}
PLAIN: ContextSettings = {"viewport": {"width": 390, "height": 844}, "java_script_enabled": False}
PAGES = (
    *("/", "/comparisons?last=7d&verdict=mismatch", "/routes/notes.list", "/divergences", "/drift"),
    f"/differences/{difference_id('notes.list', 'body.notes.*.body', 'type')}",
    "/routes/notes.list/releases",
    *("/live?refresh=no", "/routes/prompts.list/live", "/routes/consultations.list/actions", "/history"),
    *("/routes/prompts.list/history", "/config", "/nothing"),
)
FAULTS = (Path(__file__).parent / "faults.js").read_text()
"""Returns the faults of a page as texts: text that is hard to read, elements without a name or too wide."""


@asynccontextmanager
async def served(directory: Path, mongodb_url: str) -> AsyncIterator[tuple[Stage, str]]:
    """Serve the pages of a day of comparisons and of some changed shares on a real port."""
    database = patient_database(mongodb_url, "test_ops_pages")
    await database.command({"dropDatabase": 1})
    staged = stage(directory, free_port(), store=MongoStore(database))
    staged.database = database
    await store_a_day(database)
    await roll_out(staged)
    for _ in range(2):
        await staged.watcher.check()
    try:
        async with serving(create_ops(staged, TOKEN)) as port:
            yield staged, f"http://127.0.0.1:{port}"
    finally:
        await staged.controller.stop()
        await database.command({"dropDatabase": 1})
        await database.close()


@pytest.mark.slow  # each page has tests of its HTML in tests/proxy/ops
async def test_pages_are_sound_and_usable_at_every_width(tmp_path: Path, mongodb_url: str, browser: Browsing) -> None:
    async with served(tmp_path, mongodb_url) as (staged, base):
        for settings in (DESKTOP, PHONE):
            async with Tab.opened(browser.browser, base, settings) as tab:
                await tab.log_in()
                await check_pages(tab, dark=settings is PHONE)
                if settings is DESKTOP:
                    await find_a_difference(tab.page)
                    await watch_it_refresh(tab.page, staged)
        async with Tab.opened(browser.browser, base, PLAIN) as tab:
            await tab.log_in()
            await promote_without_scripts(tab.page)


async def check_pages(tab: Tab, *, dark: bool) -> None:
    for path in PAGES:
        await tab.page.goto(path)
        assert await tab.page.evaluate(FAULTS) == [], path
        ground = await tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (ground == "rgb(18, 21, 23)") is dark


async def find_a_difference(page: Page) -> None:
    """Navigate from the overview to the answer that differs, by the keyboard alone."""
    await page.goto("/comparisons")
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    await expect(skip).to_be_focused()
    assert "2px" in await skip.evaluate("element => getComputedStyle(element).outline")
    await page.get_by_role("link", name="notes.list").press("Enter")
    await page.get_by_role("table", name="Fields").get_by_role("link", name="body.notes.*.body").press("Enter")
    samples = page.get_by_role("table", name="Samples")
    await expect(samples.get_by_text("mismatch")).to_be_visible()
    await samples.get_by_role("link").first.press("Enter")
    row = page.get_by_role("table", name="field by field").get_by_role("row", name="body string of 17")
    await expect(row.locator("td.noise")).to_have_count(2)
    assert await page.evaluate(FAULTS) == []


async def watch_it_refresh(page: Page, staged: Stage) -> None:
    """Advance the page's clock instead of waiting for a refresh."""
    await page.clock.install()
    await page.goto("/live")
    await page.locator("#idle > summary").click()
    await expect(page.get_by_role("link", name="transcription")).to_be_visible()
    await page.evaluate("document.activeElement.blur()")
    route = page.get_by_role("article", name="transcription")
    await page.evaluate("window.kept = true")
    serve_a_minute(staged.stats, time.monotonic() + 120, [("transcription", 0, 3, 0)])
    await page.clock.fast_forward(6000)
    await expect(route.get_by_text("requests/s, up to")).to_be_visible()
    assert await page.evaluate("window.kept")  # refreshed in place


FIRST_SCREEN = """() => {
  const within = element => element.checkVisibility() && element.getBoundingClientRect().bottom <= innerHeight;
  const parts = [...document.querySelectorAll("#banner, .alerts > li")].filter(within);
  return parts.map(element => element.innerText);
}"""
"""Returns the texts of the banner and of the problems that are wholly on the first screen."""
TASKS = {
    "notes is rolled back to 0%": (r"by the guard, .* server errors 18\.41% of 603", "Fix native, then acknowledge"),
    "routing.yaml is refused": (
        r"bake_tiem: unknown key; did you mean bake_time\?",
        r"Correct the file; .* stays in force",
    ),
    "prompts is blocked at 10%": (
        r"too little evidence: 0 of 100 requests",
        "Wait for more requests, or promote it; next: 50%",
    ),
}
"""The cause and the next step of each problem that a reader has to find."""


@pytest.mark.parametrize("settings", [pytest.param(DESKTOP, marks=pytest.mark.slow), PHONE], ids=["desk", "phone"])
async def test_first_screen_names_problem_cause_and_next_step(
    tmp_path: Path, browser: Browsing, settings: ContextSettings
) -> None:
    staged = await board_stage(tmp_path)
    try:
        async with (
            serving(create_ops(staged, TOKEN)) as port,
            Tab.opened(browser.browser, f"http://127.0.0.1:{port}", settings) as tab,
        ):
            await tab.log_in()
            await tab.page.goto("/")
            assert await tab.page.evaluate(FAULTS) == []
            banner, *problems = await tab.page.evaluate(FIRST_SCREEN)
    finally:
        await staged.controller.stop()
    assert len(staged.controller.config.routes) == 28
    assert banner.startswith("1 group rolled back · by the guard")
    for title, (cause, step) in TASKS.items():
        assert any(re.search(f"^{title}\n.*{cause}.*\n.*{step}", text, re.DOTALL) for text in problems), problems


async def promote_without_scripts(page: Page) -> None:
    await page.goto("/live?q=prompts.list")  # also lists routes whose requests are older than the window
    await page.get_by_role("link", name="prompts.list").click()
    await page.get_by_role("link", name="Actions").click()
    step = page.locator("form", has=page.get_by_role("button", name="Promote to 50%"))
    await step.get_by_label("Reason").fill("all quiet")
    await step.get_by_role("button").click()
    await expect(page.get_by_role("region", name="Latest changes").get_by_role("listitem").first).to_contain_text(
        "10% → 50% all quiet by Ada"
    )


@pytest.mark.slow  # tests/proxy/ops/test_access.py ends copied sessions, tests/proxy/gateway/test_cookies.py the cookie
async def test_logout_ends_every_window_and_no_backend_gets_the_cookie(
    tmp_path: Path, mongodb_url: str, browser: Browsing
) -> None:
    received: list[Scope] = []

    async def backend(scope: Scope, receive: Receive, send: Send) -> None:
        received.append(scope)
        await PlainTextResponse("backend")(scope, receive, send)

    text = "legacy: {url: http://x}\nnative: a:b\nroutes: [{name: new, match: GET /new, native: 100%}]"
    gateway = Gateway(RoutingSnapshot.of(parse(text, {}), backend, backend))
    async with (
        served(tmp_path, mongodb_url) as (_, base),
        serving(gateway) as port,
        Tab.opened(browser.browser, base, DESKTOP) as tab,
        Tab.opened(browser.browser, base, DESKTOP) as copy,
    ):
        await tab.log_in()
        cookies = await tab.page.context.cookies()
        await copy.page.context.add_cookies([{**cookie} for cookie in cookies])  # type: ignore[typeddict-item]
        await copy.page.goto("/live")
        await expect(copy.page.get_by_role("heading", name="Live")).to_be_visible()
        await _visit_backends(tab.page, port)
        await tab.page.goto("/")
        await tab.page.get_by_role("button", name="Log out").click()
        await expect(tab.page.get_by_label("Ops token")).to_be_visible()
        await copy.page.goto("/live")
        await expect(copy.page.get_by_label("Ops token")).to_be_visible()
    assert [scope["path"] for scope in received if scope["path"] != "/favicon.ico"] == ["/new", "/old"]
    assert all(b"scribe_ops" not in value for scope in received for _, value in scope["headers"])
    assert any((b"cookie", b"own=1") in scope["headers"] for scope in received)


async def _visit_backends(page: Page, port: int) -> None:
    """Open both sides of a gateway on the same host, which the browser sends all of the host's cookies."""
    await page.context.add_cookies([{"name": "own", "value": "1", "url": f"http://127.0.0.1:{port}"}])
    visited = await page.context.new_page()
    for path in ("new", "old"):
        answer = await visited.goto(f"http://127.0.0.1:{port}/{path}")
        assert answer is not None
        assert "scribe_ops" in (await answer.request.all_headers())["cookie"]
    await visited.close()
