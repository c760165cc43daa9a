"""A folder with a party's own keys and the cards it trusts: the only files that `privacy` touches.

identity.json         the party's secrets, readable by its owner only; also those that come next
token-share.json      HQ and the office: its share of the token key, and what it becomes
public.json           its newest card, to be given to the others
peers/<kind>-<name>.json   cards of others, each imported after comparing its fingerprint

Invariant: keys that others on this machine can read or change are refused, with what to run; and a
card that cannot be read refuses its own party and nobody else.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from privacy.errors import PrivacyError
from privacy.file_modes import OpenMode, open_modes
from privacy.identity import Card, CardRefused, Identity, PartyKind, RenewalUnsigned, Renewed
from privacy.publications import Publishers
from privacy.tokens import TokenRefused, TokenShare, total_key

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

IDENTITY_FILE, SHARE_FILE, PUBLIC_FILE = "identity.json", "token-share.json", "public.json"


class KeyringError(PrivacyError):
    """A key or card that is not there, is there already, or is open to others."""


@dataclass(frozen=True, slots=True)
class UnreadableCard:
    """A file among the peers that is no card of its party: that party is refused.

    Attributes:
        file: Which.
        why: What is wrong with it.
    """

    file: Path
    why: str

    @override
    def __str__(self) -> str:
        return (
            f"{self.file}: {self.why}; its party is refused until its public file is imported "
            "again, by `add`"
        )


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
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if share is not None:
            self.keep_token_share(share)
        self.keep(identity)
        return identity

    def identity(self) -> Identity:
        """The party's own keys.

        Raises:
            KeyringError: If there are none, or others can read or change them or their folder.
            CardRefused: If they cannot be read.
        """
        if not self._identity_file.exists():
            raise KeyringError(
                f"{self._identity_file}: no keys; make them first, or restore them from a backup"
                + self._way_without_keys()
            )
        for found in self.open_modes():
            raise KeyringError(str(found))
        try:
            return Identity.decode(self._identity_file.read_bytes(), self.kind)
        except CardRefused as error:
            text = f"{self._identity_file}: {error}{self._way_without_keys()}"
            raise CardRefused(text) from error

    def keep(self, identity: Identity) -> None:
        """Writes the party's own keys, and the card to hand on, in place of those before."""
        write_private(self._identity_file, identity.encode())
        write_private(self.public_file, identity.public_file())

    def renew(self, at: dt.datetime, what: Renewed) -> Identity:
        """Makes the party's next keys, and writes the card to hand on; see `Identity.renewed`.

        Raises:
            CardRefused: If the last renewal is not finished.
            KeyringError: If there are no keys.
        """
        made = self.identity().renewed(at, what)
        self.keep(made)
        return made

    def finish(self) -> Identity:
        """Goes on with the next keys; those before are gone.

        Raises:
            CardRefused: If none were renewed.
            KeyringError: If there are no keys.
        """
        made = self.identity().finished()
        self.keep(made)
        return made

    def finish_where_over(self, at: dt.datetime) -> bool:
        """Goes on with the next keys where nobody takes the old ones any more.

        Returns:
            Whether it did.
        """
        own = self.identity()
        over = own.next is not None and own.card.certificate not in own.next.card.accepted(at)
        if over:
            self.finish()
        return over

    def make_anew(self, before: Card | None, at: dt.datetime, *, stolen: bool = False) -> Identity:
        """Makes all keys anew, where those of before are lost or stolen.

        The share of the token key stays where it is there, what databases hold stays too. Where
        the share is gone as well another one is made, and the card says so by its token key.

        Args:
            before: The party's last card; None takes the one in the folder.
            at: From when the new certificate is valid.
            stolen: Whether somebody else has the keys; they are here too then.

        Raises:
            KeyringError: If the keys are there and were not stolen; or not there, and an outlet's:
                its people are encrypted under them.
            CardRefused: If no card of before can be read.
        """
        own = self._readable_identity()
        if own is not None and not stolen:
            raise KeyringError(
                f"{self._identity_file}: keys are there; `keys renew` renews them, and `--stolen` "
                "makes them anew where somebody else has them"
            )
        if own is None and self.kind is PartyKind.OUTLET:
            raise KeyringError(
                f"{self._identity_file}: an outlet's consents and tokens are stored under its "
                "keys: restore them from a backup, or enrol in another folder"
            )
        if own is not None:
            before = own.newest.card
        elif before is None:
            before = self.own_card()
        if self.kind is not PartyKind.OUTLET and not self._share_file.exists():
            self.keep_token_share(TokenShare.generate())
        token_key = b"" if self.kind is PartyKind.OUTLET else self.token_share().public
        store = own.store_secret if own is not None and self.kind is PartyKind.OUTLET else b""
        made = Identity.anew(before, at, token_key=token_key, store=store, stolen=stolen)
        if self._identity_file.exists() and own is None:
            self._identity_file.replace(self._identity_file.with_suffix(".unreadable"))
        self.folder.chmod(0o700)
        self.keep(made)
        return made

    def own_card(self) -> Card:
        """The card that was handed on last, from its file.

        Raises:
            CardRefused: If it is not there, or cannot be read.
        """
        try:
            return Card.decode(self.public_file.read_bytes(), self.kind)
        except (FileNotFoundError, CardRefused) as error:
            raise CardRefused(
                f"{self.public_file}: missing or malformed; every peer has this party's last card "
                "in its folder peers/: give it"
            ) from error

    def open_modes(self) -> list[OpenMode]:
        """Secret files of this folder that others can read or change, and the folder itself."""
        return open_modes(self.folder)

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
        return self.folder / PUBLIC_FILE

    def trust(self, card: Card, data: bytes) -> None:
        """Puts a card on the list. Whoever calls has compared its fingerprint.

        It takes the place of one of the same name where that card's key signed it, under a higher
        serial.

        Args:
            card: What `Card.decode` made of `data`.
            data: The public file's bytes, as they were read for the comparison.

        Raises:
            KeyringError: If another card of its name, or one of its keys, is trusted already.
            RenewalRefused: If it is an older card than the one that is trusted.
        """
        known = self.peers(card.kind).get(card.name)
        if known == card:
            return
        if known is not None:
            try:
                known.renewed_by(data)
            except RenewalUnsigned as error:
                raise KeyringError(
                    f"{card.kind} {card.name}: another card is trusted; `replace` it"
                ) from error
        self._put(card, data)

    def take_renewal(self, data: bytes) -> tuple[Card, Card]:
        """Puts a renewed card in the place of the pinned one, which signed it; nobody is asked.

        Args:
            data: The public file's bytes.

        Returns:
            The card before, and the new one.

        Raises:
            KeyringError: If no card of that party is trusted, as of one that was removed.
            RenewalUnsigned: If the pinned card's key did not sign it.
            CardRefused: If it is malformed, or its serial is not higher.
        """
        known = self._pinned(Card.decode_any(data))
        card = known.renewed_by(data)
        self._put(card, data)
        return known, card

    def replace(self, card: Card, data: bytes) -> None:
        """Puts a card in the place of the pinned one that did not sign it, as of lost keys.

        Whoever calls has compared its fingerprint.

        Raises:
            KeyringError: If no card of that party is trusted, or a key of it is another party's.
        """
        self._pinned(card)
        self._put(card, data)

    def _pinned(self, card: Card) -> Card:
        known = self.peers(card.kind).get(card.name)
        if known is None:
            place = self._peer_file(card.kind, card.name)
            raise KeyringError(
                f"{card.kind} {card.name}: none of its cards is trusted here ({place}): it was "
                "removed, cannot be read, or never was; `add` it after comparing its fingerprint"
            )
        return known

    def _put(self, card: Card, data: bytes) -> None:
        """Writes a card, unless one of its keys is another party's."""
        for known in self.peers(card.kind).values():
            if known.name != card.name and known.public_keys & card.public_keys:
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
        """The trusted cards of a kind, by name; `unreadable` says which files are left out."""
        return {card.name: card for card in self._cards(kind) if isinstance(card, Card)}

    def unreadable(self, *kinds: PartyKind) -> list[UnreadableCard]:
        """Files among the peers that are no card of their party; of all kinds where none is named.

        Their parties are refused, and nobody else.
        """
        found = [card for kind in kinds or PartyKind for card in self._cards(kind)]
        return [card for card in found if isinstance(card, UnreadableCard)]

    def _cards(self, kind: PartyKind) -> Iterator[Card | UnreadableCard]:
        for file in sorted(self.folder.glob(f"peers/{kind}-*.json")):
            try:
                card = Card.decode(file.read_bytes(), kind)
            except CardRefused as error:
                yield UnreadableCard(file, str(error))
            except OSError as error:
                yield UnreadableCard(file, error.strerror or type(error).__name__)
            else:
                if file == self._peer_file(kind, card.name):
                    yield card
                else:
                    yield UnreadableCard(file, f"holds the card of {card.name}")

    def peer(self, kind: PartyKind) -> Card:
        """The one trusted card of a kind.

        Raises:
            KeyringError: If there is none, or more than one.
        """
        cards = self.peers(kind)
        if not cards:
            for found in self.unreadable(kind):
                raise KeyringError(str(found))
        if len(cards) != 1:
            raise KeyringError(
                f"{self.folder}: got {len(cards)} cards of {kind}, expected 1; import its file"
            )
        return next(iter(cards.values()))

    def _readable_identity(self) -> Identity | None:
        """The party's own keys, whatever their mode; None where there are none to read."""
        try:
            return Identity.decode(self._identity_file.read_bytes(), self.kind)
        except (FileNotFoundError, CardRefused):
            return None

    def _way_without_keys(self) -> str:
        """What to do besides, where other files of the party are still there."""
        if self.kind is PartyKind.OUTLET or not self._share_file.exists():
            return ""
        return f"; without one, `escapement-{self.kind} keys anew` makes others and keeps the rest"

    @property
    def _identity_file(self) -> Path:
        return self.folder / IDENTITY_FILE

    @property
    def _share_file(self) -> Path:
        return self.folder / SHARE_FILE

    def _peer_file(self, kind: PartyKind, name: str) -> Path:
        return self.folder / "peers" / f"{kind}-{name}.json"


def write_private(place: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    part = place.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(place)
