"""Rules of the directory: what may be otherwise in one than in the last that was countersigned.

Everything here is a pure function of what the office has seen of each slot, which is

    live    a key and a home tag; opened in the batch of the directory that showed it first
            -> blank (by evidence of a withdrawal that is later than its opening)
    blank   zeros -> for ever

A key that was withdrawn stands in a new slot only, by evidence of a registration that is later than
the withdrawal and whose outlet knew of it. What the office keeps of it is a keyed hash.

A directory grows for good, so it has no more new slots than there were messages in its new batches.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from privacy.directory import DirectoryRefused
from privacy.registrations import RegistrationAct
from privacy.slot_keys import KEY_BYTES
from privacy.voprf import TokenRefused, check_point

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privacy.directory import Directory, DirectoryChanges, Slots
    from privacy.registrations import Evidence

MOST_SLOTS = 2**24
"""A row of SQLite holds a thousand million bytes."""

_BATCHES = 2**32


@dataclass(frozen=True, slots=True, eq=False)
class SlotHistory:
    """What the office has seen of every slot.

    Attributes:
        network: The network's token key, 32 bytes; b"" before the first directory.
        directory: The last that it countersigned.
        opened: uint32[slots], the batch of the directory that had the slot first.
        withdrawn: The batch of a key's last withdrawal, by the key's hash.
        hash_key: 32 random bytes, without which nobody can test a hash against keys.
    """

    network: bytes
    directory: Directory
    opened: npt.NDArray[np.uint32]
    withdrawn: Mapping[bytes, int] = field(repr=False)
    hash_key: bytes = field(repr=False)

    def hash_of(self, key: bytes) -> bytes:
        """What is kept of a withdrawn key."""
        return hmac.digest(self.hash_key, key, "sha256")


def check_points(first: int, added: Slots) -> None:
    """Refuses an added key that is no point of the curve; a blank slot has none.

    Args:
        first: The number of the first added slot.
        added: uint8[n, SLOT_BYTES].

    Raises:
        DirectoryRefused: If there is one.
    """
    keys = added[:, :KEY_BYTES]
    for place in map(int, np.flatnonzero(keys.any(axis=1))):
        try:
            check_point("slot key", keys[place].tobytes())
        except TokenRefused as error:
            raise DirectoryRefused(
                f"slot {first + place}: its key is no point of the curve; register no such key"
            ) from error


def followed_by(
    history: SlotHistory,
    network: bytes,
    changes: DirectoryChanges,
    evidence: Mapping[int, Evidence],
    open_batch: int,
    sizes: Mapping[int, int],
) -> SlotHistory:
    """What the office has seen after a directory, if it may follow the last one.

    That added keys are points is checked before, by `check_points`.

    Args:
        history: Until now.
        network: Of which network HQ says it is.
        changes: What it has more than the last.
        evidence: By slot: of the withdrawal for which it is blank, or of the registration by which
            a withdrawn key is back.
        open_batch: The relay's, which no directory can hold yet.
        sizes: How many messages each batch had, of those that the relay closed.

    Raises:
        DirectoryRefused: If it breaks a rule; the message names slot and rule.
    """
    _check_head(history, network, changes, open_batch)
    _check_size(history.directory, changes, sizes)
    history = replace(history, network=network)
    withdrawn = {**history.withdrawn, **_blanked(history, changes, evidence)}
    _check_returns(history, withdrawn, changes, evidence)
    opened = np.full(len(changes.added), changes.batch, dtype=np.uint32)
    return replace(
        history,
        directory=changes.applied(history.directory),
        opened=np.concatenate([history.opened, opened]),
        withdrawn=withdrawn,
    )


def _check_head(
    history: SlotHistory, network: bytes, changes: DirectoryChanges, open_batch: int
) -> None:
    """Refuses another network, another base, and a batch that went back or was not closed."""
    before = history.directory
    check_network(history, network)
    if changes.base != before.digest:
        raise DirectoryRefused(
            f"directory: got changes of {changes.base[:16]}, expected of {before.digest[:16]}, "
            "the last that was countersigned; ask which that is, and send what changed since"
        )
    end = min(open_batch, _BATCHES)
    if not before.batch <= changes.batch < end:
        raise DirectoryRefused(
            f"directory: got batch {changes.batch}, expected {before.batch}, as countersigned "
            f"last, to {end - 1}, as closed last; restore the newest copy of HQ's folder"
        )
    if changes.batch == before.batch and (len(changes.blanked) or len(changes.added)):
        raise DirectoryRefused(
            f"directory: got other content than was countersigned of batch {changes.batch}; "
            "only a later batch changes it"
        )


def _check_size(before: Directory, changes: DirectoryChanges, sizes: Mapping[int, int]) -> None:
    """Refuses more slots than a row holds, or than anybody can have registered since.

    Of batches that a lost relay closed nobody here knows the size: anybody may be in them.
    """
    slots = before.slots + len(changes.added)
    if slots > MOST_SLOTS:
        raise DirectoryRefused(f"directory: got {slots} slots, expected at most {MOST_SLOTS}")
    batches = range(before.batch + 1, changes.batch + 1)
    if any(batch not in sizes for batch in batches):
        return
    most = sum(sizes[batch] for batch in batches)
    if len(changes.added) > most:
        raise DirectoryRefused(
            f"directory: got {len(changes.added)} new slots, expected at most {most}, one a "
            f"message of batches {before.batch + 1} to {changes.batch}; restore the newest copy of "
            "HQ's folder"
        )


def check_network(history: SlotHistory, network: bytes) -> None:
    """Refuses another network than that of the first directory.

    Raises:
        DirectoryRefused: If it is one, or no token key.
    """
    if network == history.network:
        return
    if history.network:
        raise DirectoryRefused(
            "directory: got one of another network than the first that was countersigned; where "
            "the token key was renewed on purpose: `escapement-office tokens renew`"
        )
    try:
        check_point("network", network)
    except TokenRefused as error:
        raise DirectoryRefused("directory: its network is no token key") from error


def _blanked(
    history: SlotHistory, changes: DirectoryChanges, evidence: Mapping[int, Evidence]
) -> dict[bytes, int]:
    """The hashes of the keys that are withdrawn by these changes, with the batch of each."""
    before, places = history.directory, changes.blanked.astype(np.int64)
    if (np.diff(places) <= 0).any() or (places >= before.slots).any():
        raise DirectoryRefused(
            f"directory: blanks slots out of order, or beyond the {before.slots} there are; "
            "name each once, ascending"
        )
    gone = places[before.blank[places]]
    if len(gone):
        raise DirectoryRefused(f"slot {gone[0]}: is blank already; blank it no second time")
    withdrawn = {}
    for slot in map(int, places):
        shown, key = evidence.get(slot), before.keys[slot].tobytes()
        if shown is None or shown.act is not RegistrationAct.WITHDRAW:
            raise DirectoryRefused(
                f"slot {slot}: blanked without evidence of a withdrawal; only who holds the key's "
                "secret withdraws it"
            )
        _check_evidence(slot, shown, history.network, key, int(history.opened[slot]), changes.batch)
        withdrawn[history.hash_of(key)] = shown.batch
    return withdrawn


def _check_returns(
    history: SlotHistory,
    withdrawn: Mapping[bytes, int],
    changes: DirectoryChanges,
    evidence: Mapping[int, Evidence],
) -> None:
    """Refuses a withdrawn key in a new slot without a registration that knew of the withdrawal."""
    if not withdrawn:
        return
    keys, first = changes.added[:, :KEY_BYTES], history.directory.slots
    for place in map(int, np.flatnonzero(keys.any(axis=1))):
        key, slot = keys[place].tobytes(), first + place
        left = withdrawn.get(history.hash_of(key))
        if left is None:
            continue
        shown = evidence.get(slot)
        if shown is None or shown.act is not RegistrationAct.REGISTER:
            raise DirectoryRefused(
                f"slot {slot}: its key was withdrawn in batch {left}, and there is no evidence of "
                "a registration since; leave it out"
            )
        if shown.since < left:
            raise DirectoryRefused(
                f"slot {slot}: its key was withdrawn in batch {left}, and registered by a consent "
                f"as of batch {shown.since}, which is older; leave it out"
            )
        _check_evidence(slot, shown, history.network, key, left, changes.batch)


def _check_evidence(
    slot: int, shown: Evidence, network: bytes, key: bytes, after: int, batch: int
) -> None:
    """Refuses evidence that is not later than `after`, or that the key's holder did not make."""
    if not after < shown.batch <= batch:
        raise DirectoryRefused(
            f"slot {slot}: got evidence of a {shown.act.name} in batch {shown.batch}, expected one "
            f"of batches {after + 1} to {batch}"
        )
    try:
        shown.check(network, key)
    except TokenRefused as error:
        raise DirectoryRefused(
            f"slot {slot}: its evidence does not verify: another key, network, batch or act than "
            "it was made for"
        ) from error
