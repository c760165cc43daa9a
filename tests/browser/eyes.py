"""Looking at a page as it stands: light and dark, at a counter's screen, on a tablet, on a phone.

axe needs JavaScript, and pages are visited without: it runs in a mirror, another page with the same
bytes. With `DRAW=1`, each look leaves a picture of each of `LOOKS` in `runs/desk/`.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response, Route, ViewportSize

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
TABLET: ViewportSize = {"width": 1024, "height": 768}
UPRIGHT: ViewportSize = {"width": 820, "height": 1180}
PHONE: ViewportSize = {"width": 390, "height": 844}
SMALL: ViewportSize = {"width": 360, "height": 740}
ZOOMED: ViewportSize = {"width": 640, "height": 400}
"""A counter's screen at 200 %."""
LOOKS = tuple(
    (size, viewport, scheme)
    for size, viewport in (("desktop", DESKTOP), ("tablet", TABLET), ("phone", PHONE))
    for scheme in ("light", "dark")
)
"""Sizes and schemes that each page is looked at in."""
PICTURES = Path(__file__).resolve().parents[2] / "runs" / "desk"

_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
_POLICY = "content-security-policy"
_BAD = ("moderate", "serious", "critical")
EXCUSED: dict[str, str] = {}
"""Rules of axe that pages may break, each with the reason; none so far."""
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_RUN = "([where, rules]) => axe.run(where, {resultTypes: ['violations'], ...rules})"
_EVERYWHERE: dict[str, object] = {"include": ["html"]}
_ONCE_EACH: dict[str, object] = {**_EVERYWHERE, "exclude": ["tbody tr:nth-child(n + 5)"]}
"""Rows of a table are drawn as those before them: looked at again, they cost most of the time."""
_COLOURS = ("color-contrast", "link-in-text-block")
_PLACES = ("scrollable-region-focusable", "target-size")
"""Rules about how a page is drawn; the others find the same at any size and in any colours."""


class Eyes:
    """Looks at the pages of one browser."""

    def __init__(self, browser: Browser) -> None:
        """Takes the browser in which the mirror is opened."""
        self._mirror = browser.new_page()
        self._policies: dict[str, str] = {}
        self._shown = ("", "")
        self._mirror.route("**/*", self._reflect)

    def close(self) -> None:
        """Closes the mirror."""
        self._mirror.close()

    def heed(self, response: Response) -> None:
        """Remembers what a page may load, for its reflection."""
        if response.request.resource_type == "document":
            self._policies[response.url] = response.headers.get(_POLICY, "")

    def look(self, page: Page, name: str) -> None:
        """Looks at a page, and complains of what keeps people from reading or using it.

        Args:
            page: It.
            name: Of its state, for the pictures and in complaints.
        """
        if os.environ.get("DRAW"):
            self._photograph(page, name)
        self._shown = page.url, page.content()
        self._mirror.goto(page.url)
        self._mirror.evaluate(_AXE)
        found = self._barriers(name) + self._too_wide(name)
        assert not found, "\n".join(found)

    def _photograph(self, page: Page, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        for size, viewport, scheme in LOOKS:
            page.set_viewport_size(viewport)
            _emulate(page, scheme)
            page.screenshot(path=PICTURES / f"{name}-{size}-{scheme}.png", full_page=True)
        _emulate(page, "light")
        page.set_viewport_size(DESKTOP)

    def _barriers(self, name: str) -> list[str]:
        """What axe finds: by all rules once, then by those that a size or a scheme changes."""
        found: list[str] = []
        where, only, before = _EVERYWHERE, {}, DESKTOP
        for size, viewport, scheme in LOOKS:
            if viewport is not before:
                only = _rules(*_COLOURS, *_PLACES)
            self._mirror.set_viewport_size(viewport)
            _emulate(self._mirror, scheme)
            for rule in self._mirror.evaluate(_RUN, [where, only])["violations"]:
                found += _said(f"{name}, {size}, {scheme}", rule)
            where, only, before = _ONCE_EACH, _rules(*_COLOURS), viewport
        return found

    def _too_wide(self, name: str) -> list[str]:
        found = []
        for viewport in (UPRIGHT, ZOOMED, PHONE, SMALL):
            self._mirror.set_viewport_size(viewport)
            if over := self._mirror.evaluate(_WIDER):
                found.append(f"{name}: {over} px wider than a screen of {viewport['width']}")
        return found

    def _reflect(self, route: Route) -> None:
        url, text = self._shown
        if route.request.resource_type != "document":
            route.continue_()
            return
        headers = {_POLICY: self._policies.get(url, "")}
        route.fulfill(body=text, content_type="text/html; charset=utf-8", headers=headers)


def _emulate(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")


def _rules(*names: str) -> dict[str, object]:
    return {"runOnly": {"type": "rule", "values": names}}


def _said(where: str, rule: dict[str, Any]) -> list[str]:
    """What axe found, by element."""
    if rule["impact"] not in _BAD or rule["id"] in EXCUSED:
        return []
    return [
        f"{where}: {rule['id']} ({rule['impact']}): {one['target']}: {one['html'][:200]}"
        for one in rule["nodes"]
    ]
