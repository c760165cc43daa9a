"""The staff's browsers at one counter, and what people do in them.

Invariant, looked after at the end of every test: no browser asked another host for anything, no
customer's phone was in an address, and nothing on a page was against its own security policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Locator

from tests.browser.counter import DIGITS, PHONES
from tests.browser.eyes import DESKTOP

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

    from tests.browser.counter import Counter
    from tests.browser.eyes import Eyes

SALE = "Sale in progress"
PATIENCE = 60_000.0
"""In milliseconds; for machines that do other things as well."""


@dataclass
class Staff:
    """The staff of one counter. Who has signed in stays so; their browsers stay open.

    Attributes:
        counter: Where.
        browser: The program.
        eyes: What looks at pages.
    """

    counter: Counter
    browser: Browser
    eyes: Eyes
    _asked: list[str] = field(default_factory=list, init=False)
    _complaints: list[str] = field(default_factory=list, init=False)
    _strangers: list[Page] = field(default_factory=list, init=False)
    _pages: dict[str, Page] = field(default_factory=dict, init=False)

    def come(self, settings: str) -> None:
        """Comes to a desk that runs with these settings, and has the network in reach."""
        if settings != self.counter.settings:
            self.leave()
            self.counter.runs_with(settings)
        self.counter.serve()

    def somebody(self, *, scripts: bool = False) -> Page:
        """A browser in which nobody is signed in, with or without JavaScript."""
        self._strangers.append(self._open(scripts=scripts))
        return self._strangers[-1]

    def signed_in(self, name: str) -> Page:
        """A browser in which somebody is signed in, at their first page."""
        if name not in self._pages:
            self._pages[name] = self._open(scripts=False)
            sign_in(self._pages[name], name, self.counter.passwords[name])
        page = self._pages[name]
        page.set_viewport_size(DESKTOP)
        page.goto("/")
        return page

    def look(self, page: Page, name: str) -> None:
        """Looks at a page; see `Eyes.look`."""
        self.eyes.look(page, name)

    def end(self) -> None:
        """Ends a test: says what was wrong in any browser."""
        while self._strangers:
            self._strangers.pop().context.close()
        asked, complaints = self._asked, self._complaints
        self._asked, self._complaints = [], []
        assert {urlsplit(url).netloc for url in asked} <= {urlsplit(self.counter.url).netloc}
        assert not [url for url in asked if DIGITS in url]
        assert not complaints

    def leave(self) -> None:
        """Closes all browsers."""
        while self._pages:
            self._pages.popitem()[1].context.close()

    def _open(self, *, scripts: bool) -> Page:
        made = self.browser.new_context(
            base_url=self.counter.url, java_script_enabled=scripts, viewport=DESKTOP
        )
        made.set_default_timeout(PATIENCE)
        made.on("request", self._note)
        made.on("console", self._hear)
        made.on("response", self.eyes.heed)
        return made.new_page()

    def _note(self, request: Request) -> None:
        if not request.url.startswith("data:"):
            self._asked.append(request.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self._complaints.append(message.text)


def press(where: Page | Locator, name: str, *, exact: bool = True) -> None:
    """Presses a button, and waits for the page that answers."""
    page = where.page if isinstance(where, Locator) else where
    with page.expect_navigation():
        where.get_by_role("button", name=name, exact=exact).click()


def follow(page: Page, name: str) -> None:
    """Follows a link, and waits for the page behind it."""
    with page.expect_navigation():
        page.get_by_role("link", name=name).click()


def sign_in(page: Page, name: str, password: str) -> None:
    """Signs in, or tries to."""
    page.goto("/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    press(page, "Sign in")


def undertake(page: Page, name: str) -> None:
    """Gives the undertaking."""
    page.get_by_label(f"I, {name}, undertake this.").check()
    press(page, "Go on")


def look_up(page: Page, name: str, *, reference: str = "") -> str:
    """Looks a customer up, and returns what the page answers."""
    page.goto("/look-up")
    page.get_by_label("Phone").fill(PHONES[name])
    page.get_by_label(SALE).check()
    page.get_by_label("Reference").fill(reference)
    press(page, "Look up")
    return answer(page)


def agree(page: Page) -> str:
    """Ticks that the customer agrees to the notice, and returns what the page answers."""
    page.get_by_label("and agrees").check()
    press(page, "Record and look up")
    return answer(page)


def answer(page: Page) -> str:
    """What a look-up answers, or says beside a field."""
    return str(page.locator("section.answer, .question .flaw").first.text_content())


def at(page: Page) -> str:
    """The path that a page is at, with what stands behind it."""
    found = urlsplit(page.url)
    return f"{found.path}?{found.query}" if found.query else found.path


def text(page: Page) -> str:
    """What a page says, without its head."""
    return page.locator("main").inner_text()
