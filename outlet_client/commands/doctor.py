"""`escapement-outlet doctor`: looks at everything a night needs, and says what to do.

Invariant: nothing is changed; what fails is named and hinders no other check.
"""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from outlet_client.bands.book_store import read_book, why_stale
from outlet_client.commands.options import HERE, Home, Json
from outlet_client.commands.output import OUT, say_json
from outlet_client.database import DATABASES, is_missing
from outlet_client.errors import (
    OWN_ERRORS,
    BookMissing,
    HqUnreachable,
    NotConfigured,
    OutletError,
    StoreMissing,
)
from outlet_client.moments import now
from outlet_client.night.night_journal import error_text
from outlet_client.people.people_store import People
from outlet_client.services import HQ, OFFICE, REPLACE_CARD, services_of
from outlet_client.settings import OutletFile
from outlet_client.setup.dry_run import DryRun, dry_run
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.key_health import key_notes
from privacy.keyring import Keyring
from server.wire.handshakes import HandshakeFailed, shake_hands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_Check = tuple[str, "Callable[[], str]"]
"""A name, and what looks and says how it stands."""

LEAST_FREE_BYTES = 2**28
REACH_SECONDS = 5.0

TABLES = ("ledger", "references", "sightings", "interests", "clients", "policy")
"""What the settings may name."""

_MARKS = {
    "ok": "[green]✓[/]", "later": "[dim]-[/]", "note": "[yellow]?[/]", "fault": "[red]✗[/]"
}  # fmt: skip


class _Noted(OutletError):
    """What somebody should know of, and is no fault."""


class _Later(OutletError):
    """What cannot be known now, and is no fault: it says what will answer it, and when."""


_BY_NIGHT = (
    "not known by day: HQ listens there while its night runs, and no longer. Tonight's night "
    "answers it (`escapement-outlet status` says how it went), or this command while one runs"
)


def doctor(home: Home = HERE, as_json: Json = False) -> None:
    """Checks keys, cards, settings and their files, stores, disk, HQ, clock, says what to do."""
    found = []
    for name, look in _checks(home):
        standing, text = _standing(look)
        found.append({"name": name, "standing": standing, "text": text})
        if not as_json:
            said = f"{_MARKS[standing]} {name}: {escape(text)}"
            OUT.print(said, highlight=False, soft_wrap=True)
    if as_json:
        say_json(found)
    if any(one["standing"] == "fault" for one in found):
        raise typer.Exit(1)


def _standing(look: Callable[[], str]) -> tuple[str, str]:
    try:
        return "ok", look()
    except _Later as error:
        return "later", str(error)
    except _Noted as error:
        return "note", str(error)
    except HandshakeFailed as error:
        return "fault", str(error)
    except (*OWN_ERRORS, OSError, SQLAlchemyError) as error:
        return "fault", error_text(error)


def _checks(home: Path) -> list[_Check]:
    ring = Keyring(home, PartyKind.OUTLET)

    def disk() -> str:
        free = shutil.disk_usage(home).free
        if free < LEAST_FREE_BYTES:
            raise NotConfigured(f"{free // 2**20} MiB free, expected 256; make room")
        return f"{free // 2**20} MiB free"

    def reach() -> str:
        host, _, port = ring.peer(PartyKind.HQ).address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise _Later(f"{host}:{port}: {_BY_NIGHT}") from error
        return f"{host}:{port} listens"

    def services(which: str) -> str:
        with closing(services_of(ring, REACH_SECONDS)) as both:
            both.reach(which)
        return "answer under the card's certificate"

    def clock() -> str:
        # Loaded here: every command would pay for Flower otherwise.
        from outlet_client.night.flower_node import clock_difference

        try:
            off = clock_difference(ring.identity(), ring.peer(PartyKind.HQ))
        except HqUnreachable as error:
            raise _Later(f"it is held against HQ's; {_BY_NIGHT}") from error
        return f"{off:+.0f} s against HQ's"

    return [
        ("keys", lambda: f"outlet {ring.identity().card.name}"),
        *_key_notes(ring),
        ("HQ's card", lambda: ring.peer(PartyKind.HQ).fingerprint),
        ("office's card", lambda: ring.peer(PartyKind.OFFICE).fingerprint),
        *_files(home),
        *((name, partial(_database, home / name)) for name in DATABASES),
        ("disk", disk),
        ("HQ (listens during a night only)", reach),
        ("HQ's services", lambda: services(HQ)),
        ("office's services", lambda: services(OFFICE)),
        *_renewed(ring),
        ("clock", clock),
        ("directory", lambda: _losses(home, ring)),
        ("band book", lambda: _book(home, ring)),
    ]


def _key_notes(ring: Keyring) -> Iterator[_Check]:
    """What is to be heard of keys and cards, each by itself."""
    for note in key_notes(ring, dt.datetime.now(dt.UTC)):
        yield "certificates and cards", partial(_raise, note.text, fault=note.fault)


def _raise(text: str, *, fault: bool) -> str:
    raise (NotConfigured if fault else _Noted)(text)


def _renewed(ring: Keyring) -> Iterator[_Check]:
    """Whether both services take the renewed certificate already, where there is one."""
    try:
        identity = ring.identity()
    except PrivacyError:  # said already
        return
    if identity.next is None:
        return

    def look(kind: PartyKind) -> str:
        card, own = ring.peer(kind), identity.newest
        try:
            shake_hands(
                card.service_address,
                "".join(card.accepted(dt.datetime.now(dt.UTC))),
                own.card.certificate,
                own.tls_key,
                REACH_SECONDS,
                replace=REPLACE_CARD,
            )
        except HandshakeFailed as error:
            raise _Noted(
                f"{error}; it has to import this outlet's renewed public.json first"
                if error.refused
                else str(error)
            ) from error
        return "taken: `keys finish` may follow once both take them"

    for kind, name in ((PartyKind.HQ, "HQ"), (PartyKind.OFFICE, "the privacy office")):
        yield f"renewed keys at {name}", partial(look, kind)


def _database(place: Path) -> str:
    """Whether a store can be opened, and is whole.

    Raises:
        NotConfigured: If not.
    """
    if is_missing(place):
        raise StoreMissing(place.name)
    with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=5)) as database:
        try:
            said = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            said = str(error)
    if said != "ok":
        raise NotConfigured(f"{place.name}: {said}; stop the programs, restore the last backup")
    return "can be opened, and is whole"


def _losses(home: Path, ring: Keyring) -> str:
    """Whether a directory takes many of this outlet's people away.

    Raises:
        NotConfigured: If so.
    """
    with closing(People.open(home, ring.identity())) as people:
        lost, nowhere = people.held_losses(), people.in_no_directory()
        again = people.held_resync()
    if lost is not None:
        raise NotConfigured(
            f"takes {lost.lost} of your people away, since {lost.since}: ask the privacy office "
            "why; if they withdrew elsewhere, `escapement-outlet directory accept`"
        )
    if again is not None:
        raise NotConfigured(
            f"HQ says once more, since {again.since}, that it lost {again.people} of your "
            "registrations: ask the privacy office why; then `escapement-outlet directory resync`"
        )
    return f"{nowhere} people were handed in and are in none" if nowhere else "takes nobody away"


def _book(home: Path, ring: Keyring) -> str:
    """Which band book is shown.

    Raises:
        BookMissing: If it is stale, or its directory is missing.
        PrivacyError: If book or directory are forged or malformed.
    """
    book = read_book(home, ring.publishers())
    if book is None:
        return "none yet; it comes with the network's first bands"
    if why := why_stale(book, now(), OutletFile.read(home / "escapement.toml")):
        raise BookMissing(why)
    return f"as of {book.as_of}"


def _files(home: Path) -> list[_Check]:
    path = home / "escapement.toml"
    try:
        settings = OutletFile.read(path)
    except NotConfigured:
        return [("settings", lambda: str(OutletFile.read(path)))]  # says what is wrong
    found = dry_run(settings, now(), home=home)
    problems = dict(problem.split(": ", 1) for problem in reversed(found.problems))  # the first
    names = [name for name in TABLES if getattr(settings, name) is not None]
    names += ["sightings"] if found.apart is not None else []  # staff reported some
    return [
        (name, partial(_said, settings, found, name, problems.get(name)))
        for name in dict.fromkeys([*names, *problems])
    ]


def _said(settings: OutletFile, found: DryRun, name: str, problem: str | None) -> str:
    """How a table stands, as `check` would find it.

    Raises:
        NotConfigured: If it has a problem, or the ledger too many bad rows for a night.
    """
    if problem is not None:
        raise NotConfigured(problem)
    if name == "sightings" and found.apart is not None:
        return f"{sum(found.apart.values())} of no customer here"
    if name != "ledger":
        return "can be read"
    rows, bad = found.intake.rows, f"{found.intake.quarantined} of {found.intake.rows} rows"
    if found.intake.share > settings.most_quarantined:
        raise NotConfigured(
            f"{bad} cannot be used, expected at most {settings.most_quarantined:.1%}; "
            "`escapement-outlet check` lists them"
        )
    first, last = found.columns["purchased_at"].range or ("", "")
    left = f"; {bad} cannot be used" if found.intake.quarantined else ""
    return f"{rows} rows, {first} to {last}{left}"
