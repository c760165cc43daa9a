"""Public cards: what a party tells the others of its keys, and when another card takes its place.

A card has a **serial**. A renewed one has a higher serial and is signed by the key of the card
before, so that whoever pinned that one takes it without comparing fingerprints again. It names what
it renews: the certificate before is accepted until `until`, the node key before as long as the card
stands, and what was signed with earlier keys stays signed.

Invariant: nobody takes a pinned card's place but by a signature of the pinned key itself, under a
higher serial. Keys before that one sign statements and never a card.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from privacy.certificates import (
    check_certificate,
    check_node_key,
    node_key_pem,
    read_certificate,
)
from privacy.envelopes import SigningKey, VerifyKey, digest
from privacy.errors import PrivacyError

WARNING_DAYS = 90
"""So long before a certificate ends `status` and `doctor` begin to say so."""

_KEY_BYTES = 32
_CARD_DOMAIN = b"escapement/v1/card"
_RENEWAL_DOMAIN = b"escapement/v1/card-renewal"
_LARGEST_SERIAL = 2**31
_NEW_PARTS = ("serial", "certificate_before", "node_key_before", "keys_before", "until")
"""Left out of what is signed where a card has none: cards of before they existed stay signed."""


class CardRefused(PrivacyError):
    """A public card that is malformed, of another kind, or not signed by its own key."""


class RenewalRefused(CardRefused):
    """A card that may not take the place of the pinned one: its serial is not higher."""


class RenewalUnsigned(RenewalRefused):
    """A card that the pinned key did not sign: only a person can say that it is the party's."""


class PartyKind(StrEnum):
    """What a party is."""

    OUTLET = "outlet"
    HQ = "hq"
    OFFICE = "office"


@dataclass(frozen=True, slots=True)
class Card:
    """What a party tells the others about itself; all of it public.

    Attributes:
        kind: What it is.
        name: Its name, unique among its kind.
        address: `host:port` where it listens; "" for an outlet.
        certificate: Its TLS certificate, PEM.
        signing_key: Its Ed25519 public key, hex.
        node_key: Its Flower node key in OpenSSH form; "" unless an outlet.
        service_address: `host:port` of its gRPC services for outlets; "" for an outlet.
        token_key: Public half of its share of the token key, hex; "" for an outlet.
        sealing_key: HPKE key that registrations are sealed to, hex; "" unless HQ.
        serial: Which of the party's cards this is; 1 for the first.
        certificate_before: The one that this card's renews, PEM; "" where nobody may show it.
        node_key_before: Likewise.
        keys_before: Earlier signing keys, hex, with blanks between: their statements still count.
        until: ISO 8601, UTC: how long `certificate_before` may be shown; "" without one.
    """

    kind: PartyKind
    name: str
    address: str
    certificate: str
    signing_key: str
    node_key: str
    service_address: str = ""
    token_key: str = ""
    sealing_key: str = ""
    serial: int = 1
    certificate_before: str = ""
    node_key_before: str = ""
    keys_before: str = ""
    until: str = ""

    @property
    def verify_key(self) -> VerifyKey:
        """The key that its statements are checked with; what earlier ones signed counts too."""
        before = tuple(bytes.fromhex(key) for key in self.keys_before.split())
        return VerifyKey(bytes.fromhex(self.signing_key), before)

    @property
    def node_key_pem(self) -> bytes:
        """The Flower node key as Flower's link state knows it."""
        return node_key_pem(self.node_key)

    @property
    def node_keys_pem(self) -> tuple[bytes, ...]:
        """Every Flower node key that its owner may use, as Flower's link state knows it."""
        return tuple(node_key_pem(key) for key in (self.node_key, self.node_key_before) if key)

    @property
    def public_keys(self) -> frozenset[str]:
        """All that nobody else may have: certificates, signing keys and node keys."""
        own = {self.certificate, self.certificate_before, self.node_key, self.node_key_before}
        return frozenset(own | {self.signing_key, *self.keys_before.split()}) - {""}

    @property
    def fingerprint(self) -> str:
        """The first 128 bits of the card's digest, in groups to be read over the telephone."""
        text = digest(self._body())[:32]
        return " ".join(text[start : start + 4] for start in range(0, 32, 4))

    @property
    def ends(self) -> dt.datetime:
        """When its certificate ends."""
        return read_certificate(self.certificate).not_valid_after_utc

    def accepted(self, at: dt.datetime) -> tuple[str, ...]:
        """The certificates that its owner may show at a moment, PEM, this card's first."""
        if self.certificate_before and at <= dt.datetime.fromisoformat(self.until):
            return self.certificate, self.certificate_before
        return (self.certificate,)

    def check_dates(self, at: dt.datetime, *, own: bool = False) -> None:
        """Refuses a certificate that is over, or not valid yet, before anybody connects with it.

        Args:
            at: Now.
            own: Whether the card is the caller's own.

        Raises:
            CertificateEnded: If so; TLS would say less.
        """
        certificate = read_certificate(self.certificate)
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise CertificateEnded(self, at, own=own)

    def encode(self, key: SigningKey, before: SigningKey | None = None) -> bytes:
        """The public file, signed by the party's own key: a card cannot be half exchanged.

        Args:
            key: The card's own.
            before: That of the card before, where it is another one.
        """
        return self.encode_with(key, b"" if before is None else self.countersigned(before))

    def countersigned(self, before: SigningKey) -> bytes:
        """What the key of the card before says of this one."""
        return before.sign(_RENEWAL_DOMAIN, self._body())

    def is_countersigned_by(self, before: VerifyKey, countersignature: bytes) -> bool:
        """Whether that key said so of this card."""
        return before.verify(countersignature, _RENEWAL_DOMAIN, self._body())

    def encode_with(self, key: SigningKey, countersignature: bytes) -> bytes:
        """`encode`, with what `countersigned` gave while the key before was there; b"" of none."""
        body = {**self._parts(), "signature": key.sign(_CARD_DOMAIN, self._body()).hex()}
        if countersignature:
            body["countersignature"] = countersignature.hex()
        return json.dumps(body, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, kind: PartyKind) -> Self:
        """Reads a public file.

        Raises:
            CardRefused: If it is malformed, of another kind, or not signed by its own key.
        """
        card, _ = cls._decode(data)
        if card.kind is not kind:
            raise CardRefused(f"card: got one of {card.kind}, expected one of {kind}")
        return card

    @classmethod
    def decode_any(cls, data: bytes) -> Self:
        """Reads a public file of whichever kind.

        Raises:
            CardRefused: If it is malformed, or not signed by its own key.
        """
        return cls._decode(data)[0]

    def renewed_by(self, data: bytes) -> Card:
        """Reads a public file that is to take this card's place, this one being pinned.

        Raises:
            CardRefused: If it is malformed, or another party's.
            RenewalUnsigned: If this card's key did not sign it.
            RenewalRefused: If its serial is not higher, or its key one that was renewed.
        """
        card, countersignature = Card._decode(data)
        who = f"{self.kind} {self.name}"
        if (card.kind, card.name) != (self.kind, self.name):
            raise CardRefused(f"card: got {card.kind} {card.name}, expected {who}")
        if card.signing_key in self.keys_before.split():
            raise RenewalRefused(
                f"{who}: got a card of a key that was renewed, serial {card.serial}; one of serial "
                f"{self.serial} is trusted already; ask for its newest public file"
            )
        pinned = VerifyKey(bytes.fromhex(self.signing_key))  # earlier keys sign no card
        if not (
            card.signing_key == self.signing_key
            or card.is_countersigned_by(pinned, countersignature)
        ):
            raise RenewalUnsigned(
                f"{who}: its card of serial {card.serial} is not signed by the key that is trusted "
                "here: a card between was left out, or its keys were lost; compare fingerprints"
            )
        if card.serial <= self.serial:
            raise RenewalRefused(
                f"{who}: got a card of serial {card.serial}, one of serial {self.serial} is "
                "trusted already; ask for its newest public file"
            )
        return card

    @classmethod
    def _decode(cls, data: bytes) -> tuple[Self, bytes]:
        """The card of a public file, and what the key of the card before said of it."""
        try:
            raw: dict[str, Any] = json.loads(data)
            signature = bytes.fromhex(raw.pop("signature"))
            countersignature = bytes.fromhex(raw.pop("countersignature", ""))
            card = cls(**{**raw, "kind": PartyKind(raw["kind"])})
            fits = all(
                type(value) is int if name == "serial" else isinstance(value, str)
                for name, value in asdict(card).items()
            )
            signed = fits and VerifyKey(bytes.fromhex(card.signing_key)).verify(
                signature, _CARD_DOMAIN, card._body()
            )
            card._check_keys()
        except (
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
            NotImplementedError,  # a compressed point in a node key
            UnsupportedAlgorithm,
            x509.DuplicateExtension,
            x509.ExtensionNotFound,
            x509.InvalidVersion,
        ) as error:
            raise CardRefused(
                "card: malformed; expected the public file of an enrolment"
            ) from error
        if not signed:
            raise CardRefused("card: not signed by its own key")
        return card, countersignature

    def _check_keys(self) -> None:
        """Refuses a name, certificate or node key that would trip others up later.

        Raises:
            ValueError: If one of them is not what `Identity.generate` makes.
        """
        check_name(self.name)
        check_certificate(self.certificate)
        if self.kind is PartyKind.OUTLET:
            check_node_key(self.node_key)
        elif len(bytes.fromhex(self.token_key)) != _KEY_BYTES:
            raise ValueError("expected a share of the token key")
        if self.kind is PartyKind.HQ and len(bytes.fromhex(self.sealing_key)) != _KEY_BYTES:
            raise ValueError("expected a sealing key")
        self._check_before()

    def _check_before(self) -> None:
        if not 1 <= self.serial <= _LARGEST_SERIAL:
            raise ValueError("expected a serial of 1 or more")
        if bool(self.certificate_before) != bool(self.until):
            raise ValueError("expected the certificate before and its end together")
        if self.certificate_before:
            check_certificate(self.certificate_before)
            if dt.datetime.fromisoformat(self.until).utcoffset() != dt.timedelta():
                raise ValueError("expected an end in UTC")
        if self.node_key_before:
            check_node_key(self.node_key_before)
        if any(len(bytes.fromhex(key)) != _KEY_BYTES for key in self.keys_before.split()):
            raise ValueError("expected earlier signing keys")

    def _parts(self) -> dict[str, Any]:
        """Its fields, without those of renewals where there are none."""
        unset = {one.name: one.default for one in fields(self) if one.name in _NEW_PARTS}
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in unset or value != unset[name]
        }

    def _body(self) -> bytes:
        return json.dumps(self._parts(), sort_keys=True, separators=(",", ":")).encode()


class CertificateEnded(PrivacyError):
    """A certificate that is over, or that is not valid yet.

    Attributes:
        card: Whose.
        own: Whether it is the caller's own.
    """

    def __init__(self, card: Card, at: dt.datetime, *, own: bool) -> None:
        program, ends = f"escapement-{card.kind}", card.ends
        if at > ends:
            what = f"ended on {ends:%Y-%m-%d}, now it is {at:%Y-%m-%d}"
            way = (
                f"run `{program} keys renew` and give public.json to everybody who has its card"
                if own
                else f"ask for its renewed card (`{program} keys renew` there), import it by "
                "`replace`"
            )
        else:
            begins = read_certificate(card.certificate).not_valid_before_utc
            what = f"begins on {begins:%Y-%m-%d}, now it is {at:%Y-%m-%d}"
            way = "set this machine's clock"
        whose = "this folder's" if own else "its"
        super().__init__(f"{card.kind} {card.name}: {whose} certificate {what}; {way}")
        self.card, self.own = card, own


def check_name(name: str) -> None:
    """Refuses a name that could be mistaken for another, or for a path.

    Raises:
        ValueError: If it is not 1 to 40 ASCII letters, digits and inner hyphens.
    """
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?", name, re.ASCII):
        raise ValueError("expected 1 to 40 ASCII letters, digits and inner hyphens")
