"""What an outlet gets ready for a night: who counts, as whom, and what stops it."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import grpc
import numpy as np
import polars as pl
import pytest
from typing_extensions import override

from features.calibration import (
    CALIBRATION_BINS,
    calibration_dimension,
    calibration_norm,
    calibration_rows,
)
from features.errors import FeatureError, LedgerError
from features.events import DIMENSION, RATE_BOUNDS, CustomerSums, count_feature, event_features
from features.learning import (
    MOMENTS_DIMENSION,
    ROW_CLIP,
    USUAL_CLIP,
    USUAL_DIMENSION,
    Whitening,
    counts_dimension,
    gradient_dimension,
)
from features.outcomes import Outcome
from features.scorecard import Scorecard, encode_scorecards
from features.snapshot import CutOff, Snapshot
from outlet_client.database import create_databases
from outlet_client.errors import (
    HqUnreachable,
    OutletError,
    QuestionRefused,
    ServiceRefused,
    Unforeseen,
)
from outlet_client.ledger.event_reader import TooManyBad, read_events
from outlet_client.ledger.event_store import EventStore
from outlet_client.log_tables.rights_store import RIGHTS_FILE
from outlet_client.logs import JsonLines, NightProgress
from outlet_client.night import night_run
from outlet_client.night.health_file import Condition, Health, read_health
from outlet_client.night.night_log import NightLog, NightStep
from outlet_client.night.night_run import Nightly
from outlet_client.people.consents import Consent
from outlet_client.people.people_store import People, State
from outlet_client.people.person_states import keys_as_array
from outlet_client.people.registration import Introduced
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.log_audit import LogContradicted
from outlet_client.services import Services
from outlet_client.settings import OutletFile, OutletSettings
from privacy.directory import Directory, DirectoryRefused
from privacy.envelopes import SigningKey, digest
from privacy.errors import PrivacyError
from privacy.identity import Card, Identity, PartyKind
from privacy.keyring import Keyring
from privacy.log_heads import HeadRefused
from privacy.plans import ReleasePlan
from privacy.publications import PublicationRefused
from privacy.purposes import Purpose
from privacy.registrations import fresh_secret, nonce_of
from privacy.seal_plans import SealKind, SealPlan
from privacy.tokens import TokenRefused, TokenShare
from server.office.notary import Notary
from tests.outlet_client.fake_network import Holder, serve_network, stop_servers
from tests.outlet_client.questions import UNLOCK, question, seal_of
from tests.shelves import band_codes, make_book

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from outlet_client.contribution.contributions import Outlet
    from outlet_client.people.directory_files import PublishedDirectory
    from tests.outlet_client.fake_network import FakeNetwork, Notaries

CUT_OFF, AS_OF, HORIZON = "2026-01-31", "2026-02-28", 60
ASKED = dt.datetime(2026, 4, 1, 2, tzinfo=dt.UTC)
"""When questions are answered: the horizon after the cut-off."""

LOYAL, LAPSED = Outcome.LOYAL.value, Outcome.LAPSED.value
SECRET = "+65 8123 4501"  # noqa: S105  (a made-up phone)
CONSENTED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

# customer, phone, email
BOOK = [
    ("anna", "+65 8123 4501", None),
    ("ben", "8123 4502", None),
    ("ben-again", "+6581234502", "ben@example.com"),
    ("away", None, "away@example.com"),
    ("quiet", "+6581234504", None),
    ("gone", "+6581234505", None),
    ("late", "+6581234506", None),
    ("nameless", None, None),
]
IDENTIFIERS = {
    "anna": "tel:+6581234501",
    "ben": "tel:+6581234502",
    "away": "mailto:away@example.com",
    "gone": "tel:+6581234505",
    "late": "tel:+6581234506",
}
# customer, day, price, basket
EVENTS = [
    ("anna", "2026-01-05", 120.0, "b1"),
    ("anna", "2026-02-10", 80.0, "b2"),
    ("anna", "2026-03-10", 500.0, "b3"),
    ("ben", "2025-11-05", 40.0, "b4"),
    ("ben-again", "2026-01-20", 70.0, "b5"),
    ("ben-again", "2026-01-21", 75.0, "b6"),
    ("away", "2025-12-24", 900.0, "b7"),
]
UNSPOKEN = [
    ("quiet", "2026-01-06", 9e4, "b8"),
    ("quiet", "2026-02-06", 9e4, "b9"),
    ("gone", "2026-01-07", 8e4, "b10"),
    ("gone", "2026-02-07", 8e4, "b11"),
    ("late", "2026-01-08", 7e4, "b12"),
    ("nameless", "2026-01-09", 6e4, "b13"),
    ("not in the client book", "2026-01-10", 5e4, "b14"),
]


@dataclass
class OneOutlet:
    """An outlet's folder, and HQ and an office that it reaches over TLS."""

    network: FakeNetwork
    home: Path
    people: People
    night: Nightly
    published: PublishedDirectory
    notaries: Notaries

    @property
    def office(self) -> Identity:
        return self.network.office

    @property
    def directory(self) -> Directory:
        """The latest."""
        return self.published.directory

    def write_ledger(self, *events: tuple[str, str, float, str]) -> None:
        names = ["customer_id", "purchased_at", "price", "basket_id"]
        frame = pl.DataFrame(events, schema=names, orient="row").with_columns(
            outlet_id=pl.lit("O1"), list_price=pl.col("price") * 1.25, is_return=pl.lit("false")
        )
        frame.write_csv(self.home / "ledger.csv")

    def tonight(
        self, published: PublishedDirectory | str | None = None, **changes: str
    ) -> dict[str, str]:
        """What roll call says, of the latest directory where none is given."""
        named = self.published if published is None else published
        return {
            "cut_off": CUT_OFF,
            "as_of": AS_OF,
            "outcomes": f"{LOYAL},{LAPSED}",
            "directory": named if isinstance(named, str) else named.directory.digest,
            **changes,
        }

    def anew(self, people: People | None = None, services: Services | None = None) -> Nightly:
        """A night of its own: it reads settings, ledger and client book again."""
        self.night.close_answers()
        found = services or self.network.services
        self.night = Nightly(self.home, people or self.people, found, refusals=[])
        return self.night

    def prepare(self, tonight: Mapping[str, str]) -> Outlet:
        """What another night is ready for, and answers when these days are asked for."""
        return replace(self.anew().prepare(tonight), clock=ASKED.timestamp)

    def slot(self, person: str) -> int:
        key = keys_as_array([self.network.key(IDENTIFIERS[person])])
        [place] = self.directory.places(key).tolist()
        assert isinstance(place, int)
        return place

    def consent(self, person: str) -> None:
        key = self.people.local_key(IDENTIFIERS[person])
        self.people.record_consents([Consent(key, "n", CONSENTED, "mei")])

    def withdraw(self, person: str) -> None:
        self.people.withdraw(self.people.local_key(IDENTIFIERS[person]))


def write_settings(home: Path, **settings: object) -> None:
    values = {
        "ledger": "ledger.csv",
        "clients": "clients.csv",
        "region": "SG",
        "evaluations_a_night": 16,
        "horizon_days": HORIZON,
        "keep_days": 36_500,  # these days stay what they are
        **settings,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    (home / "escapement.toml").write_text("\n".join(lines) + "\n")


def start(folder: Path) -> OneOutlet:
    """Introduces everybody who consented, with one of them at home elsewhere."""
    today = dt.datetime.now(dt.UTC)
    rings = {kind: Keyring(folder / kind.value, kind) for kind in PartyKind}
    made = {kind: ring.create(kind.value, "127.0.0.1:1", today) for kind, ring in rings.items()}
    for kind in (PartyKind.HQ, PartyKind.OFFICE):
        data = rings[kind].public_file.read_bytes()
        rings[PartyKind.OUTLET].trust(Card.decode(data, kind), data)
    at_hq, at_office = Holder(), Holder()
    at_hq.share, at_office.share = (
        rings[k].token_share() for k in (PartyKind.HQ, PartyKind.OFFICE)
    )
    outlet = made[PartyKind.OUTLET]
    network, notaries = serve_network(
        made[PartyKind.HQ], made[PartyKind.OFFICE], outlet, at_hq, at_office
    )
    home = rings[PartyKind.OUTLET].folder
    create_databases(home)
    pl.DataFrame(BOOK, schema=["customer_id", "phone", "email"], orient="row").write_csv(
        home / "clients.csv"
    )
    write_settings(home)
    people = People.open(home, outlet)
    night = Nightly(home, people, network.services, refusals=[])
    one = OneOutlet(network, home, people, night, network.publish(0), notaries)
    one.write_ledger(*EVENTS, *UNSPOKEN)
    for person in ("anna", "ben", "away", "gone"):
        one.consent(person)
    network.elsewhere(*(f"tel:+6598000{place:03d}" for place in range(3)))
    network.elsewhere(IDENTIFIERS["away"])
    night.introduce()
    one.published = network.shown(people)
    one.withdraw("gone")  # by day: the directory still lists it
    one.consent("late")  # by day too: no slot yet
    return one


@pytest.fixture
def one(tmp_path: Path) -> Iterator[OneOutlet]:
    made = start(tmp_path)
    yield made
    made.night.close()
    stop_servers()


def names_in(outlet: Outlet, day: str) -> set[int]:
    return set(outlet.views[day].slots.tolist())


# --- who counts -----------------------------------------------------------------------------------


def test_only_customers_with_consent_and_a_slot_are_in_features(one: OneOutlet) -> None:
    outlet = one.prepare(one.tonight())
    counted = {one.slot(person) for person in ("anna", "ben", "away")}
    assert len(counted) == 3
    assert names_in(outlet, CUT_OFF) == names_in(outlet, AS_OF) == counted
    assert outlet.views[CUT_OFF].sums.counts.sum() == 5
    assert outlet.views[AS_OF].sums.counts.sum() == 6  # a basket between the two days
    assert one.slot("gone") >= 0  # listed, but its consent was withdrawn
    assert one.slot("late") == -1
    assert outlet.keys.tolist() == one.directory.keys.tolist()
    assert outlet.directory == one.directory.digest


def test_a_customer_whose_home_is_elsewhere_has_parts_here_and_no_row(one: OneOutlet) -> None:
    outlet = one.prepare(one.tonight())
    assert one.slot("away") in names_in(outlet, CUT_OFF)
    assert outlet.home.slots.tolist() == sorted([one.slot("anna"), one.slot("ben")])
    for view in outlet.views.values():
        assert view.slots[view.at_home].tolist() == outlet.home.slots.tolist()
    assert len(outlet.home.keys) == len(outlet.home.sums) == 2


def test_who_came_since_the_cut_off_is_at_home_here_and_trains_nothing(one: OneOutlet) -> None:
    one.write_ledger(("anna", "2026-02-10", 80.0, "b2"), ("away", "2026-02-11", 9.0, "b3"))
    outlet = one.prepare(one.tonight())
    view = outlet.views[AS_OF]
    assert len(outlet.home.slots) == len(outlet.views[CUT_OFF].slots) == 0
    assert dict(zip(view.slots.tolist(), view.at_home.tolist(), strict=True)) == {
        one.slot("anna"): True, one.slot("away"): False
    }  # fmt: skip


def test_parts_are_rounded_by_a_secret_of_this_folder_every_night(
    one: OneOutlet, tmp_path: Path
) -> None:
    keys = [bytes(32), bytes(range(32))]
    found = one.prepare(one.tonight()).dither.of_slots(keys, [LOYAL, LAPSED])
    again = one.anew().prepare(one.tonight()).dither.of_slots(keys, [LOYAL, LAPSED])
    assert again.tolist() == found.tolist()
    other = Identity.generate(PartyKind.OUTLET, "O2", "", dt.datetime.now(dt.UTC))
    create_databases(tmp_path)
    with closing(People.open(tmp_path, other)) as elsewhere:
        assert not (elsewhere.dither.of_slots(keys, [LOYAL, LAPSED]) == found).any()


def test_two_customer_ids_of_one_person_are_one_customer(one: OneOutlet) -> None:
    outlet = one.prepare(one.tonight())
    ben = outlet.home.slots.tolist().index(one.slot("ben"))
    view = outlet.views[CUT_OFF]
    assert view.sums.counts[view.slots == one.slot("ben")].tolist() == [3]
    settings = OutletFile.read(one.home / "escapement.toml")
    read = read_events(one.home, settings, dt.datetime.now(dt.UTC)).attached.events
    events = read.filter(pl.col("customer").is_in(["ben", "ben-again"]))
    merged = events.with_columns(customer=pl.lit("both"))
    cut = CutOff.parse(CUT_OFF)
    snapshot = Snapshot.take(merged, cut, cut.date + dt.timedelta(days=60))
    sums = CustomerSums.of(event_features(snapshot), pl.Series(["both"]))
    own = outlet.home.sums.where(np.array([ben]))
    assert all_numbers(own) == all_numbers(sums)
    assert own.vectors(USUAL)[0, -1] == count_feature(np.array([3.0]))[0]
    assert outlet.home.y[LAPSED][ben] == 1
    plan = plan_of(one, Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2)
    home = outlet.home
    alone = replace(home, sums=own, slots=home.slots[[ben]], owners=home.owners[[ben]])
    question = {"scorecard": ONE_CARD, "attachment": b""}
    row = replace(outlet, home=alone)._contribution(plan, question).sums(plan)
    assert 0 < sum(int(value) ** 2 for value in row) <= plan.norm**2  # clipped once, not twice


def test_outcomes_are_judged_over_all_ids_of_a_person(one: OneOutlet) -> None:
    after = [("ben", "2026-02-05", 10.0, "b20"), ("ben-again", "2026-02-06", 10.0, "b21")]
    one.write_ledger(*EVENTS, *after)
    outlet = one.prepare(one.tonight())
    ben = outlet.home.slots.tolist().index(one.slot("ben"))
    assert (outlet.home.y[LOYAL][ben], outlet.home.y[LAPSED][ben]) == (1, 0)


def test_features_see_the_cut_off_and_bands_the_day_that_was_asked_for(one: OneOutlet) -> None:
    first = one.prepare(one.tonight())
    one.write_ledger(*[event for event in EVENTS if event[1] <= AS_OF], *UNSPOKEN)
    later = one.prepare(one.tonight())
    for day in (CUT_OFF, AS_OF):
        assert seen(first, day) == seen(later, day)
    one.write_ledger(*[event for event in EVENTS if event[1] <= CUT_OFF], *UNSPOKEN)
    earlier = one.prepare(one.tonight())
    assert all_numbers(earlier.home.sums) == all_numbers(first.home.sums)
    assert seen(first, CUT_OFF) == seen(earlier, CUT_OFF)
    assert seen(first, AS_OF) != seen(earlier, AS_OF)


def test_who_is_not_in_given_outcomes_trains_nothing_and_keeps_parts(one: OneOutlet) -> None:
    given = pl.DataFrame({"customer_id": ["ben-again", "away"], LOYAL: [1, 1], LAPSED: [0, 0]})
    given.write_csv(one.home / "outcomes.csv")
    write_settings(one.home, outcomes="outcomes.csv")
    outlet = one.prepare(one.tonight())
    assert outlet.home.slots.tolist() == [one.slot("ben")]
    assert {name: y.tolist() for name, y in outlet.home.y.items()} == {LOYAL: [1], LAPSED: [0]}
    assert one.slot("anna") in names_in(outlet, CUT_OFF)


def test_an_outlet_without_any_listed_customer_answers_with_zeros(one: OneOutlet) -> None:
    for person in ("anna", "ben", "away"):
        one.withdraw(person)
    outlet = one.prepare(one.tonight())
    for sums in contributions(one, outlet).values():
        assert not sums.any()


def test_an_empty_directory_is_a_directory(one: OneOutlet) -> None:
    with closing(People("sqlite://", one.people._secret)) as nobody:
        outlet = one.anew(nobody).prepare(one.tonight(Directory.empty().digest))
    assert (len(outlet.keys), len(outlet.home.sums)) == (0, 0)


# --- what leaves ----------------------------------------------------------------------------------


def plan_of(
    one: OneOutlet, purpose: Purpose, dimension: int, norm: float, **changes: object
) -> ReleasePlan:
    scale = 2**20
    units = int(norm * scale)
    plan = ReleasePlan(
        "r", "", "", purpose, dimension, 64, scale, units, 2**50, units * 8, 3,
        "", one.directory.digest, CUT_OFF, "", UNLOCK.public.hex(), 2**40,
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]


USUAL = 0.2 * RATE_BOUNDS
CARDS = tuple(
    Scorecard.of(outcome, np.linspace(-0.5, 1.0, DIMENSION), USUAL) for outcome in (LOYAL, LAPSED)
)
ONE_CARD, BOTH_CARDS = encode_scorecards(CARDS[:1]), encode_scorecards(CARDS)


def all_numbers(sums: CustomerSums) -> list[list[object]]:
    return [part.tolist() for part in (sums.points, sums.rates, sums.counts)]


def seen(outlet: Outlet, day: str) -> list[list[object]]:
    view = outlet.views[day]
    return [*all_numbers(view.sums), view.slots.tolist(), view.at_home.tolist()]


def fine_book(one: OneOutlet, entries: np.ndarray) -> bytes:
    """As HQ makes it: of the keys and of the nonces that came with registrations."""
    nonces = list(one.network.slots.homes.values())
    kind = SealKind.FINE
    return make_book(entries, one.directory, as_of=CUT_OFF, kind=kind, nonces=nonces).encode()


def entries_of(one: OneOutlet) -> np.ndarray:
    return np.arange(2 * one.directory.slots, dtype=np.uint8).reshape(-1, 2) % CALIBRATION_BINS


def contributions(one: OneOutlet, outlet: Outlet) -> dict[str, np.ndarray]:
    """The sums of everything that can be asked, before the mask."""
    matrix = Whitening(np.eye(DIMENSION), np.ones(DIMENSION - 1), 1.0, np.eye(DIMENSION)).encode()
    asked = {
        "usual": (plan_of(one, Purpose.USUAL, USUAL_DIMENSION, USUAL_CLIP), b""),
        "moments": (plan_of(one, Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2), b""),
        "training": (
            plan_of(one, Purpose.TRAINING, gradient_dimension(2), 2.0),
            matrix,
        ),
        "evaluation": (plan_of(one, Purpose.EVALUATION, counts_dimension(2), 2**0.5), b""),
        "calibration": (
            plan_of(one, Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2)),
            fine_book(one, entries_of(one)),
        ),
    }
    sums = {
        name: outlet._contribution(plan, {"scorecard": BOTH_CARDS, "attachment": attachment}).sums(
            plan
        )
        for name, (plan, attachment) in asked.items()
    }
    for day in (CUT_OFF, AS_OF):
        plan = seal_of(len(outlet.keys), day)
        sums[f"parts {day}"] = outlet._parts(plan, {"scorecard": BOTH_CARDS}).sums(plan)
    return sums


def test_customers_without_consent_or_withdrawn_change_no_byte_of_any_contribution(
    one: OneOutlet,
) -> None:
    whole = contributions(one, one.prepare(one.tonight()))
    one.write_ledger(*EVENTS)
    less = contributions(one, one.prepare(one.tonight()))
    assert {key: sums.tobytes() for key, sums in whole.items()} == {
        key: sums.tobytes() for key, sums in less.items()
    }
    assert len(whole) == 7
    assert all(sums.any() for sums in whole.values())


def test_a_withdrawal_takes_the_customer_out_of_the_same_nights_sums(one: OneOutlet) -> None:
    before = contributions(one, one.prepare(one.tonight()))
    one.withdraw("anna")
    after = contributions(one, one.prepare(one.tonight()))
    one.write_ledger(*[event for event in EVENTS if event[0] != "anna"])
    without = contributions(one, one.prepare(one.tonight()))
    for key, sums in after.items():
        assert sums.tobytes() == without[key].tobytes()
        assert sums.tobytes() != before[key].tobytes()


def test_calibration_reads_the_entries_of_home_customers_from_hqs_own_book(one: OneOutlet) -> None:
    outlet = one.prepare(one.tonight())
    entries = entries_of(one)
    found = contributions(one, outlet)["calibration"]
    home = outlet.home
    y = np.stack([home.y[LOYAL], home.y[LAPSED]], axis=1)
    expected = calibration_rows(entries[home.slots], y).sum(axis=0)
    assert np.round(found / 2**20).tolist() == expected.tolist()
    assert expected.sum() == 2 * 2  # of two customers, a cell a score


# --- directories ----------------------------------------------------------------------------------


def ask(one: OneOutlet, plan: ReleasePlan | SealPlan) -> dict[str, bytes]:
    """A question that the pinned office signed."""
    return question(plan, one.office.signing, cut_off=CUT_OFF, scorecard=ONE_CARD)


def test_an_outlet_is_ready_for_one_directory_and_refuses_plans_of_another(one: OneOutlet) -> None:
    outlet = one.prepare(one.tonight())
    plan = plan_of(one, Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2)
    one.network.elsewhere("tel:+6598000777")
    second = one.network.publish(2)
    named = second.directory.digest
    assert named != one.directory.digest
    with pytest.raises(QuestionRefused, match="directory is not tonight's"):
        outlet.answer(ask(one, replace(plan, directory=named)))
    assert outlet.answer(ask(one, plan)).vector.shape == (MOMENTS_DIMENSION,)
    anew = one.prepare(one.tonight(second))
    with pytest.raises(QuestionRefused, match="directory is not tonight's"):
        anew.answer(ask(one, replace(plan, release="r2")))
    with pytest.raises(QuestionRefused, match="another plan of this name"):
        anew.answer(ask(one, replace(plan, directory=named)))
    other = replace(plan, release="r3", directory=named)
    assert anew.answer(ask(one, other)).vector.shape == (MOMENTS_DIMENSION,)


def kept(one: OneOutlet) -> tuple[object, ...]:
    """Where people stand, their consents, and the directories on disk."""
    files = sorted(file.name for file in one.home.glob("directory-*.bin"))
    return one.people.counts(), one.people.consents().to_dicts(), files


def test_a_directory_of_another_digest_than_roll_call_named_is_refused(one: OneOutlet) -> None:
    before = kept(one)
    one.network.elsewhere("tel:+6598000777")
    second = one.network.publish(2)
    name = one.directory.digest
    one.network.library.instead[name] = one.network.library.directory(second.directory.digest, "")
    with pytest.raises(PublicationRefused, match=f"got .*, expected {name[:16]}; tell HQ"):
        one.prepare(one.tonight())
    with pytest.raises(ServiceRefused, match="none of this digest"):
        one.prepare(one.tonight("ab" * 32))
    assert kept(one) == before


@pytest.mark.parametrize("data", [b"", b"escapement/v1/directory\n{}\n", b"x" * 100])
def test_a_malformed_directory_is_refused(one: OneOutlet, data: bytes) -> None:
    before = kept(one)
    for said in (data, one.published.countersigned.encode() + data):
        one.network.library.instead[digest(data)] = said
        with pytest.raises((DirectoryRefused, PublicationRefused)):
            one.prepare(one.tonight(digest(data)))
    assert kept(one) == before


def false_directories(one: OneOutlet) -> dict[str, Directory]:
    """What HQ may make by itself: each lacks anna, ben and away, or moves them."""
    good = one.directory
    random = np.random.default_rng(5).integers(0, 256, good.rows.shape).astype(np.uint8)
    nothing = np.zeros_like(good.rows)
    return {
        "of random bytes": replace(good, rows=random),
        "all blank": replace(good, rows=nothing, batch=2),
        "of no slot": replace(good, rows=good.rows[:0], batch=9),
        "in another order": replace(good, rows=good.rows[::-1].copy()),
    }


def test_a_directory_that_the_office_did_not_countersign_ends_no_consent(one: OneOutlet) -> None:
    before, press = kept(one), one.network.press
    for directory in false_directories(one).values():
        own = replace(press, office=press.hq).countersigned(directory, 9)
        of_another = press.countersigned(one.directory, 9)
        for said in (b"", own.encode(), of_another.encode()):
            one.network.library.instead[directory.digest] = said + directory.encode()
            with pytest.raises(PrivacyError):
                one.prepare(one.tonight(directory.digest))
            assert kept(one) == before


def test_where_no_home_tag_is_ours_nobody_is_at_home_and_parts_go_on(one: OneOutlet) -> None:
    slots = one.network.slots
    slots.rows = [row and row._replace(nonce=nonce_of(fresh_secret())) for row in slots.rows]
    one.published = one.network.publish(2)
    outlet = one.prepare(one.tonight())
    assert len(outlet.home.sums) == 0
    assert not outlet.views[CUT_OFF].at_home.any()
    assert names_in(outlet, CUT_OFF) == {one.slot(person) for person in ("anna", "ben", "away")}


def test_tonights_directory_goes_on_from_last_nights_and_both_give_the_same(
    one: OneOutlet,
) -> None:
    first = one.prepare(one.tonight())
    one.network.withdrawn_elsewhere(IDENTIFIERS["away"])
    one.network.elsewhere("tel:+6598000777")
    second = one.network.publish(2)
    outlet = one.prepare(one.tonight(second))
    assert len(outlet.keys) == len(first.keys) + 1
    assert names_in(outlet, CUT_OFF) == {one.slot(person) for person in ("anna", "ben")}
    assert one.people.counts()[State.BURIED] == 1
    with pytest.raises(PublicationRefused, match="number 2, number 3 is here already"):
        one.prepare(one.tonight())
    assert one.people.counts()[State.BURIED] == 1


# --- what stops a night, and what does not --------------------------------------------------------


def test_services_that_are_down_do_not_stop_the_night(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Keyring(one.home, PartyKind.OUTLET).identity()
    nowhere = replace(one.network.hq_card, service_address="127.0.0.1:9")
    down = Services.connect(identity, nowhere, nowhere, timeout=0.2)
    night = one.anew(services=down)
    with caplog.at_level(logging.WARNING):
        night.introduce()
    assert "new customers wait for tomorrow" in caplog.text
    down.close()
    night.services = one.network.services
    assert len(night.prepare(one.tonight()).home.sums) == 2


def test_what_was_asked_before_the_relay_failed_is_in_the_report_with_the_time_of_writing(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    one.people._clock = lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=1)  # a new day's quota
    one.network.relay.refuses = True
    hurried(one)
    night = one.anew()
    night.at -= dt.timedelta(days=3)  # it was opened a while ago
    assert isinstance(run(night), HqUnreachable)
    assert "new customers wait for tomorrow: the privacy office: no" in caplog.text
    page = (one.home / "report.html").read_text()
    assert "<strong>16 evaluations</strong> were asked" in page
    assert "<strong>0 sealed messages</strong>" in page
    assert "1 brought a new customer's token" in page
    assert f"the night of {dt.datetime.now(dt.UTC):%Y-%m-%d}" in page
    with closing(NightLog.open(one.home)) as log:
        [night_row] = log.last(1)
    assert night_row.sent == Introduced(asked=16, evaluated=1)


def test_a_days_second_night_says_why_nobody_gets_a_token(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    one.night.introduce()
    assert one.people.counts()[State.KNOWN] == 1  # the late one
    assert "asked for already today, in UTC; people who wait for tomorrow's: 1" in caplog.text


def test_a_spent_quota_does_not_stop_the_night(one: OneOutlet) -> None:
    one.network.at_hq.quota = 0
    one.night.introduce()
    assert len(one.prepare(one.tonight()).home.sums) == 2


def test_a_holder_with_another_key_does_not_stop_the_night_and_the_operator_hears_of_it(
    one: OneOutlet,
) -> None:
    one.people._clock = lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=1)  # a new day's quota
    one.network.at_office.share = TokenShare.generate()
    one.night.introduce()
    assert [type(refusal) for refusal in one.night.refusals] == [TokenRefused]
    assert one.people.counts()[State.KNOWN] == 1  # the late one has no token
    assert len(one.prepare(one.tonight()).home.sums) == 2


def test_a_missing_client_book_is_named_and_withdrawals_leave_all_the_same(
    one: OneOutlet,
) -> None:
    (one.home / "clients.csv").unlink()
    one.withdraw("anna")
    night = one.anew()
    night.introduce()
    [error] = night.refusals
    assert isinstance(error, LedgerError)
    assert "no such file" in str(error)
    assert night.introduced is not None
    assert night.introduced.withdrawn == 2  # anna, and who withdrew before
    with pytest.raises(LedgerError, match="no such file"):
        night.prepare(one.tonight())


def test_what_is_handed_in_leaves_where_hq_does_not_answer(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    """Else HQ, by answering some outlets only, could choose who is in a batch."""
    one.withdraw("anna")
    with closing(grpc.insecure_channel("127.0.0.1:1")) as nobody:
        night = one.anew(services=replace(one.network.services, hq=nobody, timeout=2.0))
        night.introduce()
    assert night.introduced is not None
    assert night.introduced.withdrawn == 2
    assert "no tokens tonight: HQ: " in caplog.text


def test_a_night_says_where_hq_withholds_what_the_office_countersigned(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    one.prepare(one.tonight())
    press, here = one.network.press, one.published
    one.notaries.directory = here.countersigned.encode()
    one.night.countersign()
    assert "has not shown it here" not in caplog.text
    later = replace(one.directory, batch=one.directory.batch + 1)
    one.notaries.directory = press.countersigned(later, here.number + 1).encode()
    # One entry more, or nobody is asked.
    record_act_in(one.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    one.anew().countersign()
    assert f"countersigned number {here.number + 1} on " in caplog.text


def test_an_outcome_that_no_outlet_can_judge_is_refused(one: OneOutlet) -> None:
    with pytest.raises(FeatureError, match="y_flip7"):
        one.prepare(one.tonight(outcomes="y_flip7"))
    with pytest.raises(FeatureError, match="cut-off"):
        one.prepare(one.tonight(cut_off="2026-02-30"))


class Desk(People):
    """Somebody withdraws at the desk while the night reads its ledger."""

    @override
    def listed(self, directory: Directory) -> pl.DataFrame:
        found = super().listed(directory)
        self.withdraw(self.local_key(IDENTIFIERS["anna"]))
        return found


def test_a_withdrawal_while_the_ledger_is_read_does_not_stop_the_night(one: OneOutlet) -> None:
    desk = Desk(f"sqlite:///{one.home / 'outlet.db'}", one.people._secret)
    outlet = one.anew(desk).prepare(one.tonight())
    assert len(outlet.home.keys) == len(outlet.home.sums) == len(outlet.home.slots)
    assert one.slot("ben") in outlet.home.slots.tolist()
    desk.close()


def test_an_outlet_keeps_the_floors_of_its_file(one: OneOutlet) -> None:
    write_settings(one.home)
    toml = one.home / "escapement.toml"
    toml.write_text(toml.read_text() + "[floors]\nleast_quorum = 7\n")
    outlet = one.prepare(one.tonight())
    assert outlet.settings == OutletSettings(least_quorum=7)
    with pytest.raises(QuestionRefused, match="least is 7"):
        outlet.answer(ask(one, plan_of(one, Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2)))


# --- from step to step ----------------------------------------------------------------------------


def run(night: Nightly) -> Exception | None:
    """Runs all steps where HQ's night cannot be reached, and says how the night ended."""
    try:
        night_run._run(night)
    except (OutletError, FeatureError, OSError) as error:
        return error
    return None


def hurried(one: OneOutlet, **settings: object) -> None:
    """Nobody listens where HQ's card says; the outlet finds out at once."""
    write_settings(one.home, join_minutes=0.0001, **settings)


def events_of(one: OneOutlet) -> int:
    return len(EventStore(one.home).rows())


def test_without_hq_the_report_and_retention_run_and_the_error_decides(one: OneOutlet) -> None:
    at = dt.datetime.now(dt.UTC)
    old = (at.date() - dt.timedelta(days=100)).isoformat()
    one.write_ledger(("anna", old, 1.0, "b1"), ("anna", at.date().isoformat(), 2.0, "b2"))
    hurried(one)
    assert one.anew().take_in().intake.used == 2
    hurried(one, keep_days=50)
    error = run(one.anew())
    assert isinstance(error, HqUnreachable)
    health = read_health(one.home)
    assert health is not None
    assert (health.status, health.step) == (Condition.FAILED, NightStep.RETENTION)
    assert health.error == str(error)
    assert (health.rows, health.quarantined, health.last_complete) == (2, 0, None)
    assert (one.home / "report.html").exists()
    assert events_of(one) == 2  # HQ has never seen this clock: too old counts no more, and stays
    intake = one.anew().take_in().intake
    assert (intake.used, intake.left_out) == (1, 1)


def test_too_many_bad_rows_join_no_night_and_withdrawals_leave(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    one.write_ledger(*EVENTS, ("anna", "2026-13-01", 1.0, "b"))
    hurried(one, most_quarantined=0.1)
    one.withdraw("anna")
    night = one.anew()
    assert isinstance(run(night), TooManyBad)
    assert night.introduced is not None
    assert night.introduced.withdrawn == 2
    assert "no answers tonight" in caplog.text
    assert "HqUnreachable" not in caplog.text
    assert "2026-13-01" not in caplog.text
    health = read_health(one.home)
    assert health is not None
    assert (health.rows, health.quarantined) == (len(EVENTS) + 1, 1)
    assert "escapement-outlet check" in str(health.error)


class Broken(Nightly):
    """A step with a defect."""

    @override
    def fetch_book(self) -> str | None:
        raise KeyError(SECRET)


def test_a_defect_in_a_step_is_said_by_its_type_and_the_other_steps_go_on(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    hurried(one)
    night = Broken(one.home, one.people, one.network.services, [])
    night.refusals.append(Unforeseen("before", KeyError()))
    first = run(night)
    assert isinstance(first, Unforeseen)
    assert first.what == "before"
    of_book = [error for error in night.refusals if isinstance(error, Unforeseen)][-1]
    assert (of_book.what, "KeyError" in str(of_book)) == ("step book", True)
    lines = [record for record in caplog.records if record.getMessage() == str(of_book)]
    assert [JsonLines().format(line).count(SECRET) for line in lines] == [0]
    assert json.loads(JsonLines().format(lines[0]))["where"][-1].endswith(" fetch_book")
    assert (one.home / "report.html").exists()
    with closing(NightLog.open(one.home)) as log:
        assert log.last(1)[0].error == "Unforeseen"


def test_the_ledger_is_read_once_a_night_and_progress_hears_of_its_rows(one: OneOutlet) -> None:
    night = one.anew()
    night.shown = Counted()
    night.take_in()
    one.write_ledger(*EVENTS[:1])
    assert night.prepare(one.tonight()).views[CUT_OFF].sums.counts.sum() == 5
    assert night.shown.count == len(EVENTS) + len(UNSPOKEN)


class Counted(NightProgress):
    """Counts rows."""

    count = 0

    @override
    def rows(self, count: int) -> None:
        self.count += count


def test_events_older_than_the_policy_leave_that_nights_features(one: OneOutlet) -> None:
    hurried(one)
    assert one.prepare(one.tonight()).views[CUT_OFF].sums.counts.sum() == 5
    today = dt.datetime.now(dt.UTC).date()
    hurried(one, keep_days=(today - dt.date(2026, 1, 1)).days)
    assert one.prepare(one.tonight()).views[CUT_OFF].sums.counts.sum() == 3


def test_the_book_comes_also_where_no_night_was_joined(one: OneOutlet) -> None:
    hurried(one)
    codes = band_codes([("building", "low")] * one.directory.slots)
    book = make_book(codes, one.directory, as_of=AS_OF, made_at=time.time())
    one.network.library.latest = one.network.press.book(book, one.published.number)
    assert isinstance(run(one.anew()), HqUnreachable)
    health = read_health(one.home)
    assert health is not None
    assert health.book_as_of == AS_OF


# --- the log --------------------------------------------------------------------------------------


def health_of(one: OneOutlet) -> Health:
    found = read_health(one.home)
    assert found is not None
    return found


def page_of(one: OneOutlet) -> str:
    return (one.home / "report.html").read_text()


def test_a_night_has_the_log_countersigned_once_a_day_and_says_so(one: OneOutlet) -> None:
    hurried(one)
    record_act_in(one.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    run(one.anew())
    at = health_of(one).log_countersigned
    assert at is not None
    assert dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(at) < dt.timedelta(minutes=2)
    assert health_of(one).log_findings == 0
    assert f"countersigned the log of look-ups, decisions and changes on {at[:10]}" in page_of(one)
    run(one.anew())
    assert len(one.notaries.shown) == 1
    assert health_of(one).log_countersigned == at
    record_act_in(one.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    run(one.anew())
    assert len(one.notaries.shown) == 2


def test_a_log_that_nothing_was_added_to_is_countersigned_too(one: OneOutlet) -> None:
    hurried(one)
    run(one.anew())
    assert [statement.number for statement in one.notaries.notary.last()] == [1]


def test_without_a_notary_the_night_says_so_and_goes_on(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    hurried(one)
    one.notaries.before = lambda context: context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
    night = one.anew()
    run(night)
    assert {type(error) for error in night.refusals} == {HqUnreachable}
    assert "the log is not countersigned tonight: the privacy office: UNIMPLEMENTED" in caplog.text
    assert (health_of(one).step, health_of(one).log_countersigned) == (NightStep.RETENTION, None)
    assert "has not countersigned the log" in page_of(one)


def test_a_log_that_contradicts_itself_is_not_countersigned_and_stops_nothing_else(
    one: OneOutlet,
) -> None:
    hurried(one)
    for _ in range(3):
        record_act_in(one.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    run(one.anew())
    with closing(sqlite3.connect(one.home / RIGHTS_FILE)) as store:
        store.execute("DELETE FROM log WHERE number = 2")
        store.commit()
    night = one.anew()
    run(night)
    assert [type(error) for error in night.refusals] == [HqUnreachable, LogContradicted]
    assert "entry 2 is missing; keep a copy of rights.db" in str(night.refusals[1])
    assert len(one.notaries.shown) == 1
    assert (health_of(one).step, health_of(one).log_findings) == (NightStep.RETENTION, 1)
    assert "Entry 2 is missing." in page_of(one)


def test_a_statement_that_is_not_the_offices_is_an_error_of_the_night(one: OneOutlet) -> None:
    hurried(one)
    one.notaries.notary = Notary("sqlite://", SigningKey.generate())
    night = one.anew()
    run(night)
    assert [type(error) for error in night.refusals] == [HqUnreachable, HeadRefused]
