"""HQ's registry in memory, as outlets see it through directories: slots that grow and go blank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from privacy.directory import SLOT_BYTES, Directory
from privacy.registrations import Registration, RegistrationAct, nonce_of, tag_of


class Slot(NamedTuple):
    """A live slot as HQ keeps it: its key, and the nonce of the home's registration."""

    key: bytes
    nonce: bytes


class Slots:
    """HQ's registry: it grows, and what is withdrawn stays blank."""

    def __init__(self) -> None:
        self.rows: list[Slot | None] = []
        self.nonces: dict[bytes, set[bytes]] = {}
        self.dead: set[bytes] = set()
        self.withdrawn: dict[bytes, int] = {}

    @property
    def homes(self) -> dict[bytes, bytes]:
        """The nonce of each live key's home, in the order of the slots."""
        return {row.key: row.nonce for row in self.rows if row is not None}

    def register(self, key: bytes, nonce: bytes, since: int = 2**40) -> None:
        """Lists a key, if its consent is newer than its withdrawal; its first nonce is the home's.

        A nonce that was withdrawn lists nobody again. Of other outlets' registrations nobody asks
        how old the consent was.
        """
        if since < self.withdrawn.get(key, 0) or nonce in self.dead:
            return
        self.nonces.setdefault(key, set()).add(nonce)
        if key not in self.homes:
            self.rows.append(Slot(key, nonce))

    def blank(self, key: bytes, batch: int) -> None:
        """Withdraws a key."""
        self.rows = [None if row is not None and row.key == key else row for row in self.rows]
        self.dead |= self.nonces.pop(key, set())
        self.withdrawn[key] = batch

    def apply(self, act: Registration) -> None:
        """Does what a message asks for; only who registered a key withdraws it."""
        if act.act is RegistrationAct.REGISTER:
            self.register(act.key, act.shown, act.since)
        elif nonce_of(act.shown) in self.nonces.get(act.key, ()):
            self.blank(act.key, act.batch)

    def directory(self, batch: int) -> Directory:
        """The directory that lists them."""
        rows = b"".join(
            bytes(SLOT_BYTES) if row is None else row.key + tag_of(row.nonce) for row in self.rows
        )
        return Directory(batch, np.frombuffer(rows, np.uint8).reshape(-1, SLOT_BYTES))
