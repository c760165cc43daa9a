"""What a keyring's owner hears of: what is a fault, what is not yet, and in which words."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from privacy.errors import PrivacyError
from privacy.identity import Identity, PartyKind, Renewed
from privacy.key_health import key_notes
from privacy.keyring import Keyring, KeyringError

if TYPE_CHECKING:
    from pathlib import Path

AT = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def hq(tmp_path: Path) -> Keyring:
    made = Keyring(tmp_path / "hq", PartyKind.HQ)
    made.create("hq", "h:1", AT, "h:2")
    return made


def test_a_file_that_cannot_be_read_is_a_fault_and_so_is_a_card_that_is_not_the_newest(
    hq: Keyring,
) -> None:
    assert key_notes(hq, AT) == []
    (hq.folder / "peers").mkdir(exist_ok=True)
    (hq.folder / "peers" / "office-office.json").write_text("{")
    [unreadable] = key_notes(hq, AT)
    assert unreadable.fault
    assert "office-office.json" in unreadable.text
    hq.public_file.write_text("{")
    stale = [note for note in key_notes(hq, AT) if "newest card" in note.text]
    assert [note.fault for note in stale] == [True]


def test_keys_that_cannot_be_read_are_one_fault_and_open_ones_are_told_once(hq: Keyring) -> None:
    place = hq.folder / "identity.json"
    whole = place.read_text()
    place.write_text(whole[:50])
    place.chmod(0o600)
    [damaged] = key_notes(hq, AT)
    assert damaged.fault
    assert "malformed key file" in damaged.text
    place.write_text(whole)
    place.chmod(0o644)
    [open_to_others] = key_notes(hq, AT)
    assert open_to_others.fault
    assert "identity.json" in open_to_others.text


def test_an_end_is_named_when_less_than_90_days_are_left(hq: Keyring) -> None:
    end = hq.identity().card.ends
    assert key_notes(hq, end - 90 * DAY) == []
    [soon] = key_notes(hq, end - 90 * DAY + SECOND)
    assert (soon.fault, "in 89 days" in soon.text) == (False, True)


def test_renewed_keys_wait_until_the_last_second_of_the_old_ones_and_are_then_a_fault(
    hq: Keyring,
) -> None:
    own = hq.identity().card
    at = own.ends - 10 * DAY
    until = hq.renew(at, Renewed()).newest.card.until
    waits = "renewed keys of serial 2 wait for `keys finish`"
    for moment in (at, own.ends):
        [note] = key_notes(hq, moment)
        assert waits in note.text
        assert note.text.endswith(f"the old ones are taken until {until[:10]}")
        assert not note.fault
    [over] = key_notes(hq, own.ends + SECOND)
    assert over.fault
    assert "run `escapement-hq keys renew`" in over.text


def test_old_keys_that_nobody_takes_any_more_are_a_fault(hq: Keyring) -> None:
    hq.renew(AT, Renewed(overlap=DAY))
    assert [note.fault for note in key_notes(hq, AT + DAY)] == [False]
    [note] = key_notes(hq, AT + 2 * DAY)
    assert note.fault
    assert note.text.endswith("the old ones are taken by nobody who has the new card")


def test_a_renewal_makes_a_certificate_anew_and_no_key_that_was_not_asked_for() -> None:
    before = Identity.generate(PartyKind.HQ, "hq", "h:1", AT, service_address="h:2")
    card, newer = before.card, before.renewed(AT, Renewed()).newest.card
    assert newer.certificate != card.certificate
    assert (newer.signing_key, newer.sealing_key) == (card.signing_key, card.sealing_key)


@pytest.mark.parametrize("text", ["{}", "[]", '{"share": "x", "epoch": 1}', '{"epoch": 1}', "{"])
def test_a_share_that_cannot_be_read_is_named_with_its_file(hq: Keyring, text: str) -> None:
    (hq.folder / "token-share.json").write_text(text)
    with pytest.raises(KeyringError, match=r"token-share\.json: malformed; restore it"):
        hq.token_share()


def test_a_holder_that_lost_its_keys_alone_hears_of_keys_anew_and_others_do_not(
    hq: Keyring, tmp_path: Path
) -> None:
    outlet = Keyring(tmp_path / "o1", PartyKind.OUTLET)
    outlet.create("o1", "", AT)
    (outlet.folder / "token-share.json").write_text(json.dumps({}))  # of somebody else
    said = []
    for ring in (hq, outlet):
        (ring.folder / "identity.json").unlink()
        with pytest.raises(PrivacyError) as refused:
            ring.identity()
        said.append("`escapement-hq keys anew`" in str(refused.value))
        assert "escapement-outlet keys anew" not in str(refused.value)
    assert said == [True, False]
    (hq.folder / "token-share.json").unlink()
    with pytest.raises(PrivacyError) as refused:
        hq.identity()
    assert "keys anew" not in str(refused.value)
