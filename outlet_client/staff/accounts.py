"""Accounts of the desk's staff: names, roles, and how passwords are checked.

Invariant: whoever signs in learns one thing, whether name and password go together. A name that
there is not costs the same time and gets the same answer as a wrong password, and is slowed down
in the same way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from outlet_client.errors import OutletError
from outlet_client.moments import text_of_moment
from outlet_client.records.actor import checked_name, folded_name
from outlet_client.staff.sign_in_throttle import failed, forget, refuse_early, wait
from outlet_client.staff.staff_store import PASSKEYS, STAFF, UNDERTAKINGS
from privacy.envelopes import frame

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from outlet_client.staff.agreed_texts import Text
    from outlet_client.staff.staff_store import StaffStore
    from privacy.identity import Identity

LEAST_CHARACTERS, MOST_CHARACTERS = 12, 256
"""Of a password."""

LEAST_DIFFERENT = 5
"""Characters of a password that differ from one another."""

AT_ONCE = 2
"""Passwords that are checked at once; a hash takes 64 MiB."""

_DOMAIN = b"escapement/v1/staff"
_HASHER = PasswordHasher()  # Argon2id, RFC 9106's second recommendation: 64 MiB, three passes


class Role(StrEnum):
    """What somebody may do at the desk."""

    ASSOCIATE = "associate"
    MANAGER = "manager"
    PRIVACY = "privacy"
    """The privacy officer."""


class StaffRefused(OutletError):
    """An account or a password that cannot be as asked."""


class SignInRefused(OutletError):
    """Name and password do not go together; it is not said which is wrong."""

    def __init__(self) -> None:
        super().__init__(
            "Name or password is wrong. Try again, or ask whoever runs this program for a new one."
        )


@dataclass(frozen=True, slots=True)
class Account:
    """One person's account.

    Attributes:
        temporary: Whether the password was handed over, and has to be changed.
        generation: Another one when what is open under the name has to end.
        handle: Under which browsers keep passkeys; random.
    """

    name: str
    role: Role
    temporary: bool
    generation: int
    handle: bytes


class Accounts:
    """The accounts of one outlet; for any number of threads."""

    def __init__(self, store: StaffStore, secret: bytes, hasher: PasswordHasher = _HASHER) -> None:
        """Takes where they are kept.

        Names that were tried are kept hashed under the secret.
        """
        self._store = store
        self._secret = secret
        self._hasher = hasher
        self._nobodys = _nobodys(hasher)
        self._turns = threading.Semaphore(AT_ONCE)

    def add(self, name: str, role: Role, at: dt.datetime) -> str:
        """Makes an account; returns a temporary password, to be handed over.

        Raises:
            NotAsked: If the name is none.
            StaffRefused: If there is one of this name, however it is written.
        """
        name, password = checked_name(name), _made_password()
        hashed = self._hasher.hash(password)
        with self._store.transaction() as connection:
            _refuse_taken(connection, name)
            # Of somebody of this name before; what they undertook stays.
            connection.execute(sa.delete(PASSKEYS).where(PASSKEYS.c.name == name))
            values = {
                "name": name, "role": role.value, "password": hashed, "temporary": True,
                "handle": secrets.token_bytes(32), "since": text_of_moment(at),
                "generation": secrets.randbits(32),  # not that of an account of this name before
            }  # fmt: skip
            connection.execute(STAFF.insert().values(values))
        return password

    def reset(self, name: str) -> str:
        """Gives somebody a new temporary password; ends their sessions, passkeys and waits.

        Raises:
            StaffRefused: If there is no such account.
        """
        password = _made_password()
        hashed = self._hasher.hash(password)
        with self._store.transaction() as connection:
            _change(connection, name, password=hashed, temporary=True)
            connection.execute(sa.delete(PASSKEYS).where(PASSKEYS.c.name == name))
            forget(connection, self._who(name))
        return password

    def give(self, name: str, role: Role) -> None:
        """Gives somebody another role; ends their sessions.

        Raises:
            StaffRefused: If there is no such account.
        """
        with self._store.transaction() as connection:
            _change(connection, name, role=role.value)

    def remove(self, name: str) -> None:
        """Takes an account away; what its holder did stays in the log.

        Raises:
            StaffRefused: If there is no such account.
        """
        with self._store.transaction() as connection:
            _change(connection, name)
            connection.execute(sa.delete(STAFF).where(STAFF.c.name == name))
            connection.execute(sa.delete(PASSKEYS).where(PASSKEYS.c.name == name))

    def all(self) -> list[Account]:
        """Everybody's, by name."""
        with self._store.transaction() as connection:
            rows = connection.execute(sa.select(STAFF).order_by(STAFF.c.name)).all()
        return [_account(row) for row in rows]

    def named(self, typed: str) -> Account:
        """One by its name, however that is written.

        Raises:
            StaffRefused: If there is no such account.
        """
        with self._store.transaction() as connection:
            row = _called(connection, typed)
        if row is None:
            raise _nobody(" ".join(typed.split()))
        return _account(row)

    def free(self, name: str) -> str:
        """A name as an account of it would have it.

        Raises:
            NotAsked: If the name is none.
            StaffRefused: If there is one of this name, however it is written.
        """
        with self._store.transaction() as connection:
            _refuse_taken(connection, checked_name(name))
        return checked_name(name)

    def find(self, name: str) -> Account | None:
        """One by its very name; None where there is none any more."""
        with self._store.transaction() as connection:
            row = connection.execute(sa.select(STAFF).where(STAFF.c.name == name)).one_or_none()
        return None if row is None else _account(row)

    def sign_in(self, name: str, password: str, at: dt.datetime) -> Account:
        """Checks a name and a password.

        Case, spaces and how accents are written do not matter in a name.

        Raises:
            MustWait: If too many tries with this name failed, whether there is such a name or not;
                the password was not looked at.
            SignInRefused: If they do not go together.
        """
        who = self._who(name)
        with self._turns:
            with self._store.transaction() as connection:
                refuse_early(connection, who, at.timestamp())
                failed(connection, who, at.timestamp())  # taken back where it succeeds
                row = _called(connection, name)
            good = self._verify(self._nobodys if row is None else row.password, password)
        if row is None or not good:
            raise SignInRefused
        self.succeeded(row.name)
        return _account(row)

    def locked(self, name: str, at: dt.datetime) -> bool:
        """Whether the next try with a name has to wait."""
        with self._store.transaction() as connection:
            return wait(connection, self._who(name), at.timestamp()) > 0

    def succeeded(self, name: str) -> None:
        """Forgets the tries that failed."""
        with self._store.transaction() as connection:
            forget(connection, self._who(name))

    def change_password(
        self, name: str, old: str, new: str, at: dt.datetime, log: Callable[[], None] = lambda: None
    ) -> Account:
        """Changes somebody's own password; ends their other sessions.

        It is logged before it is changed, once nothing is in the way.

        Raises:
            StaffRefused: If the new one is too short or too long, the old one, or holds the name;
                or if the account was changed meanwhile.
            SignInRefused: If the old one is wrong.
            MustWait: As for signing in.
        """
        if not LEAST_CHARACTERS <= len(new) <= MOST_CHARACTERS:
            raise StaffRefused(
                f"The new password has {len(new)} characters; expected {LEAST_CHARACTERS} to "
                f"{MOST_CHARACTERS}. Three or four words that do not belong together are good."
            )
        if new == old or folded_name(name) in folded_name(new) or len(set(new)) < LEAST_DIFFERENT:
            raise StaffRefused(
                "The new password is the old one, holds your name, or repeats few characters; "
                "expected another one."
            )
        before = self.sign_in(name, old, at)
        with self._turns:
            hashed = self._hasher.hash(new)
        log()
        with self._store.transaction() as connection:
            # Who got a new password meanwhile is not to lose it to whoever knew the old one.
            same = STAFF.c.generation == before.generation
            if not _changed(connection, before.name, same, password=hashed, temporary=False):
                raise StaffRefused("Your account was changed just now. Sign in again.")
        return replace(before, temporary=False, generation=before.generation + 1)

    def undertake(self, name: str, text: Text, at: dt.datetime) -> None:
        """Keeps that somebody undertook what a text says, with the text."""
        values = {
            "name": name, "version": text.version, "digest": text.digest, "text": text.whole,
            "at": text_of_moment(at),
        }  # fmt: skip
        with self._store.transaction() as connection:
            connection.execute(UNDERTAKINGS.insert().values(values))

    def undertook(self, name: str, text: Text) -> bool:
        """Whether somebody undertook this very text, since the account was made."""
        query = (
            sa.select(UNDERTAKINGS.c.number)
            .join(STAFF, STAFF.c.name == UNDERTAKINGS.c.name)
            .where(
                UNDERTAKINGS.c.name == name,
                UNDERTAKINGS.c.digest == text.digest,
                UNDERTAKINGS.c.at >= STAFF.c.since,
            )
        )
        with self._store.transaction() as connection:
            return connection.execute(query).first() is not None

    def undertaken(self, name: str) -> tuple[str, str] | None:
        """The version somebody undertook last and when; None where they never did."""
        query = (
            sa.select(UNDERTAKINGS.c.version, UNDERTAKINGS.c.at)
            .where(UNDERTAKINGS.c.name == name)
            .order_by(UNDERTAKINGS.c.number.desc())
        )
        with self._store.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.version, row.at)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password[: MOST_CHARACTERS + 1])
        except VerifyMismatchError:
            return False

    def _who(self, name: str) -> str:
        typed = b"tried name\0" + folded_name(name).encode()
        return hmac.digest(self._secret, typed, "sha256").hex()


def secret_of(identity: Identity) -> bytes:
    """The secret under which tried names are hashed, made from an outlet's signing key."""
    return hashlib.sha256(frame(_DOMAIN, identity.signing.to_bytes())).digest()


def _made_password() -> str:
    """16 letters and digits in four groups, without those that look alike: 79 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


def _nobodys(hasher: PasswordHasher) -> str:
    """A hash of no password, which takes as long to check as anybody's."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"


def _account(row: sa.Row[tuple[Any, ...]]) -> Account:
    return Account(row.name, Role(row.role), row.temporary, row.generation, row.handle)


def _called(connection: sa.Connection, typed: str) -> sa.Row[tuple[Any, ...]] | None:
    wanted = folded_name(typed)
    rows = connection.execute(sa.select(STAFF)).all()
    return next((row for row in rows if folded_name(row.name) == wanted), None)


def _refuse_taken(connection: sa.Connection, name: str) -> None:
    taken = _called(connection, name)
    if taken is not None:
        raise StaffRefused(
            f"staff: there is an account {taken.name}; choose another name, or give that one a "
            "new password with `escapement-outlet staff reset`"
        )


def _nobody(name: str) -> StaffRefused:
    return StaffRefused(
        f"staff: no account {name}; `escapement-outlet staff list` says which there are"
    )


def _change(connection: sa.Connection, name: str, **values: object) -> None:
    if not _changed(connection, name, **values):
        raise _nobody(name)


def _changed(
    connection: sa.Connection, name: str, *only: sa.ColumnElement[bool], **values: object
) -> bool:
    """Changes an account, and ends what is open under it; False where there is no such account."""
    grown = {**values, "generation": STAFF.c.generation + 1}
    update = sa.update(STAFF).where(STAFF.c.name == name, *only).values(grown)
    return connection.execute(update).rowcount > 0
