"""Encryption at rest: secrets in a store, under a key of the folder that the store is in.

Who copies the database alone reads none of them; who has the whole folder has the key. AES-256-GCM
with a random nonce [NIST SP 800-38D, 8.2.2], which is safe for 2^32 messages under one key; what a
secret is for is associated data, so that one moved to another place does not open.
"""

from __future__ import annotations

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.envelopes import frame
from privacy.errors import PrivacyError

_NONCE_BYTES = 12


class SecretUnreadable(PrivacyError):
    """A secret at rest that does not open with this folder's key, or was moved."""


class AtRest:
    """Encrypts secrets for a store, and opens them."""

    def __init__(self, domain: bytes, folder_secret: bytes) -> None:
        """Derives the key, another one for each domain."""
        self._cipher = AESGCM(hashlib.sha256(frame(domain, folder_secret)).digest())

    def sealed(self, secret: bytes, place: bytes) -> bytes:
        """Encrypts a secret for one place, such as a row's key; 28 bytes longer."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, place)

    def opened(self, sealed: bytes, place: bytes) -> bytes:
        """Opens what was sealed for a place.

        Raises:
            SecretUnreadable: If it was sealed with another key, for another place, or altered.
        """
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, place)
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable("secret: does not open with this folder's key") from error
