"""Changes to slots: what one message of a batch of registrations does, and in which order.

States of a slot, which never changes its number:

    live       public key, home nonce and home tag    -> blank (by a withdrawal)
    blank      all three deleted; the evidence stays  -> for ever

A registry that was restored from an older copy gets slots from the office (`registry_adoption`).

States of a registration, known by its tag:

    live       names its slot                         -> dead, with its slot
    dead       the tag alone: a tombstone, so that a replay changes nothing

A live one that comes again changes nothing, but where HQ was restored and lost what it showed.

Of a withdrawn key a hash stays, with the batch of its last burial; without the random keys in their
own table the hash cannot be tested against keys.
"""

from __future__ import annotations

import hmac
import itertools
from collections import Counter
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.registrations import Registration, RegistrationAct, nonce_of, tag_of
from server.hq.slot_evidence import keep_evidence
from server.hq.tables import BURIAL_KEY, BURIALS, REGISTRATIONS, SLOT_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_AT_ONCE = 1000
"""Rows that one query asks for."""


def order(order_key: bytes, message: Registration) -> tuple[bool, bytes, bytes, int, bytes]:
    """What messages of a batch are sorted by: tags under a key that no sender could foresee."""
    place = hmac.digest(order_key, _tag(message), "sha256")
    withdraws = message.act is RegistrationAct.WITHDRAW
    return withdraws, place, message.key, message.since, message.proof


def _tag(message: Registration) -> bytes:
    return tag_of(
        nonce_of(message.shown) if message.act is RegistrationAct.WITHDRAW else message.shown
    )


def apply_messages(connection: sa.Connection, messages: Sequence[Registration]) -> Counter[str]:
    """Applies a batch in its order; how many messages fall under each of `BatchCounts`.

    Args:
        connection: To the registry.
        messages: Sorted by `order`: registrations come before withdrawals.
    """
    acts = {act: [one for one in messages if one.act is act] for act in RegistrationAct}
    counts = Counter({"nothing": len(acts[RegistrationAct.NOTHING])})
    counts.update(_register(connection, acts[RegistrationAct.REGISTER]))
    counts.update(_withdraw(connection, one) for one in acts[RegistrationAct.WITHDRAW])
    return counts


def _register(connection: sa.Connection, messages: Sequence[Registration]) -> Counter[str]:
    """Applies registrations in their order; what the registry knows of them is asked at once."""
    tags, keys = [_tag(message) for message in messages], {message.key for message in messages}
    seen = set(_known(connection, REGISTRATIONS.c.tag, REGISTRATIONS.c.slot, tags))
    slots = _known(connection, SLOT_KEYS.c.key, SLOT_KEYS.c.slot, keys)
    withdrawn = last_burials(connection, keys)
    last = connection.scalar(sa.select(sa.func.max(SLOT_KEYS.c.slot)))
    free = itertools.count(0 if last is None else last + 1)
    opened, registered = list[dict[str, object]](), list[dict[str, object]]()
    counts = Counter[str]()
    for message, tag in zip(messages, tags, strict=True):
        key = message.key
        if tag in seen:
            counts[_home_again(connection, message, tag)] += 1
        elif message.since < withdrawn.get(key, 0):
            counts["refused"] += 1  # the consent is older than the withdrawal
        else:
            if key not in slots:
                slots[key] = next(free)
                opened.append(_slot_row(slots[key], message, tag))
                if key in withdrawn:
                    keep_evidence(connection, slots[key], message.evidence)
            seen.add(tag)
            registered.append({"tag": tag, "slot": slots[key]})
    for table, rows in ((SLOT_KEYS, opened), (REGISTRATIONS, registered)):
        if rows:
            connection.execute(table.insert(), rows)
    counts["registered"] += len(registered)
    return counts


def _home_again(connection: sa.Connection, message: Registration, tag: bytes) -> str:
    """Takes a home's nonce where HQ lost it: of a slot that it took over it has the tag alone.

    Nobody else can show a nonce of this tag, nor prove the key.
    """
    home = (SLOT_KEYS.c.key == message.key) & (SLOT_KEYS.c.home_tag == tag)
    nonce = connection.scalar(sa.select(SLOT_KEYS.c.home_nonce).where(home))
    if nonce is None or nonce == message.shown:
        return "nothing"
    connection.execute(SLOT_KEYS.update().where(home).values(home_nonce=message.shown))
    return "registered"


def _slot_row(slot: int, message: Registration, tag: bytes) -> dict[str, object]:
    """The row of a key's slot, at home where this registration comes from."""
    return {
        "slot": slot,
        "key": message.key,
        "home_nonce": message.shown,
        "home_tag": tag,
        "opened": message.batch,
    }


def _known(
    connection: sa.Connection,
    name: sa.Column[bytes],
    value: sa.Column[int],
    asked: Iterable[bytes],
) -> dict[bytes, int]:
    """Two columns of a table, where the first is among what is asked."""
    found: dict[bytes, int] = {}
    waiting = iter(asked)
    while some := list(itertools.islice(waiting, _AT_ONCE)):
        rows = connection.execute(sa.select(name, value).where(name.in_(some)))
        found.update((known, number) for known, number in rows)
    return found


def _withdraw(connection: sa.Connection, message: Registration) -> str:
    query = (
        sa.select(REGISTRATIONS.c.slot, SLOT_KEYS.c.key)
        .join(SLOT_KEYS, SLOT_KEYS.c.slot == REGISTRATIONS.c.slot, isouter=True)
        .where(REGISTRATIONS.c.tag == _tag(message))
    )
    known = connection.execute(query).one_or_none()
    if known is None:
        return "refused"
    if known.slot is None:  # buried before, by whomever
        return "nothing"
    if known.key != message.key:
        return "refused"
    make_blank(connection, known.slot)
    keep_evidence(connection, known.slot, message.evidence)
    bury(connection, message.key, message.batch)
    return "withdrawn"


def make_blank(connection: sa.Connection, slot: int) -> None:
    """Deletes what a slot holds; its registrations are dead from now on."""
    mine = SLOT_KEYS.c.slot == slot
    blank = SLOT_KEYS.update().where(mine).values(key=None, home_nonce=None, home_tag=None)
    connection.execute(blank)
    dead = REGISTRATIONS.c.slot == slot
    connection.execute(REGISTRATIONS.update().where(dead).values(slot=None))


def bury(connection: sa.Connection, key: bytes, batch: int) -> None:
    """Keeps the hash of a key that is withdrawn in a batch."""
    burial = {"key_hash": _hashed(_hash_keys(connection)[0], key), "batch": batch}
    connection.execute(BURIALS.delete().where(BURIALS.c.key_hash == burial["key_hash"]))
    connection.execute(BURIALS.insert().values(**burial))


def last_burials(connection: sa.Connection, keys: Iterable[bytes]) -> dict[bytes, int]:
    """The batch of each key's last withdrawal, of those that ever were withdrawn."""
    hash_keys = _hash_keys(connection)
    hashes = {_hashed(hash_key, key): key for key in keys for hash_key in hash_keys}
    last: dict[bytes, int] = {}
    for name, batch in _known(connection, BURIALS.c.key_hash, BURIALS.c.batch, hashes).items():
        last[hashes[name]] = max(batch, last.get(hashes[name], 0))
    return last


def _hash_keys(connection: sa.Connection) -> list[bytes]:
    """What withdrawn slot keys are hashed with; HQ's own is the first."""
    return list(connection.scalars(sa.select(BURIAL_KEY.c.hash_key).order_by(BURIAL_KEY.c.number)))


def _hashed(hash_key: bytes, key: bytes) -> bytes:
    """What may be kept of a withdrawn slot key."""
    return hmac.digest(hash_key, key, "sha256")
