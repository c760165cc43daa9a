"""The vault: a key that dies with each seal, and what of the open one is in memory.

Invariant: secrets of an open seal are in the store under the vault's key alone, and whoever ends
the seal renews the key within the same transaction. So what a store, its journal, or a copy of it
still holds of a seal that is over, opens nowhere; and a store that was copied back while its folder
has a later key goes on with no seal. Beside the key stands what the open seal is bound to, its set
and its chunks' choices, each before the store has it: a store that was copied back while its own
seal is open takes no other.

The key is a file of the office's folder that no backup has. It is overwritten where it is: a file
that takes its place would leave the old bytes on the disk. What a file system keeps beside is
beyond this program.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privacy.at_rest import AtRest, SecretUnreadable
from server.holder.vault import write_in_place

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.directory import Directory
    from privacy.sealing import Sender, Shares

KEY_FILE = "release.key"

_KEY_BYTES = 32
_NOTE_BYTES = 64
_DOMAIN = b"escapement/v1/open-seal"


@dataclass(frozen=True, slots=True)
class OpenSeal:
    """What a chunk's tables are made of, computed once.

    Attributes:
        sender: With the seal's secrets.
        masks: uint16[slots, width], the sum of masks.
        directory: The seal's.
        reached: How many slots enough answers reach.
    """

    sender: Sender
    masks: Shares = field(repr=False)
    directory: Directory = field(repr=False)
    reached: int


class Vault:
    """Wraps and unwraps the open seal's secrets; renewed within a transaction of the store only.

    Attributes:
        seal: What is in memory of the open seal; None of none.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Takes the key that is there.

        Args:
            file: Where the key is kept, from the first seal on; None keeps it in memory.
        """
        self._file, self._key = file, b""
        self.seal: OpenSeal | None = None

    def renew(self) -> None:
        """Overwrites the key: what was wrapped opens no more. Nothing may be open."""
        self.seal = None
        if self._file is None:
            self._key = secrets.token_bytes(_KEY_BYTES)
            return
        write_in_place(self._file, 0, secrets.token_bytes(_KEY_BYTES))

    def note(self, name: str, value: str) -> bool:
        """Binds the open seal to a value; within a transaction, before it is stored there.

        Args:
            name: Of what.
            value: A digest in hex.

        Returns:
            Whether it is the only value that was noted under this name since the key was renewed;
            not where there is no key.
        """
        content = self._content()
        note = hashlib.sha256(name.encode()).digest() + bytes.fromhex(value)
        end = len(content) - (len(content) - _KEY_BYTES) % _NOTE_BYTES  # without one cut by a kill
        for at in range(_KEY_BYTES, end, _NOTE_BYTES):
            known = content[at : at + _NOTE_BYTES]
            if known[: _NOTE_BYTES // 2] == note[: _NOTE_BYTES // 2]:
                return known == note
        if end < _KEY_BYTES:
            return False
        if self._file is None:
            self._key += note
        else:
            write_in_place(self._file, end, note)
        return True

    def wrapped(self, secret: bytes, place: str) -> bytes:
        """Encrypts a secret for one place: of which seal it is, and what of it."""
        return self._at_rest().sealed(secret, place.encode())

    def opened(self, wrapped: bytes, place: str) -> bytes:
        """Opens what was wrapped for a place.

        Raises:
            SecretUnreadable: If the key is another one, or gone.
        """
        return self._at_rest().opened(wrapped, place.encode())

    def _at_rest(self) -> AtRest:
        """Of the key as it is now: another process may have renewed it."""
        key = self._content()[:_KEY_BYTES]
        if len(key) != _KEY_BYTES:
            raise SecretUnreadable("vault: there is no key")
        return AtRest(_DOMAIN, key)

    def _content(self) -> bytes:
        """The key, and what was noted since."""
        if self._file is None:
            return self._key
        return self._file.read_bytes() if self._file.exists() else b""
