"""What the commands about one customer share: options, and where they work.

Invariant: nothing is left open when a command ends, however it ends.
"""

from __future__ import annotations

import datetime as dt
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from outlet_client.bands.lookup import LookUp
from outlet_client.commands.command_errors import OUT
from outlet_client.people.people_store import People
from outlet_client.records.actor import name_of, user
from outlet_client.settings import OutletFile
from privacy.identity import Kind
from privacy.keyring import Keyring, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Phone = Annotated[str | None, typer.Option(help="As typed.")]
Email = Annotated[
    str | None, typer.Option(help="As typed; used where nobody is known by the phone.")
]
By = Annotated[
    str | None, typer.Option(help="Who does this; the operating system's user by default.")
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@dataclass(frozen=True, slots=True, repr=False)
class Desk:
    """Where a customer's record is put together.

    Attributes:
        home: The outlet's folder,
        outlet: and its name.
        settings: Its settings,
        people: people,
        look_up: and look-ups.
    """

    home: Path
    outlet: str
    settings: OutletFile
    people: People
    look_up: LookUp


def now() -> dt.datetime:
    """This moment, UTC."""
    return dt.datetime.now(dt.UTC)


@contextmanager
def people_of(home: Path) -> Iterator[tuple[People, OutletFile]]:
    """Opens the people and the settings of an outlet's folder."""
    settings = OutletFile.read(home / "escapement.toml")
    with closing(People.open(home, Keyring(home, Kind.OUTLET).identity())) as people:
        yield people, settings


@contextmanager
def desk_of(home: Path, clock: Callable[[], dt.datetime] = now) -> Iterator[Desk]:
    """Opens all that a record of a customer is put together from.

    Args:
        home: The outlet's folder.
        clock: Says when a look-up is made.
    """
    ring = Keyring(home, Kind.OUTLET)
    hq_key = ring.peer(Kind.HQ).verify_key
    with people_of(home) as (people, settings):
        look_up = LookUp(home, people, hq_key, settings.region, settings.book_days, clock)
        with closing(look_up):
            yield Desk(home, ring.identity().card.name, settings, people, look_up)


def named_or_user(by: str | None) -> str:
    """Who does this.

    Raises:
        NotAsked: If the name is none.
    """
    return user() if by is None else name_of(by)


def today() -> dt.date:
    """The day on this machine's own clock, as whoever takes a request down has it."""
    return now().astimezone().date()


def hand_over(file: Path, data: bytes) -> None:
    """Writes a file for a customer, readable by its owner only.

    Raises:
        OSError: If it cannot be written; it names the file that was asked for.
    """
    try:
        write_private(file, data)
    except OSError as error:
        raise OSError(f"{file}: cannot be written: {error.strerror}") from error


def say(text: str) -> None:
    """Prints a line as it is, markup and all."""
    OUT.print(escape(text), highlight=False, soft_wrap=True)
