"""What an outlet gets ready for a night: who counts, as whom, and what leaves."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.calibration import (
    CALIBRATION_BINS,
    calibration_dimension,
    calibration_norm,
    calibration_rows,
)
from features.events import DIMENSION, CustomerSums, count_feature, event_features
from features.learning import (
    MOMENTS_DIMENSION,
    ROW_CLIP,
    USUAL_CLIP,
    USUAL_DIMENSION,
    Whitening,
    counts_dimension,
    gradient_dimension,
)
from features.snapshot import CutOff, Snapshot
from outlet_client.database import create_databases
from outlet_client.ledger.event_reader import read_events
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile
from privacy.directory import Directory
from privacy.identity import Identity, PartyKind
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind
from tests.outlet_client.nightly_outlet import (
    AS_OF,
    BOTH_CARDS,
    CUT_OFF,
    EVENTS,
    LAPSED,
    LOYAL,
    ONE_CARD,
    UNSPOKEN,
    USUAL,
    OneOutlet,
    names_in,
    one,
    plan_of,
    write_settings,
)
from tests.outlet_client.questions import seal_of
from tests.shelves import make_book

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.contribution.contributions import Outlet

__all__ = ["one"]


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
