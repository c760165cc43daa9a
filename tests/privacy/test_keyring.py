"""Which cards a party puts on its list, and when another card takes the place of one."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from privacy.identity import Card, CardRefused, Identity, PartyKind
from privacy.keyring import Keyring, KeyringError
from privacy.tokens import TokenShare, total_key

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.envelopes import SigningKey

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HQ = PartyKind.HQ


def made(kind: PartyKind, name: str) -> Identity:
    token = b"" if kind is PartyKind.OUTLET else TokenShare.generate().public
    return Identity.generate(kind, name, "h:1", AT, service_address="h:2", token_key=token)


def trust(ring: Keyring, card: Card, key: SigningKey) -> None:
    """Reads a public file and puts it on the list."""
    data = card.encode(key)
    ring.trust(Card.decode(data, card.kind), data)


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "o1", PartyKind.OUTLET)


@pytest.mark.parametrize(
    "changes",
    [
        {"token_key": TokenShare.generate().public.hex()},
        {"sealing_key": "11" * 32},
        {"address": "elsewhere:1", "service_address": "elsewhere:2"},
    ],
)
def test_a_card_of_the_same_party_with_another_share_or_address_takes_the_place_of_the_first(
    ring: Keyring, changes: dict[str, str]
) -> None:
    party, office = made(HQ, "hq"), made(PartyKind.OFFICE, "dpo")
    trust(ring, party.card, party.signing)
    trust(ring, office.card, office.signing)
    card = replace(party.card, **changes)  # type: ignore[arg-type]
    trust(ring, card, party.signing)
    assert ring.peers(HQ) == {"hq": card}
    shares = (bytes.fromhex(one.token_key) for one in (card, office.card))
    assert ring.token_key() == total_key(*shares)
    trust(ring, card, party.signing)  # again: nothing changes
    assert ring.peer(HQ) == card


@pytest.mark.parametrize("kind", list(PartyKind))
def test_a_card_of_that_name_with_another_key_of_the_party_is_refused(
    ring: Keyring, kind: PartyKind
) -> None:
    party, other = made(kind, "one"), made(kind, "one")
    trust(ring, party.card, party.signing)
    keys = ["signing_key", "certificate", *(["node_key"] if kind is PartyKind.OUTLET else [])]
    for name in keys:  # all but this one as the trusted card has them
        signing = other.signing if name == "signing_key" else party.signing
        card = replace(party.card, **{name: getattr(other.card, name)})
        with pytest.raises(KeyringError, match="another card is trusted; remove it first"):
            trust(ring, card, signing)
    with pytest.raises(KeyringError, match="another card is trusted"):
        trust(ring, other.card, other.signing)
    assert ring.peers(kind) == {"one": party.card}


def test_a_card_that_the_trusted_key_did_not_sign_is_no_card(ring: Keyring) -> None:
    party, thief = made(HQ, "hq"), made(HQ, "hq")
    trust(ring, party.card, party.signing)
    moved = replace(party.card, service_address="thief:1")
    with pytest.raises(CardRefused, match="not signed by its own key"):
        trust(ring, moved, thief.signing)
    assert ring.peer(HQ) == party.card


def test_another_party_with_one_of_its_keys_is_refused(ring: Keyring) -> None:
    party, other = made(PartyKind.OUTLET, "one"), made(PartyKind.OUTLET, "two")
    trust(ring, party.card, party.signing)
    for name in ("certificate", "signing_key", "node_key"):
        signing = party.signing if name == "signing_key" else other.signing
        card = replace(other.card, **{name: getattr(party.card, name)})
        with pytest.raises(KeyringError, match="has a key of one's"):
            trust(ring, card, signing)
    renamed = replace(party.card, name="two")  # all its keys, another name
    with pytest.raises(KeyringError, match="has a key of one's"):
        trust(ring, renamed, party.signing)


def test_a_card_is_not_replaced_by_one_that_shares_a_key_with_a_third_party(ring: Keyring) -> None:
    party, third = made(PartyKind.OUTLET, "b"), made(PartyKind.OUTLET, "a")
    trust(ring, party.card, party.signing)
    trust(ring, third.card, third.signing)
    trust(ring, replace(party.card, address="h:9"), party.signing)
    assert ring.peers(PartyKind.OUTLET)["b"].address == "h:9"
    assert ring.peers(PartyKind.OUTLET)["a"] == third.card
