"""A keyboard that counts how often it is pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


class Keys:
    """The keyboard of one page; a sign, a tab and an Enter are a key each."""

    def __init__(self, page: Page) -> None:
        """Takes the page, with the focus where it is."""
        self._page, self.count = page, 0

    def type(self, words: str) -> None:
        """Types some signs."""
        self._page.keyboard.type(words)
        self.count += len(words)

    def press(self, *names: str) -> None:
        """Presses keys by name."""
        for name in names:
            self._page.keyboard.press(name)
            self.count += 1

    def enter(self) -> None:
        """Presses Enter, and waits for the page that answers."""
        with self._page.expect_navigation():
            self.press("Enter")
