"""Where people stand, what moves them, and what the store never holds."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from outlet_client.commands.consents import export_consents, import_consents
from outlet_client.errors import ConsentRefused
from outlet_client.people.consents import Recorded
from outlet_client.people.people_store import People, State
from privacy.books import fine_key
from privacy.envelopes import SealKey
from privacy.registrations import (
    TAG_BYTES,
    Registration,
    RegistrationAct,
    fresh_secret,
    nonce_of,
    tag_of,
)
from privacy.tokens import Token, TokenShare, token
from tests.shelves import make_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from privacy.directory import Directory

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SHARE = TokenShare.generate()
HQ = SealKey.generate()
ANNA, BEN = "tel:+6581234567", "mailto:ben@example.com"


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now

    def later(self, hours: float = 1) -> dt.datetime:
        self.now += dt.timedelta(hours=hours)
        return self.now


def directory(batch: int, *slots: tuple[Token, bytes] | None) -> Directory:
    """A directory of tokens with the nonces of their homes; None is a withdrawn slot."""
    rng = np.random.default_rng(batch)
    tokens = [token(f"nobody {n}", SHARE) if s is None else s[0] for n, s in enumerate(slots)]
    tags = [rng.bytes(TAG_BYTES) if s is None else tag_of(s[1]) for s in slots]
    return make_directory(tokens, batch=batch, tags=tags)


class Outlet:
    """An outlet's people, and what it would send."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.folder = folder
        self.people = People(f"sqlite:///{folder / 'outlet.db'}", b"s" * 32, self.clock)
        self.tokens = {who: token(who, SHARE) for who in (ANNA, BEN)}

    def key(self, who: str) -> str:
        return self.people.local_key(who)

    def consents(self, who: str) -> Recorded:
        return self.people.record_consent(self.key(who), "2026-03", "mei", self.clock.later())

    def evaluated(self, *who: str) -> None:
        for one in who:
            self.consents(one)
        self.people.keep_tokens({self.key(one): self.tokens[one] for one in who})

    def sends(self, batch: int, messages: int = 4) -> list[Registration]:
        sealed = self.people.submission(batch, messages, HQ.public)
        assert sealed is not None
        self.people.submitted(batch)
        return opened(sealed, batch)

    def sees(self, batch: int, nonces: Mapping[str, bytes]) -> Directory:
        listing = directory(batch, *((self.tokens[who], nonce) for who, nonce in nonces.items()))
        self.people.follow(listing)
        return listing

    def lists(self, who: str, batch: int = 1) -> tuple[bytes, Directory]:
        """Registers somebody with this outlet as home."""
        self.evaluated(who)
        sent = [act for act in self.sends(batch) if act.act is RegistrationAct.REGISTER]
        nonce = sent[0].proof
        return nonce, self.sees(batch, {who: nonce})

    def state(self, who: str) -> State:
        person = self.people.person(self.key(who))
        assert person is not None
        return person.state


def opened(sealed: list[bytes], batch: int) -> list[Registration]:
    return [Registration.opened(one, HQ, batch) for one in sealed]


@pytest.fixture
def outlet(tmp_path: Path) -> Outlet:
    return Outlet(tmp_path)


def test_a_consent_a_token_a_registration_and_a_directory_make_a_person_listed(
    outlet: Outlet,
) -> None:
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.KNOWN
    outlet.people.keep_tokens({outlet.key(ANNA): outlet.tokens[ANNA]})
    assert outlet.state(ANNA) is State.EVALUATED
    acts = outlet.sends(1)
    assert outlet.state(ANNA) is State.SENT
    assert [act.act for act in acts] == [
        RegistrationAct.REGISTER,
        RegistrationAct.NOTHING,
        RegistrationAct.NOTHING,
        RegistrationAct.NOTHING,
    ]
    listing = outlet.sees(1, {ANNA: acts[0].proof})
    assert outlet.state(ANNA) is State.LISTED
    assert outlet.people.listed(listing).to_dicts() == [
        {"key": outlet.key(ANNA), "slot": 0, "home": True}
    ]
    expected = fine_key(outlet.tokens[ANNA].raw, acts[0].proof)
    assert outlet.people.home_keys(listing) == {0: expected}


def test_somebody_registered_elsewhere_first_is_listed_but_not_at_home(outlet: Outlet) -> None:
    outlet.evaluated(BEN, ANNA)
    outlet.sends(1)
    listing = outlet.sees(1, {ANNA: nonce_of(fresh_secret()), BEN: nonce_of(fresh_secret())})
    rows = outlet.people.listed(listing).sort("slot")
    assert rows["key"].to_list() == [outlet.key(ANNA), outlet.key(BEN)]
    assert not rows["home"].any()
    assert outlet.people.home_keys(listing) == {}


def test_a_person_whose_batch_is_not_yet_applied_stays_sent(outlet: Outlet) -> None:
    outlet.evaluated(ANNA)
    outlet.sends(5)
    outlet.sees(4, {})
    assert outlet.state(ANNA) is State.SENT
    # Another outlet's registration may be about to go: only batch 5 can tell.
    listing = outlet.sees(4, {ANNA: nonce_of(fresh_secret())})
    assert outlet.state(ANNA) is State.SENT
    assert outlet.people.listed(listing).is_empty()


def test_a_registration_that_no_directory_shows_is_sent_once_more_and_buried_only_then(
    outlet: Outlet, caplog: pytest.LogCaptureFixture
) -> None:
    outlet.evaluated(ANNA)
    first = outlet.sends(5)[0]
    outlet.sees(5, {BEN: nonce_of(fresh_secret())})
    assert outlet.state(ANNA) is State.EVALUATED
    assert "1 registrations are in no directory" in caplog.text
    assert outlet.key(ANNA) not in caplog.text
    assert outlet.sends(6)[0] == first
    outlet.sees(6, {})
    assert outlet.state(ANNA) is State.BURIED
    assert {act.act for act in outlet.sends(7)} == {RegistrationAct.NOTHING}
    assert outlet.consents(ANNA) is Recorded.NEW  # begins to count anew
    outlet.sends(8)
    outlet.sees(8, {})
    assert outlet.state(ANNA) is State.EVALUATED


def test_a_registration_in_a_lost_batch_heals_with_the_next(outlet: Outlet) -> None:
    outlet.evaluated(ANNA)
    outlet.sends(1)
    outlet.sees(1, {})
    outlet.sees(2, {ANNA: outlet.sends(2)[0].proof})
    assert outlet.state(ANNA) is State.LISTED


def test_who_was_withdrawn_elsewhere_is_buried_and_registered_again_with_a_new_consent_only(
    outlet: Outlet,
) -> None:
    first, _ = outlet.lists(ANNA)
    outlet.clock.later()
    listing = outlet.sees(2, {})
    assert outlet.state(ANNA) is State.BURIED
    assert outlet.people.listed(listing).is_empty()
    assert {act.act for act in outlet.sends(3)} == {RegistrationAct.NOTHING}
    outlet.sees(4, {ANNA: nonce_of(fresh_secret())})  # somebody else's new consent is not ours
    assert outlet.state(ANNA) is State.BURIED
    assert outlet.people.record_consent(outlet.key(ANNA), "old", "mei", NOON) is Recorded.TOO_OLD
    assert outlet.state(ANNA) is State.BURIED
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.EVALUATED
    again = outlet.sends(5)[0]
    assert again.act is RegistrationAct.REGISTER
    assert again.proof != first


def test_who_is_back_in_another_slot_was_withdrawn_in_between_and_is_buried(
    outlet: Outlet,
) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.sees(2, {ANNA: nonce, BEN: nonce_of(fresh_secret())})
    assert outlet.state(ANNA) is State.LISTED
    # This outlet was down: elsewhere Anna withdrew and consented again, which gave her a new slot.
    later = directory(4, None, (outlet.tokens[ANNA], nonce_of(fresh_secret())))
    assert outlet.people.listed(later).is_empty()
    outlet.people.follow(later)
    assert outlet.state(ANNA) is State.BURIED


def test_an_older_directory_buries_nobody(outlet: Outlet) -> None:
    outlet.lists(ANNA, batch=3)
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.LISTED


def test_a_withdrawal_shows_the_secret_once_and_ends_when_it_is_applied(outlet: Outlet) -> None:
    nonce, listing = outlet.lists(ANNA)
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWING
    assert outlet.people.listed(listing).is_empty()
    assert outlet.people.home_keys(listing) == {}
    act = outlet.sends(2)[0]
    assert act.act is RegistrationAct.WITHDRAW
    assert nonce_of(act.proof) == nonce
    assert {act.act for act in outlet.sends(3)} == {RegistrationAct.NOTHING}
    outlet.sees(1, {ANNA: nonce})
    assert outlet.state(ANNA) is State.WITHDRAWING
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.WITHDRAWN
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWN


def test_who_withdraws_after_a_kill_is_not_sent_again_and_withdrawn_in_the_next_batch(
    outlet: Outlet,
) -> None:
    outlet.evaluated(ANNA, BEN)
    sealed = outlet.people.submission(1, 4, HQ.public)  # killed: it may have arrived or not
    assert sealed is not None
    first = {act.token: act.proof for act in opened(sealed, 1)}
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWING
    again = outlet.sends(1)
    assert [act.act for act in again] == [
        RegistrationAct.REGISTER,
        RegistrationAct.NOTHING,
        RegistrationAct.NOTHING,
        RegistrationAct.NOTHING,
    ]
    assert again[0].token == outlet.tokens[BEN].raw
    assert again[0].proof == first[again[0].token]
    act = outlet.sends(2)[0]
    assert act.act is RegistrationAct.WITHDRAW
    assert nonce_of(act.proof) == first[outlet.tokens[ANNA].raw]


def test_a_withdrawal_of_somebody_without_a_token_needs_no_message(outlet: Outlet) -> None:
    outlet.consents(ANNA)
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWN
    assert {act.act for act in outlet.sends(1)} == {RegistrationAct.NOTHING}
    assert outlet.people.withdraw(outlet.key(BEN)) is None


def test_who_was_never_registered_here_is_registered_and_withdrawn_in_a_later_batch(
    outlet: Outlet,
) -> None:
    outlet.evaluated(ANNA)
    outlet.sees(3, {ANNA: nonce_of(fresh_secret())})  # another outlet's
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWING
    lost = outlet.people.submission(4, 4, HQ.public)  # killed, and batch 4 closes
    assert lost is not None
    first = outlet.sends(5)
    assert [act.act for act in first] == [RegistrationAct.REGISTER, *[RegistrationAct.NOTHING] * 3]
    assert first[0] == opened(lost, 4)[0]
    assert first[0].since == 3
    assert outlet.people.waiting() == 1
    listing = outlet.sees(5, {ANNA: nonce_of(fresh_secret())})
    assert outlet.people.listed(listing).is_empty()
    second = outlet.sends(6)
    assert [act.act for act in second] == [RegistrationAct.WITHDRAW, *[RegistrationAct.NOTHING] * 3]
    assert nonce_of(second[0].proof) == first[0].proof
    outlet.sees(6, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_a_withdrawal_that_hq_did_not_carry_out_is_sent_again_until_a_directory_shows_it(
    outlet: Outlet, caplog: pytest.LogCaptureFixture
) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {ANNA: nonce})  # the batch was lost on its way
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert "1 withdrawals were not carried out" in caplog.text
    assert outlet.key(ANNA) not in caplog.text
    again = outlet.sends(3)[0]
    assert again.act is RegistrationAct.WITHDRAW
    assert nonce_of(again.proof) == nonce
    outlet.sees(3, {ANNA: nonce})  # HQ may not know the registration either
    renewed = outlet.sends(4)
    assert [act.act for act in renewed] == [
        RegistrationAct.REGISTER,
        *[RegistrationAct.NOTHING] * 3,
    ]
    assert renewed[0].proof == nonce
    outlet.sees(4, {ANNA: nonce})
    assert outlet.sends(5)[0] == again
    outlet.sees(5, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_who_consented_elsewhere_after_a_withdrawal_has_another_slot_and_stays_withdrawn(
    outlet: Outlet,
) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    back = directory(4, None, (outlet.tokens[ANNA], nonce_of(fresh_secret())))
    for _ in range(2):
        outlet.people.follow(back)
        assert outlet.state(ANNA) is State.WITHDRAWN
    assert {act.act for act in outlet.sends(5)} == {RegistrationAct.NOTHING}


def test_who_is_live_again_in_the_withdrawn_slot_is_withdrawn_again(outlet: Outlet) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    sent = outlet.sends(2)[0]
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.WITHDRAWN
    outlet.sees(3, {ANNA: nonce})  # HQ was restored from an old copy
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert outlet.sends(4)[0] == sent
    outlet.sees(4, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_a_registration_says_which_batch_was_followed_when_the_consent_was_recorded(
    outlet: Outlet,
) -> None:
    outlet.evaluated(ANNA)
    outlet.sees(6, {})
    outlet.evaluated(BEN)
    outlet.sees(7, {})
    assert [act.since for act in outlet.sends(8)] == [0, 6, 0, 0]
    outlet.sees(8, {})
    assert [act.since for act in outlet.sends(9)] == [0, 6, 0, 0]  # a repetition is no younger
    outlet.sees(9, {})
    assert outlet.state(ANNA) is State.BURIED
    outlet.consents(ANNA)
    assert outlet.sends(10)[0].since == 9


def test_a_consent_given_while_a_withdrawal_is_under_way_is_newer_than_it_and_no_more(
    outlet: Outlet,
) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.clock.later()
    outlet.consents(ANNA)
    outlet.sends(2)
    outlet.sees(4, {})
    again = outlet.sends(5)[0]
    assert (again.act, again.since) == (RegistrationAct.REGISTER, 2)


def test_consent_after_a_withdrawal_gives_a_fresh_secret(outlet: Outlet) -> None:
    first, _ = outlet.lists(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {})
    assert outlet.consents(ANNA) is Recorded.NEW
    act = outlet.sends(3)[0]
    assert act.act is RegistrationAct.REGISTER
    assert act.proof != first


def test_consent_while_a_withdrawal_is_under_way_waits_for_it(outlet: Outlet) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert nonce_of(outlet.sends(2)[0].proof) == nonce
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.EVALUATED
    assert outlet.sends(3)[0].act is RegistrationAct.REGISTER


def test_a_withdrawal_of_a_renewed_consent_under_way_ends_it_too(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.consents(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_a_second_consent_is_history_and_moves_nobody(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.LISTED
    assert len(outlet.people.consents()) == 2
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    assert outlet.people.consents()["withdrawn_at"].null_count() == 0


def test_a_killed_submission_is_repeated_byte_by_byte_and_resealed_for_the_next_batch(
    outlet: Outlet,
) -> None:
    outlet.evaluated(ANNA)
    sealed = outlet.people.submission(1, 4, HQ.public)
    assert sealed is not None
    again = Outlet(outlet.folder)  # another process
    assert again.people.submission(1, 4, HQ.public) == sealed
    assert again.state(ANNA) is State.EVALUATED
    later = again.people.submission(2, 4, HQ.public)
    assert later is not None
    assert opened(later, 2)[0].proof == opened(sealed, 1)[0].proof
    again.people.submitted(2)
    assert again.state(ANNA) is State.SENT
    assert again.people.submission(2, 4, HQ.public) is None


def test_a_withdrawal_in_a_submission_that_was_lost_is_sent_again(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    assert outlet.people.submission(2, 4, HQ.public) is not None
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert outlet.sends(3)[0].act is RegistrationAct.WITHDRAW
    outlet.sees(3, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_withdrawals_leave_before_registrations_and_the_rest_waits(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.evaluated(BEN)
    assert outlet.people.waiting() == 2
    assert [act.act for act in outlet.sends(2, messages=1)] == [RegistrationAct.WITHDRAW]
    assert outlet.people.waiting() == 1
    assert [act.act for act in outlet.sends(3, messages=1)] == [RegistrationAct.REGISTER]
    assert outlet.people.waiting() == 0


def test_a_consent_that_is_imported_again_does_not_undo_a_withdrawal(
    outlet: Outlet, tmp_path: Path
) -> None:
    file = tmp_path / "consents.csv"
    row = {"phone": "8123 4567", "email": "", "notice": "n", "recorded_at": "2026-03-01T10:00:00Z"}
    pl.DataFrame([{**row, "recorded_by": "mei"}]).write_csv(file)
    counts = [import_consents(file, outlet.people, "SG", NOON) for _ in range(2)]
    assert counts[0][Recorded.NEW] == 1
    assert counts[1] == {Recorded.NEW: 0, Recorded.ALREADY: 1, Recorded.TOO_OLD: 0}
    outlet.people.withdraw(outlet.key(ANNA))
    import_consents(file, outlet.people, "SG", NOON)
    assert outlet.state(ANNA) is State.WITHDRAWN
    file.write_text(file.read_text().replace("T10:00", "T09:00"))
    assert import_consents(file, outlet.people, "SG", NOON)[Recorded.TOO_OLD] == 1
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_consents_from_a_spreadsheet_are_read_as_it_wrote_them(
    outlet: Outlet, tmp_path: Path
) -> None:
    file = tmp_path / "einwilligungen.csv"
    text = "phone;email;notice;recorded_at;recorded_by\r\n"
    text += "".join(
        f"+65 9123 45{n:02d};;Datenschutz für Kunden;2026-03-01;Zoë\r\n" for n in range(20)
    )
    file.write_bytes(text.encode("cp1252"))
    assert import_consents(file, outlet.people, "SG", NOON)[Recorded.NEW] == 20
    assert set(outlet.people.consents()["recorded_by"]) == {"Zoë"}


def test_exported_consents_are_what_can_be_imported(outlet: Outlet, tmp_path: Path) -> None:
    outlet.consents(ANNA)
    outlet.consents(BEN)
    identifiers = {outlet.key(ANNA): ANNA}
    assert export_consents(tmp_path / "out.csv", outlet.people, identifiers) == (1, 1)
    assert (tmp_path / "out.csv").stat().st_mode & 0o077 == 0
    other = People("sqlite://", b"t" * 32)
    counts = import_consents(tmp_path / "out.csv", other, "SG", outlet.clock.later())
    assert counts[Recorded.NEW] == 1
    assert other.without_token() == [other.local_key(ANNA)]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"phone": "4567", "email": "ben@"}, "row 2, phone"),
        ({"notice": " "}, "row 2, notice"),
        ({"recorded_at": "1 March"}, "row 2, recorded_at"),
        ({"recorded_at": "2026-03-02"}, "row 2, recorded_at: in the future"),
        ({"recorded_by": ""}, "row 2, recorded_by"),
    ],
)
def test_a_bad_row_is_named_without_its_contents_and_nothing_is_recorded(
    outlet: Outlet, tmp_path: Path, change: dict[str, str], place: str
) -> None:
    good = {
        "phone": "+6581234567",
        "email": "",
        "notice": "n",
        "recorded_at": "2026-03-01",
        "recorded_by": "mei",
    }
    pl.DataFrame([good, {**good, **change}]).write_csv(tmp_path / "bad.csv")
    with pytest.raises(ConsentRefused, match=place) as caught:
        import_consents(tmp_path / "bad.csv", outlet.people, "SG", NOON)
    assert "4567" not in str(caught.value)
    assert "March" not in str(caught.value)
    assert outlet.people.consents().is_empty()
    pl.DataFrame([good]).drop("notice").write_csv(tmp_path / "bad.csv")
    with pytest.raises(ConsentRefused, match="column notice: missing"):
        import_consents(tmp_path / "bad.csv", outlet.people, "SG", NOON)


def test_no_phone_and_no_mail_is_in_the_store_and_another_outlets_keys_differ(
    outlet: Outlet,
) -> None:
    for who in (ANNA, BEN):
        outlet.lists(who, batch=1 if who == ANNA else 2)
    outlet.people.close()
    data = b"".join(file.read_bytes() for file in outlet.folder.glob("outlet.db*"))
    for piece in (b"81234567", b"ben@", b"example", b"tel:", b"mailto"):
        assert piece not in data
    assert outlet.key(ANNA).encode() in data
    assert People("sqlite://", b"o" * 32).local_key(ANNA) != outlet.key(ANNA)


def test_a_look_up_does_not_wait_for_a_night_that_writes(outlet: Outlet) -> None:
    outlet.consents(ANNA)
    writer = sqlite3.connect(outlet.folder / "outlet.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert outlet.state(ANNA) is State.KNOWN
    writer.close()


def test_many_people_are_followed_at_once(outlet: Outlet) -> None:
    names = [f"tel:+65{81000000 + i}" for i in range(300)]
    outlet.tokens = {name: token(name, SHARE) for name in names}
    outlet.evaluated(*names)
    acts = outlet.sends(1, messages=301)
    nonces = {act.token: act.proof for act in acts if act.act is RegistrationAct.REGISTER}
    listing = outlet.sees(1, {name: nonces[outlet.tokens[name].raw] for name in names})
    rows = outlet.people.listed(listing)
    assert rows["home"].all()
    assert sorted(rows["slot"]) == list(range(300))
    outlet.sees(2, {name: nonces[outlet.tokens[name].raw] for name in names[:200]})
    counts = outlet.people.counts()
    assert counts[State.LISTED] == 200
    assert counts[State.BURIED] == 100


def test_a_store_made_before_withdrawals_had_a_table_keeps_them(tmp_path: Path) -> None:
    """And opening one that has all its tables writes nothing: it would wait for a night."""
    url, place = f"sqlite:///{tmp_path / 'outlet.db'}", tmp_path / "outlet.db"
    with closing(People(url, b"s" * 32, lambda: NOON)) as people:
        people.record_consent("key", "n", "mei", NOON - dt.timedelta(days=1))
        people.withdraw("key")
    with closing(sqlite3.connect(place)) as database:
        database.execute("DROP TABLE withdrawals")
    for _ in range(2):
        People(url, b"s" * 32).close()
        with closing(sqlite3.connect(place)) as database:
            rows = database.execute("SELECT key, at FROM withdrawals").fetchall()
        assert rows == [("key", "2026-03-01T12:00:00.000000+00:00")]
    before = place.read_bytes()
    People(url, b"s" * 32).close()
    assert place.read_bytes() == before
