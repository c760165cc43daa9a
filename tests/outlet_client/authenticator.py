"""A device with passkeys, as far as a server can tell: it makes keys and signs with them."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_PRESENT, _VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


@dataclass
class Device:
    """One passkey and where it is kept.

    Attributes:
        origin: Where the browser that has it is.
        verifies: Whether it makes sure of its user.
        uses: How often it signed; 0 for ever where it does not count.
        credential: Its id.
    """

    origin: str
    verifies: bool = True
    uses: int = 0
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def create(self, options: str) -> str:
        """Answers what a page asks for to make a passkey."""
        asked = json.loads(options)
        public = self.key.public_key().public_numbers()
        key = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: public.x.to_bytes(32, "big"), -3: public.y.to_bytes(32, "big")}
        )
        made = bytes(16) + len(self.credential).to_bytes(2, "big") + self.credential + key
        data = self._data(asked["rp"]["id"], _ATTESTED) + made
        attested = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        answer = {"attestationObject": text(attested), "transports": ["internal"]}
        return self._answer("webauthn.create", asked["challenge"], answer)

    def get(self, options: str) -> str:
        """Answers what a page asks for to sign in."""
        asked = json.loads(options)
        data = self._data(asked["rpId"], 0)
        client = self._client("webauthn.get", asked["challenge"])
        signed = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        answer = {"authenticatorData": text(data), "signature": text(signed)}
        return self._answer("webauthn.get", asked["challenge"], answer)

    def _data(self, host: str, also: int) -> bytes:
        flags = _PRESENT | also | (_VERIFIED if self.verifies else 0)
        return (
            hashlib.sha256(host.encode()).digest() + bytes([flags]) + self.uses.to_bytes(4, "big")
        )

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _answer(self, kind: str, challenge: str, response: dict[str, Any]) -> str:
        own = text(self.credential)
        response["clientDataJSON"] = text(self._client(kind, challenge))
        return json.dumps({"id": own, "rawId": own, "type": "public-key", "response": response})


def text(data: bytes) -> str:
    """Bytes as WebAuthn has them in JSON."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
