"""The staff's browsers at one counter, and what people do in them.

Invariant, looked after at the end of every test: no browser asked another host for anything, no
customer's phone was in an address, and nothing on a page was against its own security policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.browser.counter import DIGITS, PHONES
from tests.browser.eyes import DESKTOP

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

    from tests.browser.counter import Counter
    from tests.browser.eyes import Eyes

SALE = "Sale in progress"
PATIENCE = 20_000.0
"""In milliseconds; for machines that do other things as well."""


@dataclass
class Staff:
    """The staff of one counter, each with a browser of their own.

    Attributes:
        counter: Where.
        browser: The program.
        eyes: What looks at pages.
        asked: All addresses that were asked for.
        complaints: What browsers said against a page.
    """

    counter: Counter
    browser: Browser
    eyes: Eyes
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _open: list[BrowserContext] = field(default_factory=list, init=False)

    def somebody(self, *, scripts: bool = False) -> Page:
        """A browser in which nobody is signed in, with or without JavaScript."""
        made = self.browser.new_context(
            base_url=self.counter.url, java_script_enabled=scripts, viewport=DESKTOP
        )
        made.set_default_timeout(PATIENCE)
        made.on("request", self._note)
        made.on("console", self._hear)
        made.on("response", self.eyes.heed)
        self._open.append(made)
        return made.new_page()

    def signed_in(self, name: str) -> Page:
        """A browser in which somebody is signed in; they typed their password once only."""
        page = self.somebody()
        if name in self.counter.sessions:
            page.context.add_cookies(self.counter.sessions[name])  # type: ignore[arg-type]  # its own
            page.goto("/")
        else:
            sign_in(page, name, self.counter.passwords[name])
            self.counter.sessions[name] = page.context.cookies()
        return page

    def look(self, page: Page, name: str) -> None:
        """Looks at a page; see `Eyes.look`."""
        self.eyes.look(page, name)

    def close(self) -> None:
        """Closes all browsers, and says what was wrong."""
        for one in self._open:
            one.close()
        assert {urlsplit(url).netloc for url in self.asked} <= {urlsplit(self.counter.url).netloc}
        assert not [url for url in self.asked if DIGITS in url]
        assert not self.complaints

    def _note(self, request: Request) -> None:
        if not request.url.startswith("data:"):
            self.asked.append(request.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.complaints.append(message.text)


def sign_in(page: Page, name: str, password: str) -> None:
    """Signs in, or tries to."""
    page.goto("/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def undertake(page: Page, name: str) -> None:
    """Gives the undertaking."""
    page.get_by_label(f"I, {name}, undertake this.").check()
    page.get_by_role("button", name="Go on").click()


def look_up(page: Page, name: str, *, reference: str = "") -> str:
    """Looks a customer up, and returns what the page answers."""
    page.goto("/look-up")
    page.get_by_label("Phone").fill(PHONES[name])
    page.get_by_label(SALE).check()
    page.get_by_label("Reference").fill(reference)
    page.get_by_role("button", name="Look up", exact=True).click()
    return answer(page)


def agree(page: Page) -> str:
    """Ticks that the customer agrees to the notice, and returns what the page answers."""
    page.get_by_label("and agrees").check()
    page.get_by_role("button", name="Record and look up").click()
    return answer(page)


def answer(page: Page) -> str:
    """What a look-up answers, with all that is folded away."""
    return str(page.locator("section.answer").text_content())


def at(page: Page) -> str:
    """The path that a page is at, with what stands behind it."""
    found = urlsplit(page.url)
    return f"{found.path}?{found.query}" if found.query else found.path


def text(page: Page) -> str:
    """What a page says, without its head."""
    return page.locator("main").inner_text()
