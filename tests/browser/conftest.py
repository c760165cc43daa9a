"""One browser and one counter for all tests of a process: both take seconds to start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.counter import Counter
from tests.browser.eyes import Eyes
from tests.browser.staff import Staff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A real Chromium, without a window."""
    if not CHROMIUM.exists():
        reason = f"no browser: expected {CHROMIUM}, which `scripts/setup.sh dev` installs"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield made
        made.close()


@pytest.fixture(scope="package")
def eyes(browser: Browser) -> Iterator[Eyes]:
    """Look at pages of that browser."""
    made = Eyes(browser)
    yield made
    made.close()


@pytest.fixture(scope="package")
def counter(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    """An outlet with a desk; after the browser, since it is for nothing without one."""
    with Counter(tmp_path_factory.mktemp("counter")) as made:
        yield made


@pytest.fixture
def settings() -> str:
    """More lines of the desk's settings; a test that needs some is parametrized with them."""
    return ""


@pytest.fixture(scope="package")
def everybody(counter: Counter, browser: Browser, eyes: Eyes) -> Iterator[Staff]:
    """The counter's staff."""
    made = Staff(counter, browser, eyes)
    yield made
    made.leave()


@pytest.fixture
def staff(everybody: Staff, settings: str) -> Iterator[Staff]:
    """The counter's staff, at a desk with these settings and the network in reach."""
    everybody.come(settings)
    yield everybody
    everybody.end()
