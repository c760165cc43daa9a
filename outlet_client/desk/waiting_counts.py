"""How much waits for whom: the numbers beside the names of pages.

Invariant: a page never waits for a costly number: it shows the one that was counted last, and that
is counted anew once the page is on its way. A number says nothing of a customer.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from outlet_client.errors import OutletError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

    from outlet_client.staff.accounts import Role

_LOG = logging.getLogger(__name__)
_STORE_ERRORS = (SQLAlchemyError, OSError, OutletError)


@dataclass(frozen=True, slots=True)
class WaitingKind:
    """One kind of thing that waits for a person.

    Attributes:
        path: The page on which it is done.
        roles: For whom it waits.
        count: How many there are; None where that cannot be said.
        mark: Something cheap that changes whenever the number may; None where counting is cheap.
        rest: For how many seconds a number stands, whatever its mark says.
    """

    path: str
    roles: frozenset[Role]
    count: Callable[[dt.datetime], int | None]
    mark: Callable[[dt.datetime], object] | None = None
    rest: float = 0.0


@dataclass(frozen=True, slots=True)
class _Counted:
    number: int | None
    mark: object
    at: dt.datetime


class WaitingCounts:
    """The numbers of all kinds; for any number of threads."""

    def __init__(self, kinds: Iterable[WaitingKind]) -> None:
        self._kinds = {one.path: one for one in kinds}
        self._known: dict[str, _Counted] = {}
        self._alone = threading.Lock()

    def of(self, role: Role, at: dt.datetime) -> dict[str, int]:
        """How much waits for a role, by page; without what was never counted, or cannot be."""
        numbers = {one.path: self._number(one, at) for one in self._of(role)}
        return {path: number for path, number in numbers.items() if number is not None}

    def is_old(self, role: Role, at: dt.datetime) -> bool:
        """Whether a costly number of a role is to be counted anew; not where a store fails."""
        try:
            return any(self._is_old(one, at) for one in self._of(role))
        except _STORE_ERRORS as error:
            _note_failure(error)
            return False

    def refresh(self, role: Role, at: dt.datetime) -> None:
        """Counts what is old of a role's costly numbers; nothing where somebody else does."""
        if not self._alone.acquire(blocking=False):
            return
        try:
            for one in self._of(role):
                if self._is_old(one, at):
                    mark = self.mark(one.path, at)
                    self.note(one.path, at, mark, one.count(at))
        except Exception as error:  # noqa: BLE001  (nobody waits; its text may hold anything)
            _note_failure(error)
        finally:
            self._alone.release()

    def mark(self, path: str, at: dt.datetime) -> object:
        """A kind's mark, taken before it is counted; None where it has none."""
        mark = self._kinds[path].mark
        return None if mark is None else mark(at)

    def note(self, path: str, at: dt.datetime, mark: object, number: int | None) -> None:
        """Keeps a number that was counted, by a page of its own too."""
        self._known[path] = _Counted(number, mark, at)

    def _of(self, role: Role) -> list[WaitingKind]:
        return [one for one in self._kinds.values() if role in one.roles]

    def _number(self, one: WaitingKind, at: dt.datetime) -> int | None:
        """A number as it is known, or counted where that is cheap; None where a store fails."""
        if one.mark is not None:
            known = self._known.get(one.path)
            return None if known is None else known.number
        try:
            return one.count(at)
        except _STORE_ERRORS as error:  # a page that says what is wrong needs no numbers
            _note_failure(error)
            return None

    def _is_old(self, one: WaitingKind, at: dt.datetime) -> bool:
        if one.mark is None:
            return False
        known = self._known.get(one.path)
        if known is None:
            return True
        return (at - known.at).total_seconds() >= one.rest and one.mark(at) != known.mark


def _note_failure(error: Exception) -> None:
    """Says in the program's log that a number is left out; of the error its type only."""
    _LOG.error("what waits: %s", type(error).__name__)
