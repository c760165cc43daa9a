"""Which cards a party puts on its list, when another takes the place of one, and keys renewed."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privacy.cards import CertificateEnded
from privacy.envelopes import SigningKey, seal
from privacy.identity import (
    CERTIFICATE_YEARS,
    Card,
    CardRefused,
    Identity,
    PartyKind,
    RenewalRefused,
    RenewalUnsigned,
    Renewed,
)
from privacy.key_health import key_notes
from privacy.keyring import Keyring, KeyringError
from privacy.tokens import TokenShare, total_key

if TYPE_CHECKING:
    from pathlib import Path

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HQ = PartyKind.HQ
KINDS = pytest.mark.parametrize("kind", list(PartyKind))


def made(kind: PartyKind, name: str, at: dt.datetime = AT) -> Identity:
    token = b"" if kind is PartyKind.OUTLET else TokenShare.generate().public
    return Identity.generate(kind, name, "h:1", at, service_address="h:2", token_key=token)


def trust(ring: Keyring, card: Card, key: SigningKey) -> None:
    """Reads a public file and puts it on the list."""
    data = card.encode(key)
    ring.trust(Card.decode(data, card.kind), data)


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "o1", PartyKind.OUTLET)


# --- what takes the place of a card ---------------------------------------------------------------


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
    card = replace(party.card, serial=2, **changes)  # type: ignore[arg-type]
    trust(ring, card, party.signing)
    assert ring.peers(HQ) == {"hq": card}
    shares = (bytes.fromhex(one.token_key) for one in (card, office.card))
    assert ring.token_key() == total_key(*shares)
    trust(ring, card, party.signing)  # again: nothing changes
    assert ring.peer(HQ) == card


@KINDS
def test_a_card_of_that_name_with_a_key_that_the_pinned_one_did_not_sign_is_refused(
    ring: Keyring, kind: PartyKind
) -> None:
    party, other = made(kind, "one"), made(kind, "one")
    trust(ring, party.card, party.signing)
    card = replace(other.card, serial=9)
    with pytest.raises(KeyringError, match="another card is trusted; `replace` it"):
        trust(ring, card, other.signing)
    with pytest.raises(RenewalUnsigned, match="compare fingerprints"):
        ring.take_renewal(card.encode(other.signing))
    assert ring.peers(kind) == {"one": party.card}
    ring.replace(card, card.encode(other.signing))  # by a person, who compared
    assert ring.peers(kind) == {"one": card}
    with pytest.raises(RenewalUnsigned):  # whoever found the keys of before is not back by them
        ring.take_renewal(replace(party.card, serial=10).encode(party.signing))


def test_a_card_that_the_trusted_key_did_not_sign_is_no_card(ring: Keyring) -> None:
    party, thief = made(HQ, "hq"), made(HQ, "hq")
    trust(ring, party.card, party.signing)
    moved = replace(party.card, service_address="thief:1", serial=2)
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


def test_a_renewed_card_may_not_name_keys_of_a_third_party_as_its_own_of_before(
    ring: Keyring,
) -> None:
    party, third = made(PartyKind.OUTLET, "b"), made(PartyKind.OUTLET, "a")
    trust(ring, party.card, party.signing)
    trust(ring, third.card, third.signing)
    until = (AT + DAY).isoformat()
    for stolen in (
        {"certificate_before": third.card.certificate, "until": until},
        {"node_key_before": third.card.node_key},
        {"keys_before": third.card.signing_key},
    ):
        card = replace(party.card, serial=2, **stolen)  # type: ignore[arg-type]
        with pytest.raises(KeyringError, match="has a key of a's"):
            ring.take_renewal(card.encode(party.signing))
    trust(ring, replace(party.card, address="h:9", serial=2), party.signing)
    assert ring.peers(PartyKind.OUTLET)["b"].address == "h:9"
    assert ring.peers(PartyKind.OUTLET)["a"] == third.card


@KINDS
def test_a_removed_party_does_not_come_back_by_a_renewal(ring: Keyring, kind: PartyKind) -> None:
    party = made(kind, "one")
    trust(ring, party.card, party.signing)
    ring.distrust(kind, "one")
    with pytest.raises(KeyringError, match="none of its cards is trusted here"):
        ring.take_renewal(party.renewed(AT, Renewed()).public_file())
    assert ring.peers(kind) == {}


def test_a_card_of_before_serials_is_one_of_serial_1_and_its_fingerprint_stays() -> None:
    """The body that was signed then had nine fields; it has them still."""
    party = made(HQ, "hq")
    data = party.public_file()
    assert set(json.loads(data)) == {
        "kind", "name", "address", "certificate", "signing_key", "node_key", "service_address",
        "token_key", "sealing_key", "signature",
    }  # fmt: skip
    read = Card.decode(data, HQ)
    assert (read.serial, read.fingerprint) == (1, party.card.fingerprint)


@pytest.mark.parametrize(
    "bad",
    [
        {"serial": 0}, {"serial": 2.0}, {"serial": "2"}, {"serial": 2**40},
        {"until": "2027-01-01T00:00:00+00:00"}, {"keys_before": "ab"}, {"node_key_before": "x"},
        {"certificate_before": "x", "until": "2027-01-01T00:00:00+00:00"},
    ],
)  # fmt: skip
def test_a_card_whose_parts_of_a_renewal_are_none_is_malformed(bad: dict[str, object]) -> None:
    party = made(PartyKind.OUTLET, "a")
    card = replace(party.card, **bad)  # type: ignore[arg-type]
    with pytest.raises(CardRefused, match=r"malformed|not signed"):
        Card.decode(card.encode(party.signing), PartyKind.OUTLET)


# --- renewals as a law ----------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=4
)  # signing, node or sealing, whether this peer is given the card


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(PartyKind), steps=STEPS)
def test_a_peer_is_at_the_newest_card_that_a_chain_of_pinned_keys_leads_to(
    tmp_path_factory: pytest.TempPathFactory, kind: PartyKind, steps: list[tuple[bool, bool, bool]]
) -> None:
    """No order of cards, no key of before leads back; a missed change of key needs a person."""
    ring = Keyring(tmp_path_factory.mktemp("peer"), PartyKind.HQ)
    party = made(kind, "one")
    files, keys = [party.public_file()], [party.signing]
    ring.trust(party.card, files[0])
    pinned = 0
    for place, (signing, other, given_out) in enumerate(steps, start=1):
        what = Renewed(signing=signing, node=other, sealing=other)
        party = party.renewed(AT, what).finished()
        files.append(party.public_file())
        keys.append(party.signing)
        known = keys[pinned].public
        if not given_out:
            continue
        if known in (keys[place].public, keys[place - 1].public if signing else None):
            ring.take_renewal(files[-1])
            pinned = place
        else:
            with pytest.raises(RenewalUnsigned):
                ring.take_renewal(files[-1])
    here = ring.peers(kind)["one"]
    assert here == Card.decode(files[pinned], kind)
    for data in files[: pinned + 1]:  # older cards and the very one again
        with pytest.raises(RenewalRefused):
            ring.take_renewal(data)
    newer = replace(party.card, serial=99, address="thief:1")
    for key in keys:  # an old key signs no card
        if key.public.raw.hex() == here.signing_key:
            continue
        card = replace(newer, signing_key=key.public.raw.hex(), keys_before=here.signing_key)
        with pytest.raises(RenewalRefused):
            ring.take_renewal(card.encode(key))
        thief = SigningKey.generate()
        fresh = replace(newer, signing_key=thief.public.raw.hex())
        with pytest.raises(RenewalUnsigned):  # nor does it countersign one
            ring.take_renewal(fresh.encode(thief, key))
    assert ring.peers(kind)["one"] == here


def test_the_countersignature_of_one_card_is_none_of_another(ring: Keyring) -> None:
    party = made(HQ, "hq")
    trust(ring, party.card, party.signing)
    renewed = party.renewed(AT, Renewed(signing=True))
    mark = renewed.newest.countersignature
    thief = SigningKey.generate()
    card = replace(renewed.newest.card, signing_key=thief.public.raw.hex())
    with pytest.raises(RenewalUnsigned):
        ring.take_renewal(card.encode_with(thief, mark))
    ring.take_renewal(renewed.public_file())


# --- two sets of keys at once ---------------------------------------------------------------------


@KINDS
def test_holders_of_the_new_card_take_both_certificates_until_the_stated_end(
    kind: PartyKind,
) -> None:
    old = made(kind, "one")
    party = old.renewed(AT + DAY, Renewed(overlap=30 * DAY))
    card = Card.decode(party.public_file(), kind)
    assert card.serial == 2
    assert party.card == old.card  # it goes on with its own
    assert card.accepted(AT + 2 * DAY) == (card.certificate, old.card.certificate)
    assert card.accepted(AT + 31 * DAY) == (card.certificate, old.card.certificate)
    assert card.accepted(AT + 31 * DAY + dt.timedelta(seconds=1)) == (card.certificate,)
    assert old.card.accepted(AT) == (old.card.certificate,)
    without = old.renewed(AT, Renewed(overlap=0 * DAY)).newest.card
    assert without.accepted(AT) == (without.certificate,)
    with pytest.raises(CardRefused, match="renewed already"):
        party.renewed(AT, Renewed())
    over = AT + 365 * (CERTIFICATE_YEARS + 1) * DAY
    late = old.renewed(over, Renewed()).newest.card
    assert late.accepted(over) == (late.certificate,)


@KINDS
def test_what_was_signed_sealed_and_encrypted_with_the_keys_of_before_stays(
    kind: PartyKind, ring: Keyring
) -> None:
    old = made(kind, "one")
    said, secret = old.signing.sign(b"domain", b"x"), old.store_secret
    party = old.renewed(AT, Renewed(signing=True, sealing=True, node=True))
    party = Identity.decode(party.encode(), kind)
    new = Identity.decode(party.finished().encode(), kind)
    assert new.encode() == Identity.decode(new.encode(), kind).encode()
    assert party.encode() == Identity.decode(party.encode(), kind).encode()
    assert new.signing.public != old.signing.public
    for key in (new.card.verify_key, new.signing.public, old.card.verify_key):
        assert key.verify(said, b"domain", b"x")
    later = new.signing.sign(b"domain", b"y")
    assert new.card.verify_key.verify(later, b"domain", b"y")
    assert not old.card.verify_key.verify(later, b"domain", b"y")
    assert new.store_secret == party.store_secret == secret
    if kind is HQ:
        assert new.card.sealing_key != old.card.sealing_key
        for card in (old.card, new.card):  # outlets have one or the other
            sealed = seal(bytes.fromhex(card.sealing_key), b"m", b"i")
            for one in (party, new):
                assert one.sealing is not None
                assert one.sealing.open(sealed, b"i") == b"m"
    if kind is PartyKind.OUTLET:
        assert new.card.node_keys_pem == (new.card.node_key_pem, old.card.node_key_pem)


def test_a_share_that_moves_while_keys_are_renewed_is_on_the_card_to_hand_on(
    tmp_path: Path, ring: Keyring
) -> None:
    hq = Keyring(tmp_path / "hq", HQ)
    first = hq.create("hq", "h:1", AT, "h:2")
    trust(ring, first.card, first.signing)
    hq.renew(AT, Renewed(signing=True))
    ring.take_renewal(hq.public_file.read_bytes())
    share = TokenShare.generate()
    for _ in range(2):  # repeated after a kill
        hq.keep(hq.identity().with_token_key(share.public))
    assert hq.identity().newest.card.serial == 3
    ring.take_renewal(hq.public_file.read_bytes())
    assert ring.peer(HQ).token_key == share.public.hex()
    again = Keyring(tmp_path / "o2", PartyKind.OUTLET)  # who has the first card only
    trust(again, first.card, first.signing)
    again.take_renewal(hq.public_file.read_bytes())
    assert hq.finish().card.token_key == share.public.hex()
    assert hq.own_card() == hq.identity().card


# --- keys that are lost, stolen, or open ----------------------------------------------------------


def test_keys_made_anew_keep_share_and_name_and_are_signed_by_nobody(
    tmp_path: Path, ring: Keyring
) -> None:
    office = Keyring(tmp_path / "office", PartyKind.OFFICE)
    first = office.create("dpo", "h:1", AT, "h:1")
    trust(ring, first.card, first.signing)
    with pytest.raises(KeyringError, match="keys are there"):
        office.make_anew(None, AT)
    (office.folder / "identity.json").unlink()
    with pytest.raises(KeyringError, match=r"no keys; .*`escapement-office keys anew`"):
        office.identity()
    new = office.make_anew(None, AT + DAY)
    assert (new.card.name, new.card.address, new.card.serial) == ("dpo", "h:1", 2)
    assert new.card.token_key == first.card.token_key == office.token_share().public.hex()
    with pytest.raises(RenewalUnsigned):
        ring.take_renewal(office.public_file.read_bytes())
    ring.replace(new.card, office.public_file.read_bytes())
    said = first.signing.sign(b"d", b"x")
    assert ring.peer(PartyKind.OFFICE).verify_key.verify(said, b"d", b"x")
    stolen = office.make_anew(None, AT + DAY, stolen=True)
    assert not stolen.card.verify_key.verify(said, b"d", b"x")
    assert office.identity().signing.public.verify(said, b"d", b"x")  # itself knows what it said


def test_keys_made_anew_of_a_folder_without_its_card_take_one_that_a_peer_has(
    tmp_path: Path,
) -> None:
    hq = Keyring(tmp_path / "hq", HQ)
    first = hq.create("hq", "h:1", AT, "h:2").card
    (hq.folder / "identity.json").write_text("{")
    (hq.folder / "public.json").unlink()
    (hq.folder / "token-share.json").unlink()
    with pytest.raises(CardRefused, match="every peer has this party's last card"):
        hq.make_anew(None, AT)
    new = hq.make_anew(first, AT)
    assert (hq.folder / "identity.unreadable").read_text() == "{"
    assert new.card.token_key == hq.token_share().public.hex() != first.token_key


def test_an_outlets_keys_are_never_made_anew_without_those_that_its_people_are_stored_under(
    ring: Keyring,
) -> None:
    first = ring.create("o1", "", AT)
    stolen = ring.make_anew(None, AT, stolen=True)
    assert stolen.store_secret == ring.identity().store_secret == first.store_secret
    (ring.folder / "identity.json").unlink()
    with pytest.raises(KeyringError, match="restore them from a backup"):
        ring.make_anew(None, AT)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
@pytest.mark.parametrize(
    "name", ["identity.json", "token-share.json", "release.key", "hq.toml", ""]
)
def test_what_others_can_read_or_change_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, name: str, mode: int
) -> None:
    hq = Keyring(tmp_path / "h q", HQ)
    hq.create("hq", "h:1", AT, "h:2")
    place = hq.folder / name
    if not place.exists():
        place.write_text('database = "postgresql://hq:secret@h/hq"')
    place.chmod(mode | (0o700 if place.is_dir() else 0))
    wanted = 700 if place.is_dir() else 600
    with pytest.raises(KeyringError, match="others on this machine") as caught:
        hq.identity()
    assert str(caught.value).endswith(f"run `chmod {wanted} '{place}'`")
    assert any(note.fault for note in key_notes(hq, AT))
    place.chmod(0o700 if place.is_dir() else 0o600)
    assert hq.identity().card.name == "hq"


def test_settings_without_a_password_may_be_read_by_others(tmp_path: Path) -> None:
    hq = Keyring(tmp_path / "hq", HQ)
    hq.create("hq", "h:1", AT, "h:2")
    (hq.folder / "hq.toml").write_text('# listen = "h:1"\n')
    (hq.folder / "hq.toml").chmod(0o644)
    assert hq.identity().card.name == "hq"


# --- files that cannot be read --------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["truncated", "empty", "another's", "renamed"])
def test_a_file_that_is_no_card_refuses_its_party_alone_and_is_named(
    tmp_path: Path, bad: str
) -> None:
    hq = Keyring(tmp_path / "hq", HQ)
    parties = {name: made(PartyKind.OUTLET, name) for name in "abc"}
    for party in parties.values():
        trust(hq, party.card, party.signing)
    place = hq.folder / "peers" / "outlet-b.json"
    data = place.read_bytes()
    content = {"truncated": data[:200], "empty": b"", "another's": parties["a"].public_file()}
    place.write_bytes(content.get(bad, data))
    if bad == "renamed":
        place = place.rename(place.with_name("outlet-B.json"))
    assert set(hq.peers(PartyKind.OUTLET)) == {"a", "c"}
    [found] = hq.unreadable()
    assert found.file == place
    assert str(place) in str(found)
    place.unlink()
    trust(hq, parties["b"].card, parties["b"].signing)
    assert set(hq.peers(PartyKind.OUTLET)) == {"a", "b", "c"}


def test_an_unreadable_card_of_the_one_hq_is_named_and_added_again(ring: Keyring) -> None:
    party = made(HQ, "hq")
    trust(ring, party.card, party.signing)
    place = ring.folder / "peers" / "hq-hq.json"
    place.write_text("{")
    with pytest.raises(KeyringError, match=r"peers/hq-hq\.json: card: malformed"):
        ring.peer(HQ)
    trust(ring, party.card, party.signing)
    assert ring.peer(HQ) == party.card


def test_keys_and_share_that_cannot_be_read_are_named_with_their_file(tmp_path: Path) -> None:
    hq = Keyring(tmp_path / "hq", HQ)
    hq.create("hq", "h:1", AT, "h:2")
    whole = (hq.folder / "identity.json").read_text()
    (hq.folder / "identity.json").write_text(whole[:100])
    with pytest.raises(CardRefused, match=r"hq/identity\.json: identity: malformed key file; rest"):
        hq.identity()
    (hq.folder / "identity.json").write_text(whole)
    (hq.folder / "public.json").write_text("{")
    [note] = key_notes(hq, AT)
    assert "public.json" in note.text
    assert "`keys show`" in note.text
    hq.keep(hq.identity())
    assert key_notes(hq, AT) == []


# --- certificates that end ------------------------------------------------------------------------


def test_a_certificate_is_named_90_days_before_its_end_and_once_it_is_over(tmp_path: Path) -> None:
    hq = Keyring(tmp_path / "hq", HQ)
    own = hq.create("hq", "h:1", AT, "h:2")
    peer = made(PartyKind.OUTLET, "a", AT + 200 * DAY)
    trust(hq, peer.card, peer.signing)
    end = own.card.ends
    assert key_notes(hq, end - 91 * DAY) == []
    [soon] = key_notes(hq, end - 90 * DAY + dt.timedelta(hours=1))
    assert not soon.fault
    assert "own certificate ends on" in soon.text
    assert "in 89 days; run `escapement-hq keys renew`" in soon.text
    own.card.check_dates(end)
    with pytest.raises(CertificateEnded, match=r"ended on .* `escapement-hq keys renew`"):
        own.card.check_dates(end + DAY, own=True)
    with pytest.raises(CertificateEnded, match=r"begins on .*; set this machine's clock"):
        peer.card.check_dates(AT)
    [over, later] = key_notes(hq, end + 120 * DAY)
    assert over.fault
    assert not later.fault
    assert later.text.startswith("outlet a: its certificate ends on")
    hq.renew(end - DAY, Renewed())
    [waits] = key_notes(hq, end - DAY)
    assert not waits.fault
    assert "`keys finish`" in waits.text
    assert not hq.finish_where_over(end)
    assert hq.finish_where_over(end + dt.timedelta(seconds=1))
    assert hq.identity().card.serial == 2
