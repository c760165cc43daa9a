"""Calibration: what a fine book must be, and what an outlet counts by it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.calibration import calibration_dimension, calibration_norm, calibration_rows
from features.scorecard import encode_scorecards
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.errors import QuestionRefused
from privacy.books import Book, BookRefused
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind
from privacy.slot_keys import OneTimeKey
from tests.builders import outlet_at
from tests.networks import SECOND, TARGET, small_world
from tests.outlet_client.contributing import (
    BOTH,
    BOTH_CARDS,
    MOMENTS,
    OUTLETS,
    Stage,
    bins_of,
    fine_book,
    fresh,
    plan_of,
    seal_of,
    sealed_bins,
)
from tests.shelves import SealKeys

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.contribution.contributions import Outlet
    from privacy.two_key_sum import Contribution


def calibrated(outlet: Outlet, book: bytes, scores: int = 2) -> Contribution:
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(scores), calibration_norm(scores))
    cards = encode_scorecards(BOTH[:scores])
    return outlet._contribution(plan, {"scorecard": cards, "attachment": book})


@pytest.mark.parametrize("scores", [1, 2])
def test_calibration_counts_each_home_customer_in_the_bins_that_the_book_names(
    scores: int,
) -> None:
    world = small_world()
    entries = bins_of(world.customers, scores)
    for outlet in OUTLETS.values():
        rows = calibrated(outlet, fine_book(world.customers, entries), scores).rows
        home = outlet.home
        y = np.stack([home.y[card.outcome] for card in BOTH[:scores]], axis=1)
        expected = calibration_rows(entries[home.slots], y)
        assert len(home.slots) > 10
        assert rows.tolist() == expected.tolist()


def test_calibration_reads_the_books_columns_in_the_order_of_the_questions_scorecards() -> None:
    world = small_world()
    entries = bins_of(world.customers)
    outlet = OUTLETS["O1"]
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2))
    question = {
        "scorecard": encode_scorecards(BOTH[::-1]),
        "attachment": fine_book(world.customers, entries),
    }
    home = outlet.home
    y = np.stack([home.y[SECOND], home.y[TARGET]], axis=1)
    expected = calibration_rows(entries[home.slots], y)
    assert outlet._contribution(plan, question).rows.tolist() == expected.tolist()


@pytest.mark.parametrize("unread", ["many outlets", "newer than the seal"])
def test_who_has_no_bin_is_counted_in_no_cell(unread: str) -> None:
    """At many outlets a sum may have wrapped; who came since the seal is in none."""
    world, outlet = small_world(), OUTLETS["O1"]
    bins, home = bins_of(world.customers), outlet.home
    without = home.slots >= home.slots[len(home.slots) // 2]
    if unread == "many outlets":
        book = fine_book(world.customers, bins, tuple(home.slots[without].tolist()))
    else:
        book = fine_book(world.customers, bins[: home.slots[without].min()])
    rows = calibrated(outlet, book).rows
    y = np.stack([home.y[card.outcome] for card in BOTH], axis=1)
    expected = calibration_rows(bins[home.slots], y)
    expected[without] = 0.0
    assert rows.tolist() == expected.tolist()
    assert 0 < without.sum() < len(without)


@given(st.integers(0, 2**32), st.booleans())
def test_a_garbage_fine_book_raises_nothing_and_no_row_is_longer_than_the_norm(
    seed: int,
    in_the_clear: bool,  # noqa: FBT001  (with or without)
) -> None:
    random = np.random.default_rng(seed)
    people = small_world().customers
    garbage = random.integers(0, 256, (len(people), 2)).astype(np.uint8)
    outlet = OUTLETS["O1"]
    book = fine_book(people, garbage % 16)
    if in_the_clear:
        book = replace(Book.decode(book), body=garbage.tobytes()).encode()
    contribution = calibrated(outlet, book)
    lengths = np.linalg.norm(contribution.rows, axis=1)
    assert len(lengths) == len(outlet.home.slots)
    assert set(lengths.tolist()) <= {0.0, calibration_norm(2)}
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2))
    assert np.abs(contribution.sums(plan)).max() <= plan.norm * len(lengths)


def calibration_question(
    office: Stage, book: bytes, cards: bytes = BOTH_CARDS, release: str = "cells", **told: Any
) -> dict[str, bytes]:
    """Asks for the counts that calibrate both scores."""
    plan = plan_of(
        Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2), release=release
    )
    return office.ask(plan, scorecard=cards, attachment=book, **told)


PEOPLE = small_world().customers
MORE = pl.concat([PEOPLE, pl.Series(PEOPLE.name, ["another"])])


def other_books(sealed: SealKeys) -> dict[str, bytes]:
    """Books that are not of the seal which was answered, though each says it is but for one."""
    other = OneTimeKey.generate()
    bins = bins_of(PEOPLE)
    good = Book.decode(fine_book(PEOPLE, bins, sealed=sealed))
    bands = np.zeros((len(PEOPLE), 3), np.uint8)
    return {
        "an office's key of HQ's own": fine_book(
            PEOPLE, bins, sealed=replace(sealed, office=other)
        ),
        "another key of HQ's": fine_book(PEOPLE, bins, sealed=replace(sealed, hq=other)),
        "another plan": fine_book(PEOPLE, bins, sealed=replace(sealed, plan="ab" * 32)),
        "all of its own": fine_book(PEOPLE, bins),
        "another day": fine_book(PEOPLE, bins, sealed=sealed, as_of="2001-01-01"),
        "a slot more": fine_book(MORE, bins_of(MORE), sealed=sealed),
        "a slot less": fine_book(PEOPLE[:-1], bins_of(PEOPLE[:-1]), sealed=sealed),
        "no slot": fine_book(PEOPLE[:0], bins_of(PEOPLE[:0]), sealed=sealed),
        "a slot that came since": fine_book(MORE, bins, sealed=sealed),
        "less sealed": fine_book(PEOPLE, bins[:-1], sealed=sealed),
        "one outcome": fine_book(PEOPLE, bins_of(PEOPLE, 1), sealed=sealed),
        "a band book": fine_book(PEOPLE, bands, kind=SealKind.BAND, nonces=None, sealed=sealed),
        "another directory": replace(good, directory="ab" * 32).encode(),
    }


@pytest.mark.parametrize("which", other_books(SealKeys()))
def test_a_fine_book_that_is_not_of_the_seal_that_was_answered_is_refused(which: str) -> None:
    """With an office's key of its own HQ knows each pad, and writes any bin for anybody."""
    office = Stage(fresh())
    sealed = sealed_bins(office)
    with pytest.raises(QuestionRefused, match=r"another seal|no fine book of tonight"):
        office.outlet.answer(calibration_question(office, other_books(sealed)[which]))
    good = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed)
    share = office.outlet.answer(calibration_question(office, good))
    assert share.vector.shape == (calibration_dimension(2),)


def test_a_fine_book_is_counted_with_the_night_and_the_scorecards_that_it_was_sealed_with() -> None:
    office = Stage(fresh())
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed_bins(office))
    turned = encode_scorecards(BOTH[::-1])
    for told in ({"night": "another"}, {"cards": turned}):
        with pytest.raises(QuestionRefused, match="away when its bins were sealed"):
            office.outlet.answer(calibration_question(office, book, **told))
    assert office.outlet.answer(calibration_question(office, book)).vector.any()


def test_an_outlet_that_was_away_when_bins_were_sealed_stays_away_from_their_calibration() -> None:
    office, other = Stage(fresh()), Stage(fresh())
    sealed = sealed_bins(other)
    office.outlet.answer(office.ask(seal_of(office.outlet), scorecard=BOTH_CARDS))  # of bands
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed)
    with pytest.raises(QuestionRefused, match="away when its bins were sealed"):
        office.outlet.answer(calibration_question(office, book))
    assert office.outlet.answer(office.ask(MOMENTS)).vector.any()  # all else is answered


def test_of_two_seals_of_bins_the_last_is_calibrated_and_a_refused_one_changes_nothing() -> None:
    office = Stage(fresh())
    first, last = sealed_bins(office, release="first"), sealed_bins(office, release="last")
    with pytest.raises(QuestionRefused, match="least is 3"):
        office.outlet.answer(
            office.ask(seal_of(office.outlet, SealKind.FINE, quorum=2), scorecard=BOTH_CARDS)
        )
    with pytest.raises(QuestionRefused, match="of another seal"):
        office.outlet.answer(
            calibration_question(office, fine_book(PEOPLE, bins_of(PEOPLE), sealed=first))
        )
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=last)
    assert office.outlet.answer(calibration_question(office, book)).vector.any()


def test_a_restart_between_seal_and_calibration_changes_nothing(tmp_path: Path) -> None:
    url = outlet_at(tmp_path)
    office = Stage(fresh(answers=AnswerStore(url)))
    sealed = sealed_bins(office)
    office.outlet.answers.close()
    office.outlet = replace(office.outlet, answers=AnswerStore(url))
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed)
    assert office.outlet.answer(calibration_question(office, book)).vector.any()
    office.outlet.answers.close()


@pytest.mark.parametrize("book", [b"", b"x", b"\0\0\0\x02{}", bytes(100)])
def test_what_is_no_book_is_refused_as_one(book: bytes) -> None:
    office = Stage(fresh())
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(1), calibration_norm(1))
    with pytest.raises(BookRefused):
        office.outlet.answer(office.ask(plan, attachment=book))
