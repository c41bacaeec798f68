"""Messages and drafts of the page in each kind of failure, on a narrow phone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, WebSocketRoute, expect

from tests.browser.browser_stack import BrowserStack
from tests.browser.browsing import PAGE, Browsing, tab_of
from tests.browser.chromium import find_chromium
from tests.support.waiting import HANG_TIMEOUT

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="no chromium on PATH, and CHROMIUM names none"),
    pytest.mark.asyncio(loop_scope="package"),
]
AMARA = {"username": "Amara Osei", "email": "amara@clinic.example", "password": "correct horse", "role": "clinician"}
PHONE = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}


@dataclass(frozen=True)
class Account:
    """An existing account, with a consultation that has just begun."""

    token: str
    consultation: str


@pytest.fixture(scope="module")
def token(stack: BrowserStack) -> str:
    stack.reset()
    with httpx.Client(base_url=stack.legacy, trust_env=False, verify=False, timeout=HANG_TIMEOUT) as client:
        client.post("/users/register", json=AMARA)
        value: str = client.post("/users/login", json=AMARA).json()["token"]
    return value


@pytest.fixture
def account(stack: BrowserStack, token: str) -> Account:
    url, headers = f"{stack.legacy}/api/consultation/start", {"authorization": f"Bearer {token}"}
    started = httpx.post(
        url, json={"patient_data": "Priya Raman"}, headers=headers, trust_env=False, verify=False, timeout=HANG_TIMEOUT
    ).json()
    return Account(token, started["data"]["consultation"]["_id"])


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def window(stack: BrowserStack, browser: Browsing) -> AsyncIterator[BrowserContext]:
    """Open the window of all tests, as a browser takes long for it. An empty tab keeps it open between them."""
    async with browser.window(stack.legacy, **PHONE) as window:
        await window.new_page()
        yield window


@pytest_asyncio.fixture(loop_scope="package")
async def page(window: BrowserContext) -> AsyncIterator[Page]:
    """Open the page in its own tab, logged out; check that nothing exceeds the width of a phone's screen."""
    await window.grant_permissions(["microphone"])  # a test takes it away
    await window.set_offline(False)
    async with tab_of(window) as page:
        await page.goto(PAGE)
        yield page
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def enter(page: Page, account: Account, page_path: str = "") -> None:
    """Open the page with an earlier token, as after a reload."""
    await page.evaluate(f"sessionStorage.setItem('scribe.token', {account.token!r})")
    await page.evaluate(f"history.replaceState(null, '', '#/{page_path}')")
    await page.reload()


async def log_in(page: Page, email: str) -> None:
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(AMARA["password"])
    await page.get_by_role("button", name="Log in").click()


async def test_taken_and_unknown_addresses_show_an_error(page: Page, account: Account) -> None:
    await page.get_by_role("tab", name="Log in").focus()
    await page.keyboard.press("ArrowRight")
    await page.get_by_label("Name").fill("Somebody")
    await page.get_by_label("Email").fill(AMARA["email"])
    await page.get_by_label("Password").fill("correct horse")
    await expect(page.get_by_text("This address already has an account.")).to_be_visible()
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("alert")).to_have_text("User already exists")
    await page.get_by_role("tab", name="Log in").click()
    await log_in(page, "nobody@clinic.example")
    await expect(page.get_by_role("alert")).to_have_text("The email or password is incorrect.")


async def test_refused_token_leads_to_sign_in_and_back(page: Page, account: Account) -> None:
    await enter(page, Account("a.eyJ1c2VySUQiOiIxIn0.c", ""), "prompts")
    await expect(page.get_by_role("alert")).to_have_text("Your session has ended. Please log in again.")
    await log_in(page, AMARA["email"])
    await expect(page.get_by_role("heading", name="Prompts", exact=True)).to_be_visible()


async def test_offline_page_shows_an_error_and_retries(page: Page, account: Account) -> None:
    await enter(page, account)
    await expect(page.get_by_text("Priya Raman").first).to_be_visible()
    await page.context.set_offline(True)
    await page.get_by_role("link", name="Prompts").click()
    await expect(page.get_by_role("alert")).to_contain_text("You are offline.")
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.slow  # the next test's recording breaks off, too
async def test_interrupted_recording_keeps_the_received_text(page: Page, account: Account) -> None:
    await page.route_web_socket("**/transcription-stream", break_off)
    await enter(page, account, f"consultations/{account.consultation}")
    await page.get_by_role("button", name="Record").click()
    await expect(page.locator("#messages")).to_contain_text("The connection was lost.")
    await expect(page.get_by_role("region", name="Transcript")).to_contain_text("as far as it came")
    await expect(page.get_by_text("Saved")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("region", name="Transcript")).to_contain_text("as far as it came")


async def test_received_text_survives_an_expired_session(page: Page, account: Account) -> None:
    await page.route_web_socket("**/transcription-stream", break_off)
    await enter(page, account, f"consultations/{account.consultation}")
    await expect(page.get_by_role("region", name="Transcript")).to_be_visible()
    await page.evaluate("sessionStorage.setItem('scribe.token', 'no.token.any-more')")
    await page.get_by_role("button", name="Record").click()
    await expect(page.get_by_role("alert")).to_have_text("Your session has ended. Please log in again.")
    await log_in(page, AMARA["email"])
    await expect(page.get_by_text("Saved")).to_be_visible()
    await expect(page.get_by_role("region", name="Transcript")).to_contain_text("as far as it came")


async def test_end_during_a_recording_waits_for_the_final_text(page: Page, account: Account) -> None:
    await enter(page, account, f"consultations/{account.consultation}")
    await page.get_by_role("button", name="New prompt").click()
    await page.get_by_label("Name").fill("Letter")
    await page.get_by_label("Instructions").fill("A letter.")
    await page.get_by_role("button", name="Save prompt").click()
    await page.get_by_role("button", name="Record").click()
    await expect(page.get_by_text("Listening")).to_be_visible()
    await page.wait_for_timeout(300)  # of speaking: less than is needed for a partial transcription
    await page.get_by_role("button", name="End and summarise").click()
    await expect(page.get_by_role("region", name="Summary")).to_contain_text("answer[")
    await expect(page.get_by_role("region", name="Transcript")).to_contain_text("final")


async def test_missing_microphone_and_prompt_show_errors(page: Page, account: Account) -> None:
    await enter(page, account, f"consultations/{account.consultation}")
    await page.context.clear_permissions()
    await page.get_by_role("button", name="Record").click()
    await expect(page.locator("#messages")).to_contain_text("The microphone is blocked for this page.")
    await expect(page.get_by_role("button", name="Record")).to_be_enabled()
    await page.get_by_role("button", name="End and summarise").click()
    await expect(page.get_by_role("alert")).to_contain_text("Choose a prompt first")


async def break_off(socket: WebSocketRoute) -> None:
    """Run a service that receives two pieces of audio, sends their transcription, and disconnects."""
    came: list[str] = []

    async def answer(frame: str | bytes) -> None:
        came.append(json.loads(frame)["type"])
        if came == ["start_recording"]:
            socket.send(json.dumps({"type": "recording_started"}))
        if came == ["start_recording", "audio_chunk", "audio_chunk"]:
            socket.send(json.dumps({"type": "transcript", "text": "as far as it came", "isPartial": True}))
            await socket.close()

    socket.on_message(answer)
    socket.send(json.dumps({"type": "connection"}))
