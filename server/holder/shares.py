"""The shares of the token key: refreshed, both move and their sum stays; renewed, all is another.

In a refresh tokens do not change, so nobody has to register anew; but a share that was stolen
before it and one stolen after it add up to nothing. HQ draws delta, the office takes it off, HQ
adds it on:

    HQ: pending stored -> office: share stored -> HQ: share stored -> HQ: pending deleted

A kill between any two is taken up by running the refresh again: the pending delta is asked for
again, and an office that has moved already answers with what it has.
"""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from privacy.errors import InvalidParameter
from privacy.keyring import write_private
from privacy.tokens import TokenShare, fresh_delta, total_key
from server.holder.errors import RefreshRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privacy.keyring import Keyring

PENDING_FILE = "token-refresh.json"


class OtherHolder(Protocol):
    """The office, as HQ asks it to move its share."""

    def refresh_share(self, epoch: int, delta: bytes) -> tuple[int, bytes]:
        """Moves to an epoch; answers with the epoch and public half of its share afterwards."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A refresh that was begun.

    Attributes:
        epoch: Where it leads.
        total: What the two public halves add up to, before and after.
        delta: What moves between the shares.
    """

    epoch: int
    total: bytes
    delta: bytes = field(repr=False)


def keep_share(ring: Keyring, share: TokenShare) -> None:
    """Stores a share, then its public half on a card of a higher serial; repeated after a kill."""
    ring.keep_token_share(share)
    ring.keep(ring.identity().with_token_key(share.public))


def renew(ring: Keyring) -> TokenShare:
    """Begins a new token key: a fresh share of epoch 0 in place of the one before, for good.

    Tokens become others, so whoever keeps anything by them has to begin anew too. A refresh that
    was begun is forgotten. Made again it is another share.

    Args:
        ring: The holder's.

    Raises:
        RefreshRefused: If a refresh runs.
    """
    with _alone(ring):
        (ring.folder / PENDING_FILE).unlink(missing_ok=True)
        share = TokenShare.generate()
        keep_share(ring, share)
        return share


def answer_refresh(ring: Keyring, epoch: int, delta: bytes) -> TokenShare:
    """At the office: moves its share to `epoch`, or changes nothing where it is there already.

    Args:
        ring: The office's.
        epoch: The present epoch or the next.
        delta: What is taken off; not looked at in the present epoch.

    Raises:
        RefreshRefused: If it is another epoch, or delta is no scalar.
    """
    with _alone(ring):
        share = ring.token_share()
        if epoch not in (share.epoch, share.epoch + 1):
            raise RefreshRefused(
                f"refresh: got epoch {epoch}, expected {share.epoch} or {share.epoch + 1}; "
                "restore the newest copies of both holders' folders"
            )
        if epoch == share.epoch + 1:
            try:
                share = share.refreshed(delta, -1)
            except InvalidParameter as error:
                raise RefreshRefused("refresh: got no scalar of 32 reduced bytes") from error
        keep_share(ring, share)
        return share


def refresh(ring: Keyring, office: OtherHolder) -> int:
    """At HQ: moves both shares to the next epoch, or ends a refresh that was begun.

    Args:
        ring: HQ's.
        office: Asked once a step; asking again changes nothing.

    Returns:
        The epoch afterwards.

    Raises:
        RefreshRefused: If another refresh runs, or the office is out of step; nothing of HQ's is
            changed then.
    """
    place = ring.folder / PENDING_FILE
    with _alone(ring):
        share = ring.token_share()
        pending = _read(place) if place.exists() else _begin(place, share, office)
        if share.epoch == pending.epoch - 1:
            moved = share.refreshed(pending.delta, 1)
            _check(office.refresh_share(pending.epoch, pending.delta), moved, pending.total)
            share = moved
        elif share.epoch != pending.epoch:
            raise RefreshRefused(
                f"{place}: leads to epoch {pending.epoch}, the share is of epoch {share.epoch}; "
                "restore the newest copy of HQ's folder"
            )
        keep_share(ring, share)
        place.unlink()
        return share.epoch


def _begin(place: Path, share: TokenShare, office: OtherHolder) -> _Pending:
    """Makes sure that the two are in step, and stores the delta before anybody uses it."""
    epoch, public = office.refresh_share(share.epoch, b"")
    if epoch != share.epoch:
        raise RefreshRefused(f"refresh: the office is in epoch {epoch}, HQ in {share.epoch}")
    pending = _Pending(share.epoch + 1, total_key(share.public, public), fresh_delta())
    body = {
        "epoch": pending.epoch,
        "total": pending.total.hex(),
        "delta": pending.delta.hex(),
    }
    write_private(place, json.dumps(body).encode())
    return pending


def _read(place: Path) -> _Pending:
    try:
        raw = json.loads(place.read_text())
        return _Pending(int(raw["epoch"]), bytes.fromhex(raw["total"]), bytes.fromhex(raw["delta"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RefreshRefused(f"{place}: malformed; restore it from a backup") from error


def _check(answer: tuple[int, bytes], moved: TokenShare, total: bytes) -> None:
    """Refuses an answer after which tokens would be others: nothing is kept then."""
    epoch, public = answer
    if epoch != moved.epoch or total_key(moved.public, public) != total:
        raise RefreshRefused(
            f"refresh: the office answered for epoch {epoch} with a share that does not fit HQ's "
            f"of epoch {moved.epoch}; HQ's is unchanged: restore the newest copies of both folders"
        )


@contextmanager
def _alone(ring: Keyring) -> Iterator[None]:
    """One refresh at a time, over all processes of this machine."""
    with (ring.folder / "token-refresh.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefreshRefused("refresh: another one runs; wait for it") from error
        yield
