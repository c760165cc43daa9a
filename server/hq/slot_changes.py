"""Changes to slots: what one message of a batch of registrations does, and in which order.

States of a slot, which never changes its number:

    live       token, home nonce; fingerprint and home tag published   -> buried (by a withdrawal)
    buried     token and nonce deleted, random bytes in their place    -> for ever

States of a registration, known by its tag:

    live       names its slot                                          -> dead, with its slot
    dead       the tag alone: a tombstone, so that a replay changes nothing

Of a withdrawn token a hash stays, with the batch of its last burial; without the random key in its
own table the hash cannot be tested against tokens.
"""

from __future__ import annotations

import hmac
import secrets

import sqlalchemy as sa

from privacy.registrations import TAG_BYTES, Registration, RegistrationAct, nonce_of, tag_of
from privacy.tokens import Token, TokenRefused
from server.hq.registry_tables import BURIAL_KEY, BURIALS, REGISTRATIONS, SLOTS

_FINGERPRINT_BYTES = 8


def order(order_key: bytes, message: Registration) -> tuple[bool, bytes, bytes, int]:
    """What messages of a batch are sorted by: tags under a key that no sender could foresee."""
    place = hmac.digest(order_key, _tag(message), "sha256")
    return message.act is RegistrationAct.WITHDRAW, place, message.token, message.since


def _tag(message: Registration) -> bytes:
    return tag_of(
        nonce_of(message.proof) if message.act is RegistrationAct.WITHDRAW else message.proof
    )


def apply_message(connection: sa.Connection, message: Registration, batch: int) -> str:
    """Applies one message of a batch; says under which of `BatchCounts` it falls."""
    if message.act is RegistrationAct.REGISTER:
        return _register(connection, message)
    if message.act is RegistrationAct.WITHDRAW:
        return _withdraw(connection, message, batch)
    return "nothing"


def _register(connection: sa.Connection, message: Registration) -> str:
    tag = _tag(message)
    seen = sa.select(REGISTRATIONS.c.tag).where(REGISTRATIONS.c.tag == tag)
    if connection.scalar(seen) is not None:
        return "nothing"
    try:
        fingerprint = Token(message.token).fingerprint.to_bytes(_FINGERPRINT_BYTES, "little")
    except TokenRefused:
        return "refused"
    buried = sa.select(BURIALS.c.batch).where(
        BURIALS.c.token_hash == _token_hash(connection, message.token)
    )
    if (connection.scalar(buried) or 0) > message.since:
        return "refused"  # the consent is older than the withdrawal
    same = sa.select(SLOTS.c.slot, SLOTS.c.token).where(SLOTS.c.fingerprint == fingerprint)
    known = connection.execute(same).one_or_none()
    if known is None:
        last = connection.scalar(sa.select(sa.func.max(SLOTS.c.slot)))
        slot = 0 if last is None else last + 1
        row = {
            "slot": slot,
            "token": message.token,
            "home_nonce": message.proof,
            "fingerprint": fingerprint,
            "home_tag": tag,
        }
        connection.execute(SLOTS.insert().values(**row))
    elif known.token is None or not hmac.compare_digest(known.token, message.token):
        return "refused"  # a fingerprint must stand for one slot
    else:
        slot = known.slot
    connection.execute(REGISTRATIONS.insert().values(tag=tag, slot=slot))
    return "registered"


def _withdraw(connection: sa.Connection, message: Registration, batch: int) -> str:
    query = (
        sa.select(REGISTRATIONS.c.slot, SLOTS.c.token)
        .join(SLOTS, SLOTS.c.slot == REGISTRATIONS.c.slot, isouter=True)
        .where(REGISTRATIONS.c.tag == _tag(message))
    )
    known = connection.execute(query).one_or_none()
    if known is None:
        return "refused"
    if known.slot is None:  # buried before, by whomever
        return "nothing"
    if not hmac.compare_digest(known.token, message.token):
        return "refused"
    mine = SLOTS.c.slot == known.slot
    connection.execute(
        SLOTS.update()
        .where(mine)
        .values(
            token=None,
            home_nonce=None,
            fingerprint=secrets.token_bytes(_FINGERPRINT_BYTES),
            home_tag=secrets.token_bytes(TAG_BYTES),
        )
    )
    dead = REGISTRATIONS.c.slot == known.slot
    connection.execute(REGISTRATIONS.update().where(dead).values(slot=None))
    burial = {"token_hash": _token_hash(connection, message.token), "batch": batch}
    connection.execute(BURIALS.insert().prefix_with("OR REPLACE").values(**burial))
    return "withdrawn"


def _token_hash(connection: sa.Connection, token: bytes) -> bytes:
    """What is kept of a withdrawn token."""
    key = connection.scalars(sa.select(BURIAL_KEY.c.hash_key)).one()
    return hmac.digest(bytes(key), token, "sha256")
