"""`escapement-outlet reasons`: what an operator is told, of whom, and what it never depends on."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from features.bands import SCHEMES
from features.events import CATALOGUE, DIMENSION, CustomerSums, event_features
from features.outcomes import Outcome
from features.points import PART_BOUND, outlet_parts
from features.scorecard import Scorecard, encode_scorecards
from features.snapshot import CutOff, Snapshot
from outlet_client.bands.lookup import WHOSE_BAND
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.contributions import HomeCustomers, Outlet, SlotSums
from outlet_client.contribution.scorecard_store import (
    KeptScorecards,
    ScorecardMissing,
    keep_scorecards,
    read_scorecards,
)
from outlet_client.database import create_databases
from outlet_client.errors import OutletError
from outlet_client.ledger.event_reader import read_events
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.main import app
from outlet_client.people.people_store import People
from outlet_client.reasons import NOTE
from outlet_client.records.access_log import entries
from outlet_client.settings import OutletFile, OutletSettings
from privacy.envelopes import SigningKey
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.seal_plans import SealKind
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenShare, token
from tests.outlet_client.questions import DIRECTORY, question, seal_of
from tests.shelves import Press, band_codes, make_book, make_directory, shelve

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.tokens import Token

NOW = dt.datetime.now(dt.UTC)
ANNA, BEN, STRANGER = "+6581234500", "+6581234501", "+6581234502"
SHARE = TokenShare.generate()
CARDS = (
    Scorecard.of(Outcome.LOYAL.value, np.linspace(-1.0, 2.0, DIMENSION)),
    Scorecard.of(Outcome.FLIPPED.value, np.linspace(2.0, -1.0, DIMENSION)),
)
SETTINGS = """\
region = "SG"
ledger = "ledger.csv"
clients = "clients.csv"
references = "references.csv"
sightings = "sightings.csv"
"""
HEADER = "customer_id,outlet_id,purchased_at,kind,price,list_price,basket_id,serial,reference\n"
LEDGER = """\
a1,O1,2024-03-05,purchase,8000,8000,b1,s1,R2
a2,O1,2025-05-02,interest,0,0,b2,,R1
a2,O1,2025-06-01,purchase,9000,9000,b3,s3,R1
a1,O1,2025-06-20,service,0,0,b4,s3,R1
a1,O1,2025-08-01,purchase,200,250,b5,,
b,O1,2026-01-10,purchase,5000,5000,b6,s6,R3
"""


class Boutique:
    """An outlet's folder; Anna is customers a1 and a2 there, Ben is b; both consented."""

    def __init__(self, place: Path) -> None:
        self.home = place / "outlet"
        rings = {kind: Keyring(place / kind.value, kind) for kind in PartyKind}
        for kind, ring in rings.items():
            where = "" if kind is PartyKind.OUTLET else "127.0.0.1:9"
            ring.create(kind.value, where, NOW, service_address=where)
        create_databases(rings[PartyKind.OUTLET].folder)
        self.hq, self.office = rings[PartyKind.HQ].identity(), rings[PartyKind.OFFICE].identity()
        self.identity = rings[PartyKind.OUTLET].identity()
        self.people = People.open(self.home, self.identity)
        for phone in (ANNA, BEN):
            self.people.record_consent(self.key(phone), "n", "mei", NOW)
        self.write("escapement.toml", SETTINGS)
        self.write("references.csv", "reference,tier\nR1,allocation\nR2,limited\nR3,open\n")
        self.write("sightings.csv", "serial,seen_at,status\ns3,2025-07-05,confirmed\n")
        self.write("clients.csv", f"customer_id,phone,email\na1,{ANNA},\na2,8123 4500,\nb,{BEN},\n")
        self.write("ledger.csv", HEADER + LEDGER)

    def enrol(self) -> None:
        """Trusts HQ and the privacy office."""
        for kind in (PartyKind.HQ, PartyKind.OFFICE):
            ring = Keyring(self.home.parent / kind.value, kind)
            data = ring.public_file.read_bytes()
            Keyring(self.home, PartyKind.OUTLET).trust(ring.identity().card, data)

    def write(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)

    def key(self, phone: str) -> str:
        return self.people.local_key(f"tel:{phone}")

    def know(self, phone: str, made: Token) -> None:
        """Learns a customer's token, whatever was known before."""
        with self.people.transaction() as connection:
            connection.exec_driver_sql("UPDATE people SET state = 'known', token = NULL")
        assert self.people.keep_tokens({self.key(phone): made}) == 1

    @property
    def answers(self) -> AnswerStore:
        return AnswerStore(f"sqlite:///{self.home / 'outlet.db'}")

    def keep(self, cards: tuple[Scorecard, ...] = CARDS, as_of: str = "2026-01-09") -> None:
        with closing(self.answers) as store, store.transaction() as answers:
            keep_scorecards(answers, KeptScorecards(as_of, cards))

    def run(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(
            app, ["reasons", "--purpose", "sale", *words, "--home", str(self.home)]
        )
        assert not any(one in done.output for one in (ANNA, BEN, STRANGER))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    def told(self, *words: str, phone: str = ANNA) -> dict[str, Any]:
        code, said = self.run("--phone", phone, "--json", *words)
        assert code == 0, said
        found: dict[str, Any] = json.loads(said)
        return found


@pytest.fixture
def boutique(tmp_path: Path) -> Boutique:
    made = Boutique(tmp_path)
    made.keep()
    return made


def test_an_operator_reads_the_events_here_largest_first_and_what_is_left(
    boutique: Boutique,
) -> None:
    code, said = boutique.run("--phone", ANNA)
    lines = said.splitlines()
    assert code == 0
    assert lines[0] == "Events here as of 2026-01-10; scorecards of the bands as of 2026-01-09"
    told = boutique.told()["parts"]
    assert lines[1] == f"eligibility: as a home this outlet gives {told['eligibility']:+d}"
    assert lines[7] == f"flipper_risk: as a home this outlet gives {told['flipper_risk']:+d}"
    assert lines[-2] == (
        "evidence: 4 events here; with fewer than 3 at all outlets together both bands read 'new'"
    )
    assert lines[-1] == NOTE
    for text in (
        "LIMITED reference, March 2024: ",
        "interest (ALLOCATION reference), May 2025: ",
        "ALLOCATION reference, June 2025, serviced, confirmed resold after 34 days: ",
        "purchase, August 2025: ",
        "number of events here (4): ",
    ):
        assert sum(line.startswith(f"  {text}") for line in lines) == 2, text
    points = [abs(int(line.rsplit(": ", 1)[1])) for line in lines[2:6]]
    assert points == sorted(points, reverse=True)


def sums_here(boutique: Boutique) -> CustomerSums:
    """What the events of Anna's two entries add up to."""
    events = events_of(boutique)
    one = events.with_columns(pl.col("customer").replace({"a1": "anna", "a2": "anna"}))
    last = CutOff(dt.date(2026, 1, 10))
    features = event_features(Snapshot.take(one, last, last.date))
    return CustomerSums.of(features, pl.Series(["anna"]))


def test_all_that_is_told_adds_up_to_what_the_outlet_sends_of_one_person_with_two_entries(
    boutique: Boutique,
) -> None:
    """The piece that entry a2 bought and a1 brought in for service is one event."""
    [[*parts, evidence]] = outlet_parts(CARDS, sums_here(boutique), np.array([True])).tolist()
    told = boutique.told()  # nobody knows the token yet: rounded to the nearest
    assert list(told["parts"].values()) == parts
    assert told["evidence"] == evidence == 4
    for part, lines in zip(parts, told["scores"].values(), strict=True):
        assert len(lines) == 5
        assert sum(line["points"] for line in lines) == part
        assert all(type(line["points"]) is int for line in lines)


def test_points_are_rounded_as_the_part_that_is_sealed_once_the_token_is_known(
    boutique: Boutique,
) -> None:
    """By the outlet's dither of that very slot; of 40 tokens some round otherwise than nearest."""
    sums, at_home, found = sums_here(boutique), np.array([True]), set()
    nearest = list(boutique.told()["parts"].values())
    for number in range(40):
        made = token(f"tel:{number}", SHARE)
        boutique.know(ANNA, made)
        key = SlotKey.of(made.raw).public
        dither = boutique.people.dither.of_slots([key], [card.outcome for card in CARDS])
        [[*parts, _]] = outlet_parts(CARDS, sums, at_home, dither).tolist()
        told = boutique.told()
        assert list(told["parts"].values()) == parts
        for part, lines in zip(parts, told["scores"].values(), strict=True):
            assert sum(line["points"] for line in lines) == part
        found.add(tuple(parts))
    assert len(found) > 1
    assert np.abs(np.array(sorted(found)) - nearest).max() <= 1


def test_what_is_not_listed_is_counted_and_still_adds_up(boutique: Boutique) -> None:
    whole, short = boutique.told(), boutique.told("--most", "1")
    assert short["parts"] == whole["parts"]
    for score, lines in short["scores"].items():
        listed = [line["text"] for line in lines]
        assert listed[0] == whole["scores"][score][0]["text"]
        assert listed[1:] == ["other events here (3)", "number of events here (4)"]
        for found in (whole["scores"][score], lines):
            assert sum(line["points"] for line in found) == whole["parts"][score]
    assert boutique.run("--phone", ANNA, "--most", "0")[0] != 0


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_over_the_bound_of_an_outlet_is_a_line_of_its_own(
    boutique: Boutique, sign: int
) -> None:
    boutique.keep((Scorecard.of(Outcome.LOYAL.value, np.full(DIMENSION, 9.0 * sign)),))
    told = boutique.told()
    [lines] = told["scores"].values()
    assert told["parts"] == {"eligibility": sign * PART_BOUND}
    assert lines[-1]["text"] == f"one outlet gives {PART_BOUND} at most"
    assert sign * lines[-1]["points"] < 0
    assert sum(line["points"] for line in lines) == sign * PART_BOUND


def test_a_customer_without_events_here_is_given_nothing(boutique: Boutique) -> None:
    boutique.people.record_consent(boutique.key(STRANGER), "n", "mei", NOW)
    told = boutique.told(phone=STRANGER)
    assert (list(told["parts"].values()), told["evidence"]) == ([0, 0], 0)
    for lines in told["scores"].values():
        assert lines == [{"text": "number of events here (0)", "points": 0}]


def test_who_never_consented_here_is_refused_as_by_a_look_up(boutique: Boutique) -> None:
    assert boutique.run("--phone", STRANGER) == (2, "consent needed\n")
    code, said = boutique.run("--phone", STRANGER, "--json")
    assert (code, json.loads(said)) == (2, {"status": "consent needed"})
    code, said = boutique.run("--phone", "12", "--email", "nobody")
    assert code == 1
    assert "no usable phone or e-mail" in said
    assert "nobody" not in said


def test_the_withdrawn_have_no_reasons_until_a_new_consent(boutique: Boutique) -> None:
    key = boutique.key(ANNA)
    boutique.people.withdraw(key)
    assert boutique.run("--phone", ANNA) == (0, "not in the network\n")
    assert boutique.told() == {"status": "not in the network"}
    boutique.people.record_consent(key, "n", "mei", NOW + dt.timedelta(hours=1))
    assert boutique.told()["status"] == "known"


def test_without_a_scorecard_yet_the_next_step_is_named(tmp_path: Path) -> None:
    boutique = Boutique(tmp_path)
    code, said = boutique.run("--phone", ANNA)
    assert code == 1
    assert "scorecard: got none yet" in said
    assert "escapement-outlet nightly" in " ".join(said.split())


def test_a_scorecard_of_another_catalogue_is_not_used(boutique: Boutique) -> None:
    with closing(sqlite3.connect(boutique.home / "outlet.db")) as connection:
        [[card]] = connection.execute("SELECT card FROM scorecards WHERE place = 0").fetchall()
        old = (card.replace(CATALOGUE.encode(), b"escapement/v0"),)
        connection.execute("UPDATE scorecards SET card = ? WHERE place = 0", old)
        connection.commit()
    with pytest.raises(ScorecardMissing, match=r"another catalogue.*escapement-outlet nightly"):
        read_scorecards(boutique.home)


def test_new_scorecards_replace_the_old_ones(boutique: Boutique) -> None:
    boutique.keep(CARDS[1:], "2026-02-01")
    assert read_scorecards(boutique.home) == KeptScorecards("2026-02-01", CARDS[1:])
    told = boutique.told()
    assert told["scorecard_as_of"] == "2026-02-01"
    assert list(told["scores"]) == ["flipper_risk"]


def store_bands(
    boutique: Boutique, eligibility: int, risk: int, *, many_outlets: bool = False
) -> None:
    """Anna gets into the network's directory, with these bands."""
    made = token(f"tel:{ANNA}", SHARE)
    boutique.people.keep_tokens({boutique.key(ANNA): made})
    directory = make_directory([made])
    loyal, flipped = (scheme.bands for scheme in SCHEMES.values())
    book = make_book(
        band_codes([(loyal[eligibility], flipped[risk])]),
        directory,
        as_of=(NOW - dt.timedelta(days=1)).date().isoformat(),
        made_at=NOW.timestamp() - 60,
        version=10 * eligibility + risk,
        marked=[0] if many_outlets else [],
    )
    press = Press(boutique.hq.signing, boutique.office.signing)
    assert shelve(boutique.home, book, directory, press, NOW)


def test_nothing_that_happened_elsewhere_changes_a_letter(
    boutique: Boutique, tmp_path: Path
) -> None:
    """What another outlet sold and saw resold shows in bands; reasons do not read them."""
    boutique.know(ANNA, token(f"tel:{ANNA}", SHARE))
    before = boutique.run("--phone", ANNA)
    elsewhere = Boutique(tmp_path / "elsewhere")
    for name in ("ledger.csv", "sightings.csv"):
        text = (elsewhere.home / name).read_text()
        elsewhere.write(name, text.replace("O1", "O2").replace("s3", "s1").replace("2025", "2023"))
    elsewhere.keep()
    assert elsewhere.run("--phone", ANNA) != before
    for eligibility, risk in ((1, 3), (3, 1), (3, 3)):
        store_bands(boutique, eligibility, risk)
        assert boutique.run("--phone", ANNA) == before


def test_what_is_told_is_that_a_band_may_reflect_the_network_and_nothing_more_of_it(
    boutique: Boutique,
) -> None:
    assert NOTE.startswith(WHOSE_BAND)
    assert "whole network" in NOTE
    told = boutique.told()
    assert set(told) == {
        "status", "as_of", "scorecard_as_of", "scores", "parts", "evidence", "note"
    }  # fmt: skip
    assert told["note"] == NOTE
    for lines in told["scores"].values():
        assert all(set(line) == {"text", "points"} for line in lines)


# --- where the scorecards come from ---------------------------------------------------------------


ANSWERED, CUT_OFF = dt.datetime(2026, 1, 10, 3, tzinfo=dt.UTC), "2025-07-14"
SEALED = "2026-01-09"


def events_of(boutique: Boutique) -> pl.DataFrame:
    settings = OutletFile.read(boutique.home / "escapement.toml")
    return read_events(boutique.home, settings, NOW).attached.events


def outlet_of(boutique: Boutique, **floors: Any) -> Outlet:
    events = events_of(boutique)
    day = CutOff.parse(SEALED)
    features = event_features(Snapshot.take(events, day, day.date))
    nobody, nowhere = pl.Series([], dtype=pl.String), np.zeros(0, np.int64)
    y = {card.outcome: np.zeros(0) for card in CARDS}
    keys = make_directory(token(f"tel:{number}", SHARE) for number in range(2)).keys
    return Outlet(
        "outlet", OutletSettings(**floors), boutique.identity.signing,
        boutique.office.signing.public, boutique.answers, ANSWERED.timestamp, CUT_OFF,
        HomeCustomers.of(features, nobody, y, nowhere, ()),
        dict.fromkeys(
            (SEALED, CUT_OFF),
            SlotSums.of(features, np.zeros(len(features.points), np.int64), nowhere),
        ),
        keys, DIRECTORY, 180, boutique.people.dither, lambda _after: [],
    )  # fmt: skip


def seal_question(
    signing: SigningKey,
    cards: tuple[Scorecard, ...] = CARDS,
    release: str = "bands",
    kind: SealKind = SealKind.BAND,
) -> dict[str, bytes]:
    """A seal's plan as an office signs it, with its night."""
    as_of = SEALED if kind is SealKind.BAND else CUT_OFF
    plan = seal_of(2, as_of, kind, len(cards), release=release)
    return question(plan, signing, cut_off=CUT_OFF, scorecard=encode_scorecards(cards))


def test_an_outlet_keeps_the_scorecards_that_it_last_answered_points_for(tmp_path: Path) -> None:
    boutique = Boutique(tmp_path)
    outlet, signing = outlet_of(boutique), boutique.office.signing
    asked = seal_question(signing)
    share = outlet.answer(asked)
    assert read_scorecards(boutique.home) == KeptScorecards("2026-01-09", CARDS)
    assert boutique.told()["scorecard_as_of"] == "2026-01-09"
    outlet.answer(seal_question(signing, CARDS[:1], "later"))
    assert read_scorecards(boutique.home).cards == CARDS[:1]
    again = outlet.answer(asked)  # a retry is the same answer, and brings nothing back
    assert again.vector.tobytes() == share.vector.tobytes()
    assert read_scorecards(boutique.home).cards == CARDS[:1]


def test_scorecards_that_only_bins_were_sealed_with_explain_no_band(tmp_path: Path) -> None:
    """A night may find them worse than those that stand."""
    boutique = Boutique(tmp_path)
    outlet, signing = outlet_of(boutique), boutique.office.signing
    outlet.answer(seal_question(signing, release="bins", kind=SealKind.FINE))
    with pytest.raises(ScorecardMissing, match="when the network's bands are sealed"):
        read_scorecards(boutique.home)
    outlet.answer(seal_question(signing, CARDS[:1]))
    outlet.answer(seal_question(signing, release="more bins", kind=SealKind.FINE))
    assert read_scorecards(boutique.home).cards == CARDS[:1]


def test_no_scorecard_is_kept_of_a_plan_that_is_refused(tmp_path: Path) -> None:
    boutique = Boutique(tmp_path)
    outlet, signing = outlet_of(boutique), boutique.office.signing
    forged = seal_question(SigningKey.generate())
    exchanged = {**seal_question(signing), "scorecard": encode_scorecards(CARDS[:1])}
    for refused in (forged, exchanged):
        with pytest.raises((OutletError, PrivacyError)):
            outlet.answer(refused)
    with pytest.raises(OutletError, match="this outlet's least is 4"):
        outlet_of(boutique, least_quorum=4).answer(seal_question(signing))
    with pytest.raises(ScorecardMissing):
        read_scorecards(boutique.home)


@pytest.mark.parametrize(
    ("file", "outcome"), [("ledger.csv", "LedgerError"), ("references.csv", "LedgerError")]
)
def test_a_look_that_fails_is_in_the_log_by_the_errors_type(
    boutique: Boutique, file: str, outcome: str
) -> None:
    boutique.write(file, "x\n1\n")
    assert boutique.run("--phone", ANNA, "--by", "noor")[0] == 1
    with rights_of(boutique.home) as connection:
        [one] = entries(connection, [boutique.key(ANNA)], NOW - dt.timedelta(days=1))
    assert (one.by, one.purpose, one.outcome) == ("noor", "sale", outcome)
