"""Sessions of signed-in staff, and open passkey challenges, in memory.

Invariant: a session lives in this process only and under an id made when somebody signed in, so no
id that a browser brings from before is ever taken up; the id itself is kept hashed. A challenge is
given out once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from outlet_client.desk.kept_pages import KeptPages

if TYPE_CHECKING:
    import datetime as dt

    from outlet_client.staff.accounts import Account

_MOST_EACH = 5
_MOST_CHALLENGES, _CHALLENGE_SECONDS = 20_000, 300


@dataclass(slots=True, repr=False)
class Session:
    """One browser's.

    Attributes:
        generation: Of the account when it began; another one ends the session.
        csrf: What every form of it carries.
        pages: What answered its forms; gone with it.
        resume: Where its holder goes on once they are let in; "" at their first page.
    """

    name: str
    generation: int
    made: dt.datetime
    seen: dt.datetime
    csrf: str = field(default_factory=secrets.token_urlsafe)
    pages: KeptPages = field(default_factory=KeptPages)
    resume: str = ""

    def is_form_of(self, sent: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.csrf.encode(), sent.encode())


class Sessions:
    """All sessions of a process; for any number of threads."""

    def __init__(self, idle: dt.timedelta, longest: dt.timedelta) -> None:
        """Takes after which time without use, and after which time at all, a session ends."""
        self._idle, self._longest = idle, longest
        self._alone = threading.Lock()
        self._all: dict[str, Session] = {}

    def begin(self, account: Account, at: dt.datetime) -> str:
        """Begins a session; returns its id, for the browser alone."""
        made = secrets.token_urlsafe(32)
        with self._alone:
            self._prune(at)
            mine = [key for key, one in self._all.items() if one.name == account.name]
            for key in mine[: max(0, len(mine) + 1 - _MOST_EACH)]:
                del self._all[key]
            self._all[_hashed(made)] = Session(account.name, account.generation, at, at)
        return made

    def find(self, cookie: str, at: dt.datetime) -> Session | None:
        """The session of an id, used now; None where it is none, or over."""
        with self._alone:
            self._prune(at)
            found = self._all.get(_hashed(cookie))
            if found is not None:
                found.seen = at
            return found

    def end(self, cookie: str) -> None:
        """Ends one."""
        with self._alone:
            self._all.pop(_hashed(cookie), None)

    def _prune(self, at: dt.datetime) -> None:
        """Ends all that are over: with each goes what its pages said of customers."""
        for key in [key for key, one in self._all.items() if self._over(one, at)]:
            del self._all[key]

    def _over(self, one: Session, at: dt.datetime) -> bool:
        return at - one.seen > self._idle or at - one.made > self._longest


class Challenges:
    """What browsers were asked to sign with a passkey; for any number of threads."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._open: dict[str, tuple[bytes, dt.datetime]] = {}

    def keep(self, mark: str, challenge: bytes, at: dt.datetime) -> None:
        """Keeps one for the forms with this mark; the oldest goes where there are too many."""
        with self._alone:
            self._open.pop(_hashed(mark), None)
            while len(self._open) >= _MOST_CHALLENGES:
                del self._open[next(iter(self._open))]
            self._open[_hashed(mark)] = challenge, at

    def take(self, mark: str, at: dt.datetime) -> bytes:
        """The one for this mark, which nobody gets again; one that nobody can sign if none is."""
        with self._alone:
            challenge, made = self._open.pop(_hashed(mark), (b"", at))
        fresh = (at - made).total_seconds() <= _CHALLENGE_SECONDS
        return challenge if challenge and fresh else secrets.token_bytes(64)


def _hashed(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
