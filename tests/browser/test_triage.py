"""A difference in a real Chromium: it appears, is marked, fixed and gone, and returns with an alarm.

All parts are real: a gateway with its shadow process, the demo legacy, MongoDB, and the receiver of a webhook.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from demo.ports import free_port
from demo.services import ROOT, DemoLegacy, Gateway, Upstreams, backend_environment
from proxy.recordings.raw_http import Origin, exchange
from tests.browser.browsing import Browsing
from tests.browser.chromium import find_chromium
from tests.browser.tab import DESKTOP, TOKEN, Tab
from tests.support.backends import scratch_database
from tests.support.broken_handler import NOTES, begin, plant
from tests.support.sockets import serving

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="no chromium on PATH, and CHROMIUM names none"),
    pytest.mark.asyncio(loop_scope="package"),
]

VIEWER: Final = "a-viewer-of-the-story"
DEADLINE: Final = 60  # seconds
ROUTING: Final = """
legacy: {{url: "${{LEGACY_URL}}"}}
native: tests.support.broken_native:app
contracts: {contracts}
shadow: {{noise: 0%, max_cpu_wait: 100%}}
mongodb: {{database: {database}}}
notify: {{url: "{webhook}"}}
routes:
  - {{name: notes.list, match: "GET /api/notes/{{consultationId}}", shadow: 100%, revision: {revision}}}
"""


@dataclass
class Receiver:
    """Receives the webhook's events."""

    events: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.events.append(json.loads(await Request(scope, receive).body()))
        await Response(status_code=204)(scope, receive, send)

    def of_type(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["type"] == name]


@dataclass
class Story:
    """A gateway whose native handler is broken while a file exists; `ops` is the address of its pages."""

    ops: str
    origin: Origin
    broken: Path
    routing: Path
    text: Callable[[str], str]
    receiver: Receiver

    async def play(self) -> None:
        """Request the notes, as a frontend does."""
        answer = await exchange(self.origin, NOTES, 20)
        assert answer.status == 200

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Request the notes until something holds."""
        async with asyncio.timeout(DEADLINE):
            while True:
                await self.play()
                if await holds():
                    return
                await asyncio.sleep(0.2)


@asynccontextmanager
async def story(mongodb_url: str, directory: Path) -> AsyncIterator[Story]:
    receiver, routing, ports = Receiver(), directory / "routing.yaml", (free_port(), free_port())
    async with serving(receiver) as hook:
        with ExitStack() as running:
            product, own = (running.enter_context(scratch_database(mongodb_url)) for _ in range(2))

            def text(revision: str) -> str:
                webhook = f"http://127.0.0.1:{hook}/hook"
                contracts = ROOT / "contracts"
                return ROUTING.format(contracts=contracts, database=own.name, webhook=webhook, revision=revision)

            await asyncio.to_thread(plant, product)
            routing.write_text(text("one"))
            upstreams = await asyncio.to_thread(begin, running, Upstreams(directory / "upstreams.log"))
            environment = {
                **backend_environment(mongodb_url, upstreams.url, product.name),
                "BROKEN": str(directory / "broken"),
                "OPS_TOKEN": TOKEN,
                "OPS_VIEWER_TOKEN": VIEWER,
            }
            legacy = await asyncio.to_thread(begin, running, DemoLegacy(environment, directory / "legacy.log"))
            environment["LEGACY_URL"] = legacy.url
            log = directory / "gateway.log"
            gateway = Gateway(routing, environment, log, host="127.0.0.1", port=ports[0], ops_port=ports[1])
            await asyncio.to_thread(begin, running, gateway)
            origin = Origin.parse(f"http://127.0.0.1:{ports[0]}")
            base = f"http://127.0.0.1:{ports[1]}"
            yield Story(base, origin, directory / "broken", routing, text, receiver)


async def shows(page: Page, path: str, text: str) -> bool:
    await page.goto(path)
    return await page.get_by_text(text).count() > 0


@pytest.mark.slow  # tests/proxy/reports/test_triage.py has the states
async def test_triaged_difference_that_returns_raises_an_alarm(
    tmp_path: Path, mongodb_url: str, browser: Browsing
) -> None:
    async with story(mongodb_url, tmp_path) as played, Tab.opened(browser.browser, played.ops, DESKTOP) as tab:
        page = tab.page
        await log_in_as_viewer(page)

        played.broken.touch()  # break
        await played.until(lambda: shows(page, "/routes/notes.list", "body.count"))
        await page.goto("/comparisons?sort=attention")  # see
        await expect(page.get_by_role("row", name="notes.list").get_by_text("new")).to_be_visible()
        await page.get_by_role("link", name="notes.list").click()
        await page.get_by_role("row", name="body.count").get_by_role("link", name="body.count").first.click()
        await expect(page.get_by_role("heading", name="body.count")).to_be_visible()
        difference = page.url.removeprefix(played.ops).partition("?")[0]

        await page.get_by_role("textbox", name="Reason").first.fill("counted as text")  # mark
        await page.get_by_role("textbox", name="Ticket").first.fill("QA-7")
        await page.get_by_role("button", name="Known").click()
        await expect(page.get_by_text("counted as text")).to_be_visible()
        await page.get_by_role("textbox", name="Revision").fill("two")
        await page.get_by_role("button", name="Fixed").click()
        await expect(page.get_by_text("by Grace").first).to_be_visible()

        played.broken.unlink()  # fix
        played.routing.write_text(played.text("two"))
        await played.until(lambda: shows(page, difference, "Gone since two"))  # gone
        assert played.receiver.of_type("difference_returned") == []

        played.broken.touch()  # break again
        await played.until(lambda: shows(page, difference, "This difference has returned"))  # alarm
        await expect(page.get_by_text("Grace marked it as fixed in two")).to_be_visible()
        await page.goto("/routes/notes.list")
        await expect(page.get_by_role("table", name="Fields that differ").get_by_role("row").nth(1)).to_contain_text(
            "returned"
        )
        async with asyncio.timeout(DEADLINE):
            while not played.receiver.of_type("difference_returned"):
                await asyncio.sleep(0.05)
        [event] = played.receiver.of_type("difference_returned")
        [returned] = event["data"]["differences"]
        assert (returned["field"], returned["revision"], returned["fixed"]["ticket"]) == ("body.count", "two", "QA-7")
        assert played.receiver.of_type("new_difference")


async def log_in_as_viewer(page: Page) -> None:
    await page.goto("/comparisons")
    await page.get_by_label("Your name").fill("Grace")
    await page.get_by_label("Ops token").fill(VIEWER)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", name="Comparisons")).to_be_visible()
