"""One-time keys of the desk's forms: what was sent acts once, whatever a browser repeats.

Invariant: a key is made by this desk, for one account and one form, and taken for as long only as
what was sent with it is remembered. What was sent is in `staff.db` before it acts, so neither a
double click nor a restart lets it act twice; and nothing of what was typed is kept, only a keyed
hash.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import sqlalchemy as sa

from outlet_client.staff.staff_store import FORMS
from privacy.envelopes import frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.staff.staff_store import StaffStore

CSRF, KEY = "csrf", "once"
"""Fields that the desk adds to a form; `csrf` is of the session, `once` of this one form."""

_DOMAIN = b"escapement/v1/desk-form"
_PATIENCE_SECONDS = 10.0
_MARGIN = dt.timedelta(hours=1)
_MOST_IN_MEMORY = 5_000


@dataclass(frozen=True, slots=True)
class FormResult:
    """What came of a form that was sent before.

    Attributes:
        location: The page that says so; "" where nobody can know: the program was stopped, or is
            still at it.
        said: A sentence of ours that confirms what was done; "" where the page itself does.
        under_way: Whether it is being done just now.
    """

    location: str = ""
    said: str = ""
    under_way: bool = False


class FormKeys:
    """Makes keys, and remembers what was sent with them; for any number of threads."""

    def __init__(self, store: StaffStore, secret: bytes, life: dt.timedelta) -> None:
        """Takes the secret that keys are made under, and how long a form is taken."""
        self._store, self._life = store, life
        self._secret = hashlib.sha256(frame(_DOMAIN, secret)).digest()
        self._boot = secrets.token_hex(8)
        self._alone = threading.Lock()
        self._doing: dict[str, threading.Event] = {}
        self._done: dict[str, tuple[dt.datetime, FormResult]] = {}
        self._pruned: dt.datetime | None = None

    def make(self, name: str, path: str, at: dt.datetime) -> str:
        """A key for one form of one account; "" is the name where nobody is signed in."""
        stem = f"{int(at.timestamp() * 1000):x}.{secrets.token_urlsafe(16)}"
        return f"{stem}.{self._mac(name, path, stem)}"

    def made_at(self, key: str, name: str, path: str, at: dt.datetime) -> dt.datetime | None:
        """When a key was made; None where it is none of this account's for this form, or old."""
        stem, _, mac = key.rpartition(".")
        if not hmac.compare_digest(self._mac(name, path, stem).encode(), mac.encode()):
            return None
        made = dt.datetime.fromtimestamp(int(stem.partition(".")[0], 16) / 1000, dt.UTC)
        return made if -_MARGIN <= at - made <= self._life else None

    def digest(self, name: str, path: str, form: Mapping[str, str]) -> str:
        """Under which what was sent is remembered; another content is another one."""
        typed = urlencode(sorted((field, text) for field, text in form.items() if field != CSRF))
        message = frame(b"sent", name.encode(), path.encode(), typed.encode())
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def begin(self, digest: str, at: dt.datetime, *, durable: bool = True) -> FormResult | None:
        """Lets what was sent act; None the first time, afterwards what came of it.

        Whoever comes while it is being done waits for its end, some seconds at most.
        """
        while True:
            with self._alone:
                self._prune(at)
                if (known := self._done.get(digest)) is not None:
                    return known[1]
                waiting = self._doing.get(digest)
                if waiting is None:
                    self._doing[digest] = threading.Event()
                    break
            if not waiting.wait(_PATIENCE_SECONDS):
                return FormResult(under_way=True)
        before: FormResult | None = None
        try:
            before = self._claimed(digest, at) if durable else None
        except BaseException:
            self._leave(digest)
            raise
        if before is not None:
            self._leave(digest)
        return before

    def finish(self, digest: str, result: FormResult, at: dt.datetime) -> None:
        """Remembers what came of what was sent."""
        with self._store.transaction() as connection:
            connection.execute(
                sa.update(FORMS)
                .where(FORMS.c.digest == digest)
                .values(location=result.location, said=result.said)
            )
        self.finish_in_memory(digest, result, at)

    def finish_in_memory(self, digest: str, result: FormResult, at: dt.datetime) -> None:
        """The same for as long as this program runs."""
        with self._alone:
            while len(self._done) >= _MOST_IN_MEMORY:
                del self._done[next(iter(self._done))]
            self._done[digest] = at, result
        self._leave(digest)

    def release(self, digest: str, *, durable: bool = True) -> None:
        """Forgets what was sent: it did nothing, and may be sent again."""
        if durable:
            with self._store.transaction() as connection:
                connection.execute(sa.delete(FORMS).where(FORMS.c.digest == digest))
        self._leave(digest)

    def result_of(self, digest: str) -> FormResult | None:
        """What came of something that was sent; None where it never was, or did nothing."""
        with self._alone:
            if (known := self._done.get(digest)) is not None:
                return known[1]
        with self._store.reading() as connection:
            row = connection.execute(sa.select(FORMS).where(FORMS.c.digest == digest)).first()
        return None if row is None else FormResult(row.location, row.said)

    def _claimed(self, digest: str, at: dt.datetime) -> FormResult | None:
        insert = FORMS.insert().prefix_with("OR IGNORE")
        row = {"digest": digest, "at": at.timestamp(), "boot": self._boot}
        with self._store.transaction() as connection:
            if connection.execute(insert, {**row, "location": "", "said": ""}).rowcount:
                return None
            found = connection.execute(sa.select(FORMS).where(FORMS.c.digest == digest)).one()
        return FormResult(found.location, found.said)

    def _leave(self, digest: str) -> None:
        with self._alone:
            waiting = self._doing.pop(digest, None)
        if waiting is not None:
            waiting.set()

    def _prune(self, at: dt.datetime) -> None:
        """Forgets what no form can be sent again for; once an hour."""
        if self._pruned is not None and at - self._pruned < _MARGIN:
            return
        self._pruned = at
        before = at - self._life - 2 * _MARGIN
        for digest in [one for one, (made, _) in self._done.items() if made < before]:
            del self._done[digest]
        with self._store.transaction() as connection:
            connection.execute(sa.delete(FORMS).where(FORMS.c.at < before.timestamp()))

    def _mac(self, name: str, path: str, stem: str) -> str:
        message = frame(b"key", name.encode(), path.encode(), stem.encode())
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:32]
