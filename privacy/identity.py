"""Who is who: the keys that each party makes for itself, and renews.

There is no certificate authority. Each party makes a self-signed TLS certificate (P-256, because
gRPC refuses Ed25519), a signing key (Ed25519) and, at an outlet, a Flower node key (P-384, Flower's
own form), HQ and the privacy office a share of the token key, HQ a key for sealed registrations;
each writes one public card (`cards.py`). Others import it after comparing its fingerprint by
another way, and from then on trust that very certificate and no other. Taking a card off a list is
the revocation.

Keys are **renewed** in two steps, so that nobody is refused in between:

    as ever   -> `renewed`: the next keys are there and their card can be handed on; the party
                 goes on with the old ones, which holders of either card accept
    renewed   -> `finished`: the party goes on with the next; holders of their card still accept
                 the old certificate until its stated end

Keys that are lost or stolen are made `anew`: nothing of before signs their card, so its owner reads
its fingerprint to everybody again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from privacy.cards import (
    WARNING_DAYS,
    Card,
    CardRefused,
    CertificateEnded,
    PartyKind,
    RenewalRefused,
    RenewalUnsigned,
    check_name,
)
from privacy.certificates import CERTIFICATE_YEARS, fresh_certificate, fresh_node_key
from privacy.envelopes import SealKey, SigningKey

if TYPE_CHECKING:
    import datetime as dt

__all__ = [
    "CERTIFICATE_YEARS",
    "WARNING_DAYS",
    "Card",
    "CardRefused",
    "CertificateEnded",
    "Identity",
    "PartyKind",
    "RenewalRefused",
    "RenewalUnsigned",
    "Renewed",
]

Keys = TypeVar("Keys", bound="Identity")


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal makes anew besides the certificate.

    Attributes:
        signing: The signing key.
        node: An outlet's Flower node key.
        sealing: HQ's key for sealed registrations.
        overlap: How long the certificate before is accepted besides; None until it ends.
    """

    signing: bool = False
    node: bool = False
    sealing: bool = False
    overlap: dt.timedelta | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """A party's own keys and card. Its secrets are never printed.

    Attributes:
        card: What others may know.
        signing: Signs its statements.
        tls_key: PEM of its certificate's key.
        node_key: OpenSSH form of its Flower node key; empty unless an outlet.
        sealing: Opens sealed registrations; None unless HQ.
        store: What the folder's databases are encrypted under, once it is not the signing key.
        countersignature: What the key of the card before said of this one.
        next: The keys that take the place of these; None where none were renewed.
    """

    card: Card
    signing: SigningKey = field(repr=False)
    tls_key: bytes = field(repr=False)
    node_key: bytes = field(repr=False)
    sealing: SealKey | None = field(repr=False)
    store: bytes = field(default=b"", repr=False)
    countersignature: bytes = field(default=b"", repr=False)
    next: Identity | None = field(default=None, repr=False)

    @classmethod
    def generate(
        cls,
        kind: PartyKind,
        name: str,
        address: str,
        at: dt.datetime,
        *,
        service_address: str = "",
        token_key: bytes = b"",
        serial: int = 1,
    ) -> Self:
        """Makes fresh keys and a certificate valid from `at`.

        Args:
            kind: What the party is.
            name: Its name, unique among its kind.
            address: `host:port` where it listens; "" for an outlet.
            at: From when its certificate is valid.
            service_address: `host:port` of its gRPC services for outlets; "" for an outlet.
            token_key: Public half of its share of the token key; nothing for an outlet.
            serial: Which of the party's cards this is.

        Raises:
            CardRefused: If the name is not plain.
        """
        try:
            check_name(name)
        except ValueError as error:
            raise CardRefused(f"name: got '{name}', {error}") from error
        signing = SigningKey.generate()
        certificate, tls_key = fresh_certificate(f"{name}.{kind}", serial, at)
        secret, public = fresh_node_key() if kind is PartyKind.OUTLET else (b"", "")
        sealing = SealKey.generate() if kind is PartyKind.HQ else None
        card = Card(
            kind,
            name,
            address,
            certificate,
            signing.public.raw.hex(),
            public,
            service_address,
            token_key.hex(),
            "" if sealing is None else sealing.public.hex(),
            serial,
        )
        return cls(card, signing, tls_key, secret, sealing)

    @classmethod
    def anew(
        cls,
        before: Card,
        at: dt.datetime,
        *,
        token_key: bytes = b"",
        store: bytes = b"",
        stolen: bool = False,
    ) -> Self:
        """Makes all keys anew for a party that lost them; nothing of before signs its card.

        Args:
            before: The party's last card that anybody has.
            at: From when its certificate is valid.
            token_key: Public half of its share of the token key; nothing for an outlet.
            store: What the folder's databases are encrypted under; b"" where nothing is.
            stolen: Whether somebody else has the lost keys: what they signed counts no more then,
                but for this party itself, which knows what it said.
        """
        made = cls.generate(
            before.kind,
            before.name,
            before.address,
            at,
            service_address=before.service_address,
            token_key=token_key,
            serial=before.serial + 1,
        )
        earlier = f"{before.signing_key} {before.keys_before}".strip()
        own = _with_card(made, replace(made.card, keys_before=earlier))
        return replace(_with_card(own, made.card) if stolen else own, store=store)

    def renewed(self, at: dt.datetime, what: Renewed) -> Self:
        """Makes the next keys; this party goes on with its own until `finished`.

        Args:
            at: From when their certificate is valid.
            what: What is made anew besides it.

        Raises:
            CardRefused: If the last renewal is not finished.
        """
        if self.next is not None:
            raise CardRefused(
                "keys: renewed already, and not finished; hand public.json on, then `keys finish`"
            )
        card, serial = self.card, self.card.serial + 1
        certificate, tls_key = fresh_certificate(f"{card.name}.{card.kind}", serial, at)
        end = card.ends if what.overlap is None else min(card.ends, at + what.overlap)
        both = end > at
        made = replace(
            self,
            tls_key=tls_key,
            card=replace(
                card,
                certificate=certificate,
                certificate_before=card.certificate if both else "",
                until=end.isoformat() if both else "",
                node_key_before="",
                serial=serial,
            ),
        )
        if what.signing:
            made = _with_signing(made, SigningKey.generate())
        if what.node and card.kind is PartyKind.OUTLET:
            secret, public = fresh_node_key()
            renewed = replace(made.card, node_key=public, node_key_before=card.node_key)
            made = replace(made, node_key=secret, card=renewed)
        if what.sealing and self.sealing is not None:
            key = SealKey.from_bytes(SealKey.generate().to_bytes(), (self.sealing.alone,))
            renewed = replace(made.card, sealing_key=key.public.hex())
            made = replace(made, sealing=key, card=renewed)
        countersignature = made.card.countersigned(self.signing) if what.signing else b""
        return replace(self, next=replace(made, countersignature=countersignature))

    def finished(self) -> Identity:
        """Goes on with the next keys, for good; those before are gone.

        Raises:
            CardRefused: If there are none.
        """
        if self.next is None:
            raise CardRefused("keys: none were renewed; `keys renew` makes them")
        return self.next

    def with_token_key(self, token_key: bytes) -> Self:
        """The same keys with another share of the token key on the card, and the next card's."""
        card = replace(self.card, token_key=token_key.hex())
        if card == self.card:
            return self
        if self.next is None:
            return _with_card(self, replace(card, serial=card.serial + 1))
        renewed = self.next.with_token_key(token_key)
        other = renewed.card.signing_key != card.signing_key
        spoken = renewed.card.countersigned(self.signing) if other else b""
        return replace(self, card=card, next=replace(renewed, countersignature=spoken))

    @property
    def newest(self) -> Identity:
        """The keys of the card that is to be handed on: the next, where there are any."""
        return self if self.next is None else self.next

    @property
    def store_secret(self) -> bytes:
        """What the folder's databases are encrypted under: the party's first signing key."""
        return self.store or self.signing.to_bytes()

    @property
    def node_private_key(self) -> ec.EllipticCurvePrivateKey:
        """The Flower node key, for Flower's own client."""
        key = serialization.load_ssh_private_key(self.node_key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CardRefused("identity: got another kind of node key, expected an EC key")
        return key

    def public_file(self) -> bytes:
        """The newest card as a file, for the others."""
        newest = self.newest
        return newest.card.encode_with(newest.signing, newest.countersignature)

    def encode(self) -> bytes:
        """The secret file, for the owner's eyes only."""
        return json.dumps(_raw(self), indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, kind: PartyKind) -> Self:
        """Reads what `encode` wrote.

        Raises:
            CardRefused: If it is malformed or of another kind.
        """
        try:
            return cls._of(json.loads(data), kind)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CardRefused("identity: malformed key file; restore it from a backup") from error

    @classmethod
    def _of(cls, raw: dict[str, Any], kind: PartyKind) -> Self:
        card = Card.decode(json.dumps(raw["card"]).encode(), kind)
        following = cls._of(raw["next"], kind) if "next" in raw else None
        sealing = None
        if raw["sealing"]:
            before = raw.get("sealing_before", "").split()
            others = tuple(SealKey.from_bytes(bytes.fromhex(one)) for one in before)
            if following is not None and following.card.sealing_key != card.sealing_key:
                others += (following.sealing.alone,) if following.sealing else ()
            sealing = SealKey.from_bytes(bytes.fromhex(raw["sealing"]), others)
        return cls(
            card,
            SigningKey.from_bytes(
                bytes.fromhex(raw["signing"]),
                card.verify_key.before
                + tuple(bytes.fromhex(key) for key in raw.get("signing_before", "").split()),
            ),
            raw["tls_key"].encode(),
            raw["node_key"].encode(),
            sealing,
            bytes.fromhex(raw.get("store", "")),
            bytes.fromhex(raw.get("countersignature", "")),
            following,
        )


def _raw(identity: Identity) -> dict[str, Any]:
    """What is written of keys, those that come next within."""
    following, sealing = identity.next, identity.sealing
    others = () if sealing is None else sealing.others
    next_key = "" if following is None else following.card.sealing_key
    body = {
        "card": json.loads(identity.card.encode(identity.signing)),
        "signing": identity.signing.to_bytes().hex(),
        "tls_key": identity.tls_key.decode(),
        "node_key": identity.node_key.decode(),
        "sealing": "" if sealing is None else sealing.to_bytes().hex(),
    }
    more = {
        "sealing_before": " ".join(
            one.to_bytes().hex() for one in others if one.public.hex() != next_key
        ),
        "store": identity.store.hex(),
        "countersignature": identity.countersignature.hex(),
        "signing_before": " ".join(
            key.hex()
            for key in identity.signing.before
            if key not in identity.card.verify_key.before
        ),
        "next": None if following is None else _raw(following),
    }
    return body | {name: value for name, value in more.items() if value}


def _with_card(identity: Keys, card: Card) -> Keys:
    """The same keys with another card; what was said of the one before is about that one."""
    earlier = dict.fromkeys(card.verify_key.before + identity.signing.before)
    signing = SigningKey.from_bytes(identity.signing.to_bytes(), tuple(earlier))
    return replace(identity, card=card, signing=signing, countersignature=b"")


def _with_signing(identity: Keys, key: SigningKey) -> Keys:
    card = identity.card
    earlier = f"{card.signing_key} {card.keys_before}".strip()
    card = replace(card, signing_key=key.public.raw.hex(), keys_before=earlier)
    return _with_card(replace(identity, signing=key, store=identity.store_secret), card)
