"""One visit to the page, from the registration to the second login: the screens and the exchanges.

A step ends when the screen shows the result for which a person would wait. A screen is recorded as a screen reader
presents it: roles, names, states and text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import unified_diff

from playwright.async_api import Locator, Page, Response, expect

from proxy.comparison.correspondence import Correspondence
from tests.browser.browsing import PAGE, Browsing
from tests.browser.network import Log, Recording, compare_logs, settle

EMAIL = "amara@clinic.example"
PASSWORD = "correct horse"
SAID = "A headache behind the left eye for two days. Light makes it worse."
_CLOCK = re.compile(r"\b\d+:\d\d\b")
_TIME = re.compile(r"(?:Today|Yesterday), #")


@dataclass(frozen=True)
class Visit:
    """The record of a visit; `screens` are the texts of the screen, by step."""

    screens: dict[str, str]
    log: Log


def compare_visits(one: Visit, other: Visit) -> list[str]:
    """Return the differences of two visits, on the wire and on the screen."""
    names = Correspondence(one.log.at, other.log.at)
    differences = compare_logs(one.log, other.log, names)
    assert one.screens.keys() == other.screens.keys()
    for step, screen in one.screens.items():
        differences += [
            f"the screen at {step!r}: {text}" for text in _compare_screens(screen, other.screens[step], names)
        ]
    return differences


def _compare_screens(one: str, other: str, names: Correspondence) -> list[str]:
    expected, actual = one.splitlines(), other.splitlines()
    if len(expected) != len(actual):
        return list(unified_diff(expected, actual, lineterm="", n=1))
    return [f"{a} | {b}" for a, b in zip(expected, actual, strict=True) if names.compare_text(a, b)]


async def visit(browser: Browsing, api: str) -> Visit:
    """Make a whole visit to the page, with the API at `api` (a URL)."""
    async with browser.tab(api) as page:
        recording = await Recording.begin(page)
        visitor = Visitor(page)
        await visitor.visit()
        return Visit(visitor.screens, await recording.finish(api))


class Visitor:
    """A clinician who uses the page."""

    def __init__(self, page: Page) -> None:
        self.screens: dict[str, str] = {}
        self._page = page

    async def visit(self) -> None:
        await self._page.goto(PAGE)
        await self.register()
        await self.write_prompts()
        await self.start_consultation()
        await self.record()
        await self.correct()
        await self.take_notes()
        await self.end_consultation()
        await self.reopen_consultation()
        await self.research()
        await self.leave_and_return()

    async def register(self) -> None:
        await self._page.get_by_role("tab", name="Register").click()
        await self.record_screen("register")
        await self._fill("Name", "Amara Osei")
        await self._fill("Email", EMAIL)
        await self._fill("Password", PASSWORD)
        await self._press("Create account")
        await self._see("No consultations yet")
        await expect(self._page.get_by_text("Amara Osei")).to_be_visible()
        await self.record_screen("registered")

    async def write_prompts(self) -> None:
        await self._go("Prompts")
        for name in ("SOAP note", "Letter"):
            await self._press("New prompt")
            await self._fill("Name", name)
            await self._fill("Instructions", f"Write it as a {name.lower()}.")
            await self._press("Save prompt")
            await self._see(name)
        await self._press("Change SOAP note")
        await self._page.get_by_label("Share it with everybody").check()
        await self._press("Save prompt")
        await expect(self._page.get_by_text("Shared", exact=True)).to_be_visible()
        await self._press("Delete Letter")
        await self._page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(self._page.get_by_role("heading", name="Letter")).to_have_count(0)
        await self._expect_status("The prompt is deleted.")
        await self.record_screen("prompts")

    async def start_consultation(self) -> None:
        await self._go("Consultations")
        await self._press("New consultation")
        await self._fill("Patient's name", "Priya Raman")
        await self._fill("Date of birth", "1984-03-09")
        await self._fill("Reason for the visit", "Migraine")
        await self._press("Start consultation")
        await self._see("Priya Raman")
        await self.record_screen("consultation")

    async def record(self) -> None:
        await self._press("Record")
        await expect(self._page.get_by_text("heard").first).to_be_visible()
        await self.record_screen("recording")
        await self._press("Stop")
        await expect(self._page.get_by_text("Saved")).to_be_visible()
        await self.record_screen("recorded")

    async def correct(self) -> None:
        await self._press("Correct")
        await self._fill("Correct the transcript", SAID)
        await self._press("Save")
        await expect(self._page.get_by_text(SAID)).to_be_visible()

    async def take_notes(self) -> None:
        for text in ("No red flags.", "To be deleted."):
            await self._fill("New note", text)
            await self._press("Add note")
            await expect(self._notes.filter(has_text=text)).to_be_visible()
        await self._notes.last.get_by_role("button", name="Change this note").click()
        await self._fill("Change the note", "No red flags. Safety net given.")
        await self._press("Save")
        await expect(self._notes.last).to_contain_text("Safety net")
        await self._notes.first.get_by_role("button", name="Delete this note").click()
        await self._page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(self._notes).to_have_count(1)
        await self._expect_status("The note is deleted.")
        await self.record_screen("notes")

    async def end_consultation(self) -> None:
        async with self._page.expect_response(_is_refused_deletion):
            await self._page.get_by_label("Prompt", exact=True).select_option("SOAP note")
        await self._press("End and summarise")
        await expect(self._page.get_by_text("answer[")).to_be_visible()
        await self._press("Verify the code of diabetes")
        await expect(self._page.get_by_text("NHS:")).to_be_visible()
        await self.record_screen("ended")

    async def reopen_consultation(self) -> None:
        await self._go("Consultations")
        await self._page.get_by_role("link", name="Priya Raman").click()
        await expect(self._page.get_by_text("answer[")).to_be_visible()
        await self.record_screen("looked back")

    async def research(self) -> None:
        await self._go("Research")
        await self._fill("Your question", "What helps against migraine?")
        await self._press("Ask")
        await expect(self._page.get_by_role("article")).to_be_visible()
        await self._fill("Term", "migraine")
        await self._press("Look up")
        await expect(self._page.get_by_text("NHS: migraine")).to_be_visible()
        await self.record_screen("research")

    async def leave_and_return(self) -> None:
        await self._press("Log out")
        await expect(self._page.get_by_role("tab", name="Log in")).to_be_visible()
        await self.record_screen("left")
        await self._fill("Email", EMAIL)
        await self._fill("Password", PASSWORD)
        await self._press("Log in")
        await self._see("Consultations")
        await expect(self._page.get_by_text("Amara Osei")).to_be_visible()
        await self.record_screen("returned")

    async def record_screen(self, step: str) -> None:
        """Record the text on the screen, without the time of day and the amount of audio transcribed."""
        await expect(self._page.locator("[aria-busy=true]")).to_have_count(0)
        said = settle(await self._page.locator("#app").aria_snapshot())
        self.screens[step] = _TIME.sub("Now", _CLOCK.sub("#", said))

    @property
    def _notes(self) -> Locator:
        return self._page.get_by_role("region", name="Notes").get_by_role("listitem")

    async def _go(self, name: str) -> None:
        await self._page.get_by_role("navigation").get_by_role("link", name=name).click()
        await self._see(name)

    async def _see(self, heading: str) -> None:
        await expect(self._page.get_by_role("heading", name=heading, exact=True)).to_be_visible()

    async def _expect_status(self, message: str) -> None:
        await expect(self._page.locator("#messages")).to_have_text(message)

    async def _press(self, name: str) -> None:
        await self._page.get_by_role("button", name=name, exact=True).click()

    async def _fill(self, label: str, text: str) -> None:
        await self._page.get_by_label(label).fill(text)


def _is_refused_deletion(answer: Response) -> bool:
    return "/add-prompt/" in answer.url and answer.request.method == "PATCH"
