"""Opens the stores that a customer's record is read from: people, settings, look-ups.

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
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, repr=False)
class CustomerAccess:
    """The open stores that a customer's record is read from."""

    home: Path
    outlet: str
    settings: OutletFile
    people: People
    look_up: LookUp


@contextmanager
def open_people(home: Path) -> Iterator[tuple[People, OutletFile]]:
    """Opens the people and the settings of an outlet's folder."""
    settings = OutletFile.read(home / "escapement.toml")
    with closing(People.open(home, Keyring(home, PartyKind.OUTLET).identity())) as people:
        yield people, settings


@contextmanager
def open_customer_access(
    home: Path, clock: Callable[[], dt.datetime] = now
) -> Iterator[CustomerAccess]:
    """Opens people, settings and look-ups of an outlet's folder."""
    ring = Keyring(home, PartyKind.OUTLET)
    publishers = ring.publishers()
    with (
        open_people(home) as (people, settings),
        closing(LookUp(home, people, publishers, settings, clock)) as look_up,
    ):
        yield CustomerAccess(home, ring.identity().card.name, settings, people, look_up)
