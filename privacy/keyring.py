"""A folder with a party's own keys and the cards it trusts: the only files that `privacy` touches.

identity.json         the party's secrets, readable by its owner only
token-share.json      HQ and the office: its share of the token key, and what it becomes
public.json           its card, to be given to the others
peers/<kind>-<name>.json   cards of others, each imported after comparing its fingerprint
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.errors import PrivacyError
from privacy.identity import Card, Identity, PartyKind
from privacy.publications import Publishers
from privacy.tokens import TokenRefused, TokenShare, total_key

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path


class KeyringError(PrivacyError):
    """A key or card that is not there, or is there already."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys and cards of one party.

    Attributes:
        folder: Where they are.
        kind: What the party is.
    """

    folder: Path
    kind: PartyKind

    def create(
        self, name: str, address: str, at: dt.datetime, service_address: str = ""
    ) -> Identity:
        """Makes fresh keys, and for HQ and the office a fresh share of the token key.

        Raises:
            KeyringError: If there are keys already; they are never overwritten.
        """
        if self._identity_file.exists():
            raise KeyringError(f"{self._identity_file}: keys exist already; move them away first")
        share = None if self.kind is PartyKind.OUTLET else TokenShare.generate()
        identity = Identity.generate(
            self.kind,
            name,
            address,
            at,
            service_address=service_address,
            token_key=b"" if share is None else share.public,
        )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if share is not None:
            self.keep_token_share(share)
        write_private(self._identity_file, identity.encode())
        self.public_file.write_bytes(identity.card.encode(identity.signing))
        return identity

    def identity(self) -> Identity:
        """The party's own keys.

        Raises:
            KeyringError: If there are none.
            CardRefused: If they cannot be read.
        """
        if not self._identity_file.exists():
            raise KeyringError(f"{self._identity_file}: no keys; make them first, or restore them")
        return Identity.decode(self._identity_file.read_bytes(), self.kind)

    def token_share(self) -> TokenShare:
        """This holder's share of the token key.

        Raises:
            KeyringError: If there is none, or the file is malformed.
        """
        try:
            raw = json.loads(self._share_file.read_text())
            return TokenShare.from_bytes(bytes.fromhex(raw["share"]), int(raw["epoch"]))
        except FileNotFoundError as error:
            raise KeyringError(f"{self._share_file}: no share; restore it from a backup") from error
        except (KeyError, TypeError, ValueError, TokenRefused) as error:
            raise KeyringError(f"{self._share_file}: malformed; restore it") from error

    def keep_token_share(self, share: TokenShare) -> None:
        """Writes the share in place of the one before."""
        body = {"share": share.to_bytes().hex(), "epoch": share.epoch}
        write_private(self._share_file, json.dumps(body).encode())

    def token_key(self) -> bytes:
        """The network's token key: the sum of HQ's and the office's public shares, pinned.

        Raises:
            KeyringError: If a card is missing.
        """
        shares = (
            bytes.fromhex(self.peer(kind).token_key) for kind in (PartyKind.HQ, PartyKind.OFFICE)
        )
        return total_key(*shares)

    def publishers(self) -> Publishers:
        """Whose signatures make a directory or a book: HQ's and the office's pinned keys.

        Raises:
            KeyringError: If a card is missing.
        """
        hq, office = self.peer(PartyKind.HQ), self.peer(PartyKind.OFFICE)
        return Publishers(hq.verify_key, office.verify_key)

    @property
    def public_file(self) -> Path:
        """The card to give to the others."""
        return self.folder / "public.json"

    def trust(self, card: Card, data: bytes) -> None:
        """Puts a card on the list. Whoever calls has compared its fingerprint.

        It takes the place of one of the same name, certificate and signing key: the party has
        signed with the trusted key that its token or sealing key, or where it listens, is another.

        Args:
            card: What `Card.decode` made of `data`.
            data: The public file's bytes, as they were read for the comparison.

        Raises:
            KeyringError: If another card of its name, or one of its keys, is trusted already.
        """
        for known in self.peers(card.kind).values():
            if known == card:
                return
            if known.name == card.name and _same_keys(known, card):
                continue
            if known.name == card.name:
                raise KeyringError(
                    f"{card.kind} {card.name}: another card is trusted; remove it first"
                )
            if {known.certificate, known.signing_key} & {card.certificate, card.signing_key} or (
                card.node_key and known.node_key == card.node_key
            ):
                raise KeyringError(f"{card.kind} {card.name}: has a key of {known.name}'s")
        place = self._peer_file(card.kind, card.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_private(place, data)

    def distrust(self, kind: PartyKind, name: str) -> None:
        """Takes a card off the list: the revocation.

        Raises:
            KeyringError: If there is none of that name.
        """
        place = self._peer_file(kind, name)
        if not place.exists():
            raise KeyringError(f"{kind} {name}: no such card in {place.parent}")
        place.unlink()

    def peers(self, kind: PartyKind) -> dict[str, Card]:
        """The trusted cards of a kind, by name."""
        files = sorted(self.folder.glob(f"peers/{kind}-*.json"))
        cards = [Card.decode(file.read_bytes(), kind) for file in files]
        return {card.name: card for card in cards}

    def peer(self, kind: PartyKind) -> Card:
        """The one trusted card of a kind.

        Raises:
            KeyringError: If there is none, or more than one.
        """
        cards = self.peers(kind)
        if len(cards) != 1:
            raise KeyringError(
                f"{self.folder}: got {len(cards)} cards of {kind}, expected 1; import its file"
            )
        return next(iter(cards.values()))

    @property
    def _identity_file(self) -> Path:
        return self.folder / "identity.json"

    @property
    def _share_file(self) -> Path:
        return self.folder / "token-share.json"

    def _peer_file(self, kind: PartyKind, name: str) -> Path:
        return self.folder / "peers" / f"{kind}-{name}.json"


def _same_keys(known: Card, card: Card) -> bool:
    """Whether two cards are of one party: what the second says is signed with the pinned key."""
    return (known.signing_key, known.certificate, known.node_key) == (
        card.signing_key,
        card.certificate,
        card.node_key,
    )


def write_private(place: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    part = place.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(place)
