"""What the commands about one customer share: options, and where they work.

Invariant: nothing is left open when a command ends, however it ends.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlet_client.bands.lookup import LookUp
from outlet_client.moments import now
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile
from privacy.identity import Kind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
