"""`doctor` at HQ and at the privacy office: looks at everything a night needs, and changes nothing.

Invariant: a check that fails is named with what to do, and hinders no other; the exit code is 1
where one has a fault. What is to be seen to later, or is so by design at some hours, is no fault.
"""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import typer
from sqlalchemy.exc import SQLAlchemyError

from privacy.identity import PartyKind
from privacy.key_health import key_notes
from privacy.keyring import Keyring
from server.holder.console import OURS, AsJson, Home, print_json, say
from server.holder.database import open_store, reading, shown
from server.holder.error_text import error_text
from server.holder.errors import HolderError, HolderNotConfigured
from server.wire.handshakes import HandshakeFailed, shake_hands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from privacy.identity import Card, Identity
    from server.holder.database import StoreSchema

    Checks = Callable[[Path], Sequence["Check"]]

LEAST_FREE_BYTES = 2**28


class Standing(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


class Noted(HolderError):
    """What somebody should know of, and is no fault."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at.

    Attributes:
        name: Of what.
        look: Says how it stands, or raises what is wrong.
        needs: The names of earlier checks without which this one could only repeat their fault.
    """

    name: str
    look: Callable[[], str]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing stands."""

    name: str
    standing: Standing
    text: str


def add_doctor(app: typer.Typer, kind: PartyKind, here: Path, checks: Checks) -> None:
    """Adds the command `doctor`.

    Args:
        app: The holder's program.
        kind: What the holder is.
        here: Its folder, where none is given.
        checks: What this holder looks at besides keys, peers and disk.
    """

    @app.command("doctor")
    def doctor(
        home: Home = here,
        as_json: AsJson = False,  # noqa: FBT002  (a flag on the command line)
    ) -> None:
        """Checks keys, modes, certificates, peers, clock, stores, disk and who is reached."""
        findings = [*examine(Keyring(home, kind), dt.datetime.now(dt.UTC))]
        findings += look_at(checks(home))
        if as_json:
            print_json(
                [
                    {"name": one.name, "standing": one.standing.value, "text": one.text}
                    for one in findings
                ]
            )
        else:
            marks = {Standing.OK: "✓", Standing.NOTE: "?", Standing.FAULT: "✗"}
            for one in findings:
                say(f"{marks[one.standing]} {one.name}: {one.text}")
        if any(one.standing is Standing.FAULT for one in findings):
            raise typer.Exit(1)


def examine(ring: Keyring, at: dt.datetime) -> Iterator[Finding]:
    """What every holder looks at: its keys and peers, its clock and disk."""
    notes = key_notes(ring, at)
    for note in notes:
        yield Finding("keys", Standing.FAULT if note.fault else Standing.NOTE, note.text)
    if not notes:
        own = ring.identity().card
        peers = sum(len(ring.peers(kind)) for kind in PartyKind)
        text = f"{own.kind} {own.name}, serial {own.serial}, until {own.ends:%Y-%m-%d}"
        yield Finding("keys", Standing.OK, f"{text}; of {peers} peers none is about to end")
    yield _found(Check("token key", lambda: f"share of epoch {ring.token_share().epoch}"))
    yield _found(Check("clock", lambda: _clock(ring.folder, at)))
    yield _found(Check("disk", lambda: _disk(ring.folder)))


def look_at(checks: Sequence[Check]) -> list[Finding]:
    """How each thing stands; one fault is said once, and what needs it right is not looked at."""
    found: dict[str, Finding] = {}
    for check in checks:
        first = [name for name in check.needs if found[name].standing is not Standing.OK]
        if first:
            text = f"not looked at until this is right: {first[0]}"
            found[check.name] = Finding(check.name, Standing.NOTE, text)
        else:
            found[check.name] = _found(check)
    return list(found.values())


def faults(checks: Sequence[Check]) -> list[str]:
    """What is wrong by some checks, a line each."""
    found = look_at(checks)
    return [f"{one.name}: {one.text}" for one in found if one.standing is Standing.FAULT]


def stores(
    home: Path, schemas: Sequence[StoreSchema], database: Callable[[], str], needs: str
) -> list[Check]:
    """Whether a role's stores can be opened, are its own, and are whole.

    Args:
        home: The role's folder.
        schemas: What it holds, the one first that may be on a server.
        database: The URL of that one in the settings; "" for a file.
        needs: The name of the check of the settings.
    """
    first, *others = schemas
    name = store_name(first)
    checks = [Check(name, lambda: _store(first, first.url(home, database())), (needs,))]
    return checks + [Check(store_name(one), partial(_store, one, one.url(home))) for one in others]


def store_name(schema: StoreSchema) -> str:
    """The name of the check of a store."""
    return f"store {schema.role}"


def handshakes(
    name: str, address: str, identity: Identity, card: Card, replace: str
) -> list[Check]:
    """Whether another holder is reached, and takes this one's certificate, and the renewed one.

    Args:
        name: What the other is called.
        address: Its `host:port`.
        identity: This holder's.
        card: The other's, as it is pinned here.
        replace: What to do where it shows another certificate than that.
    """

    def look(own: Identity) -> str:
        at = dt.datetime.now(dt.UTC)
        accepted = "".join(card.accepted(at))
        shake_hands(address, accepted, own.card.certificate, own.tls_key, replace=replace)
        return f"{address} takes this certificate, of serial {own.card.serial}"

    def renewed() -> str:
        try:
            return look(identity.newest)
        except HandshakeFailed as error:
            text = f"{error}: {name} has not imported the renewed card yet" * error.refused
            raise Noted(text or str(error)) from error

    checks = [Check(name, lambda: look(identity))]
    return checks if identity.next is None else [*checks, Check(f"{name}, renewed keys", renewed)]


def own_port(ring: Keyring, address: str) -> str:
    """Whether a holder's own services listen, under its own certificate."""
    own = ring.identity()
    try:
        certificate = own.card.certificate
        shake_hands(address, certificate, certificate, own.tls_key, replace="restart `serve`")
    except HandshakeFailed as error:
        if not error.refused:  # refused it is by design: the party is on no list of its own
            text = str(error) if error.stale else f"{error} `serve` does not run"
            raise Noted(text) from error
    return f"{address} listens under this certificate"


def _found(check: Check) -> Finding:
    try:
        return Finding(check.name, Standing.OK, check.look())
    except Noted as error:
        return Finding(check.name, Standing.NOTE, str(error))
    except HandshakeFailed as error:
        return Finding(check.name, Standing.FAULT, str(error))
    except (*OURS, SQLAlchemyError) as error:
        return Finding(check.name, Standing.FAULT, error_text(error))


def _disk(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise HolderNotConfigured(f"{free // 2**20} MiB free, expected 256; make room")
    return f"{free // 2**20} MiB free"


def _clock(folder: Path, at: dt.datetime) -> str:
    """Refuses a clock that is behind what was written here: the other holder says the rest."""
    latest = max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)
    ahead = latest - at.timestamp()
    if ahead > 60:  # noqa: PLR2004  (seconds)
        raise HolderNotConfigured(
            f"{at:%Y-%m-%d %H:%M} UTC, {ahead / 60:.0f} minutes before the last file was written "
            "here; set the time, best by NTP"
        )
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _store(schema: StoreSchema, url: str) -> str:
    """Opens a store as the programs do.

    Raises:
        StoreRefused: If it is missing, or is not this role's and release's.
        HolderNotConfigured: If it is damaged.
    """
    engine = open_store(url, schema)
    try:
        if engine.dialect.name == "sqlite":
            with reading(engine) as connection:
                said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if said != "ok":
                raise HolderNotConfigured(
                    f"{shown(url)}: {said}; stop `serve` and restore the last backup"
                )
    finally:
        engine.dispose()
    return f"{shown(url)} can be opened, of revision {schema.revision}"
