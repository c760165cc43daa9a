"""`escapement-outlet upgrade`: an outlet's folder, to this release."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import tomllib
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import Annotated

import typer

from outlet_client.bands.book_store import BOOK_FILE
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from outlet_client.commands.upkeep import copy_folder
from outlet_client.database import DATABASES, REVISION, create_databases, is_outdated
from outlet_client.errors import NotConfigured, OldNetwork
from outlet_client.folder_locks import alone
from outlet_client.migrating import upgrade_database
from outlet_client.people.network_change import (
    is_of_old_network,
    move_people,
    overwrite_deleted,
)
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.actor import system_user
from outlet_client.settings import RETIRED
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring

BACKUP = f"before-{REVISION}.tar.gz"
_SETTINGS = "escapement.toml"
_REGION = "SG"
"""Where phones without a country were taken to be of, before the setting had no default."""


def upgrade(
    home: Home = HERE,
    hq: Annotated[
        Path | None, typer.Option(help="HQ's public file after `tokens renew`, if it was run.")
    ] = None,
    office: Annotated[Path | None, typer.Option(help="The privacy office's, likewise.")] = None,
) -> None:
    """Brings this outlet's folder to this release: settings and databases, after a backup.

    Consents, log, staff and events stay. With `--hq` and `--office` it moves into its network's new
    token key too, as from a network of release 0.1, in which HQ held tokens: everybody with a
    standing consent is introduced again, so many a day as the holders' quotas allow; `status` says
    how far it is. Stop the desk before: it refuses beside one. Safe to run again.
    """
    with failing(), alone(home):
        ring = Keyring(home, PartyKind.OUTLET)
        ring.identity()
        cards, database = _cards(hq, office), home / "outlet.db"
        is_old = database.exists() and is_of_old_network(database)
        if is_old and not cards:
            raise OldNetwork
        text, removed = _without_retired(home / _SETTINGS)
        outdated = [name for name in DATABASES if is_outdated(home / name)]
        if not (outdated or removed or cards):
            say("All of it is of this release already.")
            return
        _back_up(home)
        text, added = _with_region(text, is_older=bool(outdated))
        _rewrite(home / _SETTINGS, text, removed, added)
        for card, data in cards:
            ring.trust(card, data)
        if is_old:
            _move(home)
        elif cards:
            say("outlet.db is of this network already.")
        _upgrade_databases(home, outdated)


def _upgrade_databases(home: Path, outdated: list[str]) -> None:
    """Brings databases to this release's tables, and notes the backup in the log."""
    for name in outdated:
        upgrade_database(home / name)
        say(f"{name}: has the tables of this release now")
    if "outlet.db" in outdated:  # earlier releases made the others when they were used first
        create_databases(home)
    if (home / "outlet.db").exists():
        overwrite_deleted(home / "outlet.db")  # also what a kill may have left undone
    if outdated:
        at = dt.datetime.now(dt.UTC)
        record_act_in(home, at, LogAct.EXPORT, system_user(), about="a backup")


def _move(home: Path) -> None:
    """Moves people of the old network into the new one."""
    for place in (home / BOOK_FILE, *home.glob("directory-*.bin")):  # opened by nobody any more
        place.unlink(missing_ok=True)
    moved = move_people(home / "outlet.db")
    say(
        f"{moved.waiting:,} people with a standing consent wait for a token, {moved.ended:,} "
        "without one stay away. Next: `escapement-outlet nightly` as ever; `escapement-outlet "
        "status` says how many are listed again."
    )


def _cards(hq: Path | None, office: Path | None) -> list[tuple[Card, bytes]]:
    """The new public files, read.

    Raises:
        NotConfigured: If there is one of both only.
        CardRefused: If one is none.
    """
    if (hq is None) != (office is None):
        raise NotConfigured("got one of --hq and --office, expected both or neither")
    if hq is None or office is None:
        return []
    return [
        (Card.decode(file.read_bytes(), kind), file.read_bytes())
        for kind, file in ((PartyKind.HQ, hq), (PartyKind.OFFICE, office))
    ]


def _back_up(home: Path) -> None:
    """Copies the folder as it is before anything is changed; once a revision."""
    copy = home / BACKUP
    if copy.exists():
        return
    copy_folder(home, copy)
    say(f"Backup: {copy}. It holds secret keys, and old tokens: delete it when all is well.")


def _without_retired(file: Path) -> tuple[str, list[str]]:
    """The settings without what means nothing any more, and what that was.

    Raises:
        NotConfigured: If they are no TOML, or one has to be taken out by hand.
    """
    if not file.exists():
        return "", []
    text = file.read_text(encoding="utf-8")
    try:
        found = tomllib.loads(text)
        removed = [name for name in RETIRED if _take(found, name)]
        for name in removed:
            key = re.escape(name.rpartition(".")[2])
            text = re.sub(rf"(?m)^[ \t]*{key}[ \t]*=.*\n?", "", text)
        if tomllib.loads(text) == found:
            return text, removed
    except tomllib.TOMLDecodeError as error:
        raise NotConfigured(f"{file}: {error}") from error
    raise NotConfigured(f"{file}: take {', '.join(removed)} out by hand, and run it again")


def _take(found: dict[str, object], name: str) -> bool:
    """Takes a setting out of what was read; tells whether it was there."""
    section, _, key = name.rpartition(".")
    within = found.get(section) if section else found
    if not isinstance(within, dict) or key not in within:
        return False
    del within[key]
    return True


def _with_region(text: str, *, is_older: bool) -> tuple[str, list[str]]:
    """Settings of an earlier release with the region that it took where none was set."""
    if not (is_older and text) or "region" in tomllib.loads(text):
        return text, []
    line = f'region = "{_REGION}"'
    return f"{line}\n{text}", [line]


def _rewrite(file: Path, text: str, removed: list[str], added: list[str]) -> None:
    """Writes settings anew, whole or not at all, where something of them changes."""
    if not (removed or added):
        return
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text, encoding="utf-8")
    shutil.copymode(file, unfinished)
    unfinished.replace(file)
    for line in removed:
        say(f"{file}: took out {line}, which means nothing any more")
    for line in added:
        say(f"{file}: put {line} in, which was meant where nothing was said; is it yours?")
