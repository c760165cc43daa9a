"""HQ's registry: which slot is whose public key, and what is published of it.

Invariant: what a batch of registrations does depends on the set of its messages and on a random key
that HQ keeps with the batch, neither on their order nor on how often it is applied; and nothing but
a nonce that was never seen before, of a consent that is newer than the withdrawal, can give a
withdrawn customer a slot again. Newer is what the outlet says; a lie about it is not noticed. A
registry that was restored from an older copy goes on from the office's directory, where its
operator says so.

No outlet is named here, and no token is: HQ does not know whose a registration is, and cannot make
one itself.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from privacy.directory import (
    SLOT_BYTES,
    Directory,
    DirectoryChanges,
    DirectoryPosition,
    DirectoryRefused,
)
from privacy.registrations import Registration, RegistrationRefused
from server.holder.database import keep_network
from server.hq.ledger_witness import LedgerCopies
from server.hq.registry_adoption import MOST_BATCHES, AdoptedSlots, adopt_slots
from server.hq.registry_renewal import open_hq
from server.hq.shelf import Shelf, put_on_shelf
from server.hq.slot_changes import apply_messages, order
from server.hq.slot_evidence import returns, withdrawals
from server.hq.tables import (
    ORDERS,
    PROGRESS,
    REGISTRATIONS,
    SLOT_KEYS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from privacy.envelopes import SealKey
    from privacy.registrations import Evidence
    from server.holder.directory_copy import DirectoryCopy

_LOG = logging.getLogger(__name__)

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """What a batch came to; counts only.

    Attributes:
        registered: Registrations that were new, of new and of known keys.
        withdrawn: Slots that were blanked.
        nothing: Dummies, replays, and withdrawals of what was withdrawn before.
        refused: Messages that do not open, do not prove that their sender has the key's secret,
            withdraw what they do not know, or register with a consent that is older than a
            withdrawal.
    """

    registered: int = 0
    withdrawn: int = 0
    nothing: int = 0
    refused: int = 0


class Registry(Shelf, LedgerCopies):
    """Slots, registrations and what was published, behind one SQLAlchemy URL."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        """Opens the registry, such as `sqlite:///hq.db`; `sqlite://` for memory.

        Args:
            url: Of HQ's database.
            clock: Unix seconds, the least version of a new book.

        Raises:
            StoreRefused: If there is none, or it is another role's or release's.
            RegistryOutdated: If it is of release 0.1, which listed tokens.
        """
        super().__init__(open_hq(url), clock)

    def last_batch(self) -> int:
        """The last batch that was applied; 0 before the first."""
        with self._engine.begin() as connection:
            return _last_batch(connection)

    def network(self) -> bytes | None:
        """The network's token key, once it was kept."""
        with self._engine.begin() as connection:
            return connection.scalar(sa.select(PROGRESS.c.network))

    def keep_network(self, network: bytes) -> None:
        """Keeps the network's token key, 32 bytes: the sum of both holders' shares, for good."""
        with self._engine.begin() as connection:
            connection.execute(PROGRESS.update().values(network=network))
            keep_network(connection, network)

    def apply(
        self, batch: int, sealed: Sequence[bytes], key: SealKey, network: bytes
    ) -> BatchCounts:
        """Applies a batch: registrations in an order nobody could foresee, then withdrawals.

        The order is that of the tags under a random key, drawn when the batch is there and stored
        before it is applied: no outlet can choose a tag that makes it the home.

        Args:
            batch: The one after `last_batch`; an older one changes nothing.
            sealed: Its messages, in whatever order.
            key: HQ's, which they are sealed to.
            network: The network's token key, which their proofs are bound to.

        Raises:
            RegistrationRefused: If a batch between was left out.
        """
        if batch <= self.last_batch():
            return BatchCounts()
        messages, refused = _opened(sealed, key, network, batch)
        order_key = self._order_key(batch)
        with self._engine.begin() as connection:
            last = _last_batch(connection)
            if batch <= last:  # another process was faster
                return BatchCounts()
            if batch != last + 1:
                raise RegistrationRefused(f"batch: got {batch}, expected {last + 1}")
            counts = apply_messages(connection, sorted(messages, key=partial(order, order_key)))
            counts["refused"] += refused
            connection.execute(PROGRESS.update().values(last_batch=batch))
        return BatchCounts(**counts)

    def pass_over(self, batch: int) -> None:
        """Goes on after a batch that was collected before, and is lost, as are those before it.

        Raises:
            RegistrationRefused: If it is so far on that nobody can have collected it.
        """
        with self._engine.begin() as connection:
            last = _last_batch(connection)
            if batch > last + MOST_BATCHES:
                raise RegistrationRefused(
                    f"batch {batch}: said to be collected before, expected at most "
                    f"{last + MOST_BATCHES}, {MOST_BATCHES} after HQ's last; ask the office why"
                )
            if batch > last:
                connection.execute(PROGRESS.update().values(last_batch=batch))

    def adopt(self, directory: Directory, copy: DirectoryCopy) -> AdoptedSlots:
        """Goes on from the office's directory, and publishes it, in one transaction.

        Args:
            directory: The office's last.
            copy: It came in; `check_published` accepted its statement.

        Raises:
            DirectoryRefused: If it does not go on from the registry's, or is of a batch that cannot
                be; nothing is changed then.
        """
        with self._engine.begin() as connection:
            adopted = adopt_slots(connection, _directory(connection), directory, copy)
            connection.execute(PROGRESS.update().values(last_batch=directory.batch))
            put_on_shelf(connection, directory, copy.said)
        return adopted

    def directory(self) -> Directory:
        """The network's slots as they are now."""
        with self._engine.begin() as connection:
            return _directory(connection)

    def home_nonces(self) -> list[bytes]:
        """The nonce of each slot's home registration; b"" where it is blank.

        Random, and no registration's, where the slot was taken over from the office.
        """
        query = sa.select(SLOT_KEYS.c.home_nonce).order_by(SLOT_KEYS.c.slot)
        with self._engine.begin() as connection:
            return [nonce or b"" for nonce in connection.scalars(query)]

    def registrations_of_slots(self) -> npt.NDArray[np.int64]:
        """How many registrations of each slot are live, int64[slots]; as many outlets know it.

        An HQ that took slots over from the office knows of fewer: of the homes' alone, until the
        other outlets register again.
        """
        live = REGISTRATIONS.c.slot.is_not(None)
        query = sa.select(REGISTRATIONS.c.slot, sa.func.count()).where(live)
        slots = sa.select(sa.func.count()).select_from(SLOT_KEYS)
        with self._engine.begin() as connection:
            counts = np.zeros(connection.scalar(slots) or 0, dtype=np.int64)
            for slot, count in connection.execute(query.group_by(REGISTRATIONS.c.slot)):
                counts[slot] = count
        return counts

    def changes_since(
        self, position: DirectoryPosition
    ) -> tuple[DirectoryChanges, dict[int, Evidence]]:
        """What the directory has more than the one that the office has.

        Args:
            position: How far that one is.

        Returns:
            The changes, and evidence by slot: of each slot that they blank the withdrawal, of each
            key that they bring back the registration.

        Raises:
            DirectoryRefused: If the registry was never there, or lost the evidence of a withdrawal
                that the office, an older copy itself, has not seen.
        """
        with self._engine.begin() as connection:
            directory = _directory(connection)
            opened = SLOT_KEYS.c.opened <= min(position.batch, directory.batch)  # of any size
            then = sa.select(sa.func.count()).select_from(SLOT_KEYS).where(opened)
            slots = connection.scalar(then)
            same = position.batch != directory.batch or position.digest in ("", directory.digest)
            if position.batch > directory.batch or position.slots != slots or not same:
                raise DirectoryRefused(
                    f"directory: the privacy office has {position.slots} slots of batch "
                    f"{position.batch}, HQ's registry is at batch {directory.batch} and had "
                    f"{slots} slots then, or other ones; restore the newest copies of both "
                    "folders, or, where there are none, begin a new token key: `escapement-hq "
                    "tokens renew`"
                )
            gone = withdrawals(connection, position.slots, position.batch, directory.batch)
            lost = [slot for slot, evidence in gone.items() if not evidence.proof]
            if lost:
                raise DirectoryRefused(
                    f"slot {lost[0]}: withdrawn in a batch that HQ lost, and the privacy office "
                    "has not seen it; restore the newest copy of the office's folder"
                )
            live = np.flatnonzero(~directory.blank[position.slots :]) + position.slots
            back = returns(connection, live.tolist())
        changes = DirectoryChanges(
            position.digest or Directory.empty().digest,
            directory.batch,
            np.array(list(gone), dtype=np.uint32),
            directory.rows[position.slots :],
        )
        return changes, gone | back

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _order_key(self, batch: int) -> bytes:
        """What a batch's registrations are ordered under, the same at every attempt to apply it."""
        with self._engine.begin() as connection:
            query = sa.select(ORDERS.c.order_key).where(ORDERS.c.batch == batch)
            kept = connection.scalar(query)
            if kept is None:
                kept = _fresh_order_key()
                connection.execute(ORDERS.delete())
                connection.execute(ORDERS.insert().values(batch=batch, order_key=kept))
            return bytes(kept)


def _opened(
    sealed: Sequence[bytes], key: SealKey, network: bytes, batch: int
) -> tuple[list[Registration], int]:
    """What opens and proves its key, and how many do not."""
    messages = []
    for one in sealed:
        try:
            messages.append(Registration.opened(one, key, network, batch))
        except RegistrationRefused:
            continue
    return messages, len(sealed) - len(messages)


def _fresh_order_key() -> bytes:
    return secrets.token_bytes(_KEY_BYTES)


def _last_batch(connection: sa.Connection) -> int:
    return int(connection.scalars(sa.select(PROGRESS.c.last_batch)).one())


def _directory(connection: sa.Connection) -> Directory:
    query = sa.select(SLOT_KEYS.c.key, SLOT_KEYS.c.home_tag).order_by(SLOT_KEYS.c.slot)
    blank = bytes(SLOT_BYTES)
    rows = b"".join(
        blank if row.key is None else row.key + row.home_tag for row in connection.execute(query)
    )
    return Directory(
        _last_batch(connection), np.frombuffer(rows, dtype=np.uint8).reshape(-1, SLOT_BYTES)
    )
