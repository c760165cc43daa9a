"""Pages that answer a form, kept in memory to be read with GET, for one browser.

Invariant: they are in this process's memory and nowhere else, are given to the browser that sent
the form and to no other, and go with its session. The number that stands in an address says nothing
of a customer.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST = 24
_MOST_STRANGERS = 256
_DIGITS = 9


@dataclass(frozen=True, slots=True, repr=False)
class AnswerPage:
    """A page as it was rendered.

    Attributes:
        path: Where it is shown.
        still: Whether it may be shown as it is; what it says may have been taken back since.
    """

    path: str
    status: int
    body: bytes
    headers: Mapping[str, str]
    media_type: str | None
    still: Callable[[], bool]


@dataclass(frozen=True, slots=True, repr=False)
class TypedForm:
    """What was typed into a form that did nothing: its page is shown with it, to be sent again.

    Attributes:
        path: Where the form is.
        note: What is said above it.
    """

    path: str
    fields: Mapping[str, str]
    note: str


class KeptPages:
    """The pages of one browser; for any number of threads."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._all: dict[int, AnswerPage | TypedForm] = {}
        self._said: dict[str, str] = {}

    def keep(self, page: AnswerPage | TypedForm) -> str:
        """Keeps a page; returns its address. The oldest goes where there are too many."""
        number = secrets.randbelow(9 * 10 ** (_DIGITS - 1)) + 10 ** (_DIGITS - 1)
        with self._alone:
            while len(self._all) >= _MOST:
                del self._all[next(iter(self._all))]
            self._all[number] = page
        return f"{page.path}?shown={number}"

    def find(self, number: int | None, path: str) -> AnswerPage | TypedForm | None:
        """The page with a number, if it is of this path and may still be shown."""
        with self._alone:
            found = None if number is None else self._all.get(number)
        if found is None or found.path != path:
            return None
        if isinstance(found, AnswerPage) and not found.still():
            with self._alone:
                self._all.pop(number or 0, None)
            return None
        return found

    def say(self, location: str, words: str) -> None:
        """Keeps a sentence that is said once, by the page at a location."""
        with self._alone:
            self._said[location] = words

    def said(self, location: str) -> str:
        """The sentence for a location, which nobody gets again; "" where there is none."""
        with self._alone:
            return self._said.pop(location, "")


@dataclass(slots=True)
class StrangersPages:
    """The pages of browsers in which nobody is signed in, by the mark in their cookie."""

    _alone: threading.Lock = field(default_factory=threading.Lock)
    _all: dict[str, KeptPages] = field(default_factory=dict)

    def of(self, mark: str) -> KeptPages:
        """Those of one browser; the oldest browser's go where there are too many."""
        with self._alone:
            found = self._all.pop(mark, None) or KeptPages()
            while len(self._all) >= _MOST_STRANGERS:
                del self._all[next(iter(self._all))]
            self._all[mark] = found
            return found

    def forget(self, mark: str) -> None:
        """Forgets those of one browser."""
        with self._alone:
            self._all.pop(mark, None)
