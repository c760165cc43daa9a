"""Adoption of the office's directory by a registry that was restored from an older copy.

Invariant: a slot that HQ knew keeps its key and home, or becomes blank; and a key that HQ or the
office saw, and that was withdrawn in the batches that HQ lost, stays withdrawn since the batch that
the office saw, so that no older consent brings it back; no batch of it is beyond the directory's.

Nothing here proves what the office says of the lost batches: it is done once, by an operator's word
that HQ was restored (`escapement-hq restored`).

What HQ cannot know of those batches until outlets hand it in again, which the office tells them to
(`privacy.registration_losses`), over the next batches:

- the nonces of home registrations. New slots get a random one in its place, which no outlet has: a
  fine book hides them from everybody, until their home shows its nonce again.
- registrations beside those of homes. A withdrawal by one of them is refused; its outlet registers
  again, with the same secret, and withdraws then. Until then HQ counts fewer outlets of a slot than
  there are, and may not mark one whose sums could wrap.

And what it never knows again:

- the evidence of withdrawals, which the office has seen and needs no more.
- keys that came and were withdrawn between two directories, which the office never saw.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from privacy.directory import DirectoryRefused
from privacy.slot_keys import KEY_BYTES
from server.hq.slot_changes import bury, last_burials, make_blank
from server.hq.slot_evidence import keep_loss
from server.hq.tables import BURIAL_KEY, BURIALS, REGISTRATIONS, SLOT_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privacy.directory import Directory
    from server.holder.directory_copy import DirectoryCopy

NONCE_BYTES = 32

MOST_BATCHES = 10_000
"""More than a copy can be older, at one batch a day."""


@dataclass(frozen=True, slots=True)
class AdoptedSlots:
    """What a registry took over; counts only.

    Attributes:
        since: The registry's last batch before.
        batch: Its last batch now, the directory's.
        added: Slots that it did not have, blank ones included.
        blanked: Slots that it had, and that were withdrawn since.
    """

    since: int
    batch: int
    added: int
    blanked: int


def adopt_slots(
    connection: sa.Connection, before: Directory, after: Directory, copy: DirectoryCopy
) -> AdoptedSlots:
    """Makes the registry's slots those of the office's directory, within a transaction.

    Args:
        connection: To the registry.
        before: The registry's directory.
        after: The office's, which is later.
        copy: It came in; its statement was verified.

    Raises:
        DirectoryRefused: If it does not go on from the registry's; the transaction must not be
            committed then. Also if it, or a withdrawal, is of a batch that cannot be.
    """
    _check_batches(before, after, copy)
    _check_goes_on(before, after)
    _adopt_burials(connection, copy)
    gone = np.flatnonzero(after.blank[: before.slots] & ~before.blank).tolist()
    lost = {slot: before.keys[slot].tobytes() for slot in gone}
    buried = last_burials(connection, lost.values())
    for slot, key in lost.items():  # first: a key may be back in one of the new slots
        make_blank(connection, slot)
        keep_loss(connection, slot, after.batch)
        if buried.get(key, 0) <= before.batch:
            bury(connection, key, after.batch)  # the office never saw it live: this late at most
    added = list(_new_slots(before.slots, after))
    if added:
        connection.execute(SLOT_KEYS.insert(), added)
    homes = [{"tag": row["home_tag"], "slot": row["slot"]} for row in added if row["home_tag"]]
    _register_homes(connection, homes)
    return AdoptedSlots(before.batch, after.batch, len(added), len(gone))


def _check_batches(before: Directory, after: Directory, copy: DirectoryCopy) -> None:
    if after.batch > before.batch + MOST_BATCHES:
        raise DirectoryRefused(
            f"directory: the privacy office's is of batch {after.batch}, expected at most "
            f"{before.batch + MOST_BATCHES}, {MOST_BATCHES} after HQ's registry; ask the office why"
        )
    latest = max(copy.withdrawn.values(), default=0)
    if latest > after.batch:
        raise DirectoryRefused(
            f"directory: the privacy office's has a withdrawal of batch {latest}, expected at most "
            f"{after.batch}, its own; ask the office why"
        )


def _check_goes_on(before: Directory, after: Directory) -> None:
    try:
        after.check_goes_on(before)
    except DirectoryRefused as error:
        raise DirectoryRefused(
            f"directory: the privacy office's, of batch {after.batch}, does not go on from that of "
            f"HQ's registry, of batch {before.batch}; restore the newest copies of both folders, "
            "or, where there are none, begin a new token key: `escapement-hq tokens renew`"
        ) from error


def _adopt_burials(connection: sa.Connection, copy: DirectoryCopy) -> None:
    """Keeps the office's hashes of withdrawn keys beside HQ's own."""
    known = set(connection.scalars(sa.select(BURIAL_KEY.c.hash_key)))
    if copy.hash_key not in known:
        connection.execute(BURIAL_KEY.insert().values(hash_key=copy.hash_key))
    rows = [{"key_hash": name, "batch": batch} for name, batch in copy.withdrawn.items()]
    if rows:
        gone = BURIALS.delete().where(BURIALS.c.key_hash == sa.bindparam("gone"))
        connection.execute(gone, [{"gone": row["key_hash"]} for row in rows])
        connection.execute(BURIALS.insert(), rows)


def _new_slots(first: int, after: Directory) -> Iterator[dict[str, object]]:
    """The rows of slots that the registry does not have."""
    for slot in range(first, after.slots):
        row, blank = after.rows[slot].tobytes(), after.blank[slot]
        yield {
            "slot": slot,
            "key": None if blank else row[:KEY_BYTES],
            "home_nonce": None if blank else secrets.token_bytes(NONCE_BYTES),
            "home_tag": None if blank else row[KEY_BYTES:],
            "opened": after.batch,
        }


def _register_homes(connection: sa.Connection, homes: list[dict[str, object]]) -> None:
    """Takes each new slot's home tag as a registration, by which its home can withdraw.

    Raises:
        DirectoryRefused: If a tag is that of another registration.
    """
    known = set(connection.scalars(sa.select(REGISTRATIONS.c.tag)))
    tags = [row["tag"] for row in homes]
    if len(set(tags)) != len(tags) or not known.isdisjoint(tags):
        raise DirectoryRefused(
            "directory: the privacy office's has a home tag of another registration; tell it"
        )
    if homes:
        connection.execute(REGISTRATIONS.insert(), homes)
