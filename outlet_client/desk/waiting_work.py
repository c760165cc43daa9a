"""What waits for people at an outlet, as the pages where it is done have it.

Invariant: nothing is changed, and each kind is for the roles that may do it.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from outlet_client.allocation.open_proposals import open_proposals
from outlet_client.allocation.proposal_store import AllocationStore
from outlet_client.database import driver_rows
from outlet_client.desk.lookup_usage import WATCHED, to_review
from outlet_client.desk.page_roles import (
    MAY_ALLOCATE,
    MAY_DECIDE_DISPUTES,
    MAY_DECIDE_SIGHTINGS,
    MAY_READ_LOG,
)
from outlet_client.desk.waiting_counts import WaitingCounts, WaitingKind
from outlet_client.errors import OWN_ERRORS
from outlet_client.ledger.event_store import EventStore
from outlet_client.records.access_log import log_head, recent_entries
from outlet_client.sightings.sighting_history import day_of, open_sightings

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.database import Store
    from outlet_client.desk.lookup_usage import Flag
    from outlet_client.log_tables.rights_store import RightsStore

SIGHTINGS, PROPOSALS, REQUESTS, FLAGS = "/sightings", "/allocations", "/requests", "/log"
"""The pages where something waits."""

_FLAGS_REST = 60.0
"""In seconds: every look-up changes the log, and a month of it is read to find what is unusual."""

_REQUESTS = "SELECT count(*) FROM requests WHERE answered IS NULL"
_SAID = "SELECT coalesce(max(number), 0) FROM sightings"
_MENDED = "SELECT coalesce(max(number), 0) FROM corrections"


@contextmanager
def open_counts(access: CustomerAccess, rights: RightsStore) -> Iterator[WaitingCounts]:
    """The numbers of all that waits, counted when they are asked for."""
    with closing(AllocationStore.open(access.home)) as proposals:
        yield WaitingCounts((
            WaitingKind(
                SIGHTINGS,
                MAY_DECIDE_SIGHTINGS,
                lambda at: _sightings(access, at),
                lambda at: _mark_of_sightings(access, rights, at),
            ),
            WaitingKind(PROPOSALS, MAY_ALLOCATE, lambda _: _proposals(proposals)),
            WaitingKind(REQUESTS, MAY_DECIDE_DISPUTES, lambda _: _number(rights, _REQUESTS)),
            WaitingKind(
                FLAGS,
                MAY_READ_LOG,
                lambda at: len(flags_to_review(access, rights, at)),
                lambda _: _head(rights),
                _FLAGS_REST,
            ),
        ))  # fmt: skip


def flags_to_review(access: CustomerAccess, rights: RightsStore, at: dt.datetime) -> list[Flag]:
    """The unusual use that the privacy officer has not looked at, the newest first."""
    with rights.reading() as connection:
        watched = recent_entries(connection, at - WATCHED)
    return to_review(watched, access.settings.desk)


def _sightings(access: CustomerAccess, at: dt.datetime) -> int | None:
    try:
        return len(open_sightings(access, at).open)
    except OWN_ERRORS:  # the page itself says why it has none
        return None


def _mark_of_sightings(access: CustomerAccess, rights: RightsStore, at: dt.datetime) -> object:
    """What changes with what was seen or decided, with a night, a correction, and the day."""
    table = access.settings.sightings
    places = [EventStore(access.home).place]
    if table is not None:
        places.append(Path(table.source))
    return day_of(at), _number(rights, _SAID), _number(rights, _MENDED), _states(places)


def _states(places: Sequence[Path]) -> tuple[tuple[int, int] | None, ...]:
    """When files were written last, and their sizes; None of a pattern, a database, or no file."""
    found: list[tuple[int, int] | None] = []
    for place in places:
        try:
            state = place.stat()
        except OSError:
            found.append(None)
        else:
            found.append((state.st_mtime_ns, state.st_size))
    return tuple(found)


def _proposals(store: AllocationStore) -> int:
    with store.reading() as connection:
        return len(open_proposals(connection))


def _head(rights: RightsStore) -> int:
    with rights.reading() as connection:
        return log_head(connection).number


def _number(store: Store, query: str) -> int:
    with store.reading() as connection:
        return int(driver_rows(connection, query)[0][0])
