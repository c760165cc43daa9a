"""Changes to slots: what one message of a batch of registrations does, and in which order.

States of a slot, which never changes its number:

    live       public key, home nonce and home tag    -> blank (by a withdrawal)
    blank      all three deleted; the evidence stays  -> for ever

A registry that was restored from an older copy gets slots from the office (`registry_adoption`).

States of a registration, known by its tag:

    live       names its slot                         -> dead, with its slot
    dead       the tag alone: a tombstone, so that a replay changes nothing

Of a withdrawn key a hash stays, with the batch of its last burial; without the random keys in their
own table the hash cannot be tested against keys.
"""

from __future__ import annotations

import hmac

import sqlalchemy as sa

from privacy.registrations import Registration, RegistrationAct, nonce_of, tag_of
from server.hq.registry_tables import BURIAL_KEY, BURIALS, REGISTRATIONS, SLOT_KEYS
from server.hq.slot_evidence import keep_evidence


def order(order_key: bytes, message: Registration) -> tuple[bool, bytes, bytes, int, bytes]:
    """What messages of a batch are sorted by: tags under a key that no sender could foresee."""
    place = hmac.digest(order_key, _tag(message), "sha256")
    withdraws = message.act is RegistrationAct.WITHDRAW
    return withdraws, place, message.key, message.since, message.proof


def _tag(message: Registration) -> bytes:
    return tag_of(
        nonce_of(message.shown) if message.act is RegistrationAct.WITHDRAW else message.shown
    )


def apply_message(connection: sa.Connection, message: Registration) -> str:
    """Applies one message of a batch; says under which of `BatchCounts` it falls."""
    if message.act is RegistrationAct.REGISTER:
        return _register(connection, message)
    if message.act is RegistrationAct.WITHDRAW:
        return _withdraw(connection, message)
    return "nothing"


def _register(connection: sa.Connection, message: Registration) -> str:
    tag = _tag(message)
    seen = sa.select(REGISTRATIONS.c.tag).where(REGISTRATIONS.c.tag == tag)
    if connection.scalar(seen) is not None:
        return "nothing"
    withdrawn = last_burial(connection, message.key)
    if withdrawn is not None and message.since < withdrawn:
        return "refused"  # the consent is older than the withdrawal
    same = sa.select(SLOT_KEYS.c.slot).where(SLOT_KEYS.c.key == message.key)
    slot = connection.scalar(same)
    if slot is None:
        slot = _open_slot(connection, message, tag)
        if withdrawn is not None:
            keep_evidence(connection, slot, message.evidence)
    connection.execute(REGISTRATIONS.insert().values(tag=tag, slot=slot))
    return "registered"


def _open_slot(connection: sa.Connection, message: Registration, tag: bytes) -> int:
    """Gives a key the next slot, at home where this registration comes from."""
    last = connection.scalar(sa.select(sa.func.max(SLOT_KEYS.c.slot)))
    slot = 0 if last is None else int(last) + 1
    row = {
        "slot": slot,
        "key": message.key,
        "home_nonce": message.shown,
        "home_tag": tag,
        "opened": message.batch,
    }
    connection.execute(SLOT_KEYS.insert().values(**row))
    return slot


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
    burial = {"key_hash": _key_hashes(connection, key)[0], "batch": batch}
    connection.execute(BURIALS.insert().prefix_with("OR REPLACE").values(**burial))


def last_burial(connection: sa.Connection, key: bytes) -> int | None:
    """The batch of a key's last withdrawal; None if it never was withdrawn."""
    mine = BURIALS.c.key_hash.in_(_key_hashes(connection, key))
    found: int | None = connection.scalar(sa.select(sa.func.max(BURIALS.c.batch)).where(mine))
    return found


def _key_hashes(connection: sa.Connection, key: bytes) -> list[bytes]:
    """What may be kept of a withdrawn slot key; HQ's own hash is the first."""
    hash_keys = connection.scalars(sa.select(BURIAL_KEY.c.hash_key).order_by(sa.text("rowid")))
    return [hmac.digest(bytes(hash_key), key, "sha256") for hash_key in hash_keys]
