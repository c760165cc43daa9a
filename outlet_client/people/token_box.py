"""Tokens at rest: encrypted under a key of this outlet's folder, bound to the person.

A copy of `outlet.db` alone therefore holds no token; who has the whole folder has the key too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.errors import TokenUnreadable
from privacy.at_rest import AtRest, SecretUnreadable
from privacy.slot_keys import SlotKey

if TYPE_CHECKING:
    from privacy.tokens import Token

_DOMAIN = b"escapement/v1/token-at-rest"


class TokenBox:
    """Encrypts tokens for the store, and makes slot keys of what it encrypted."""

    def __init__(self, secret: bytes) -> None:
        """Derives the key from a secret of the folder."""
        self._at_rest = AtRest(_DOMAIN, secret)

    def sealed(self, person: str, token: Token) -> bytes:
        """A token for the row of a person, by `People.local_key`."""
        return self._at_rest.sealed(token.raw, person.encode())

    def slot_key(self, person: str, sealed: bytes) -> SlotKey:
        """The slot key of a person, from the token in their row.

        Raises:
            TokenUnreadable: If it was encrypted with another folder's keys, or for somebody else.
        """
        try:
            return SlotKey.of(self._at_rest.opened(sealed, person.encode()))
        except SecretUnreadable as error:
            raise TokenUnreadable from error
