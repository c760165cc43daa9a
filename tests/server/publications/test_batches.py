"""Batches, networks and sizes of directories; what the office keeps; honest histories."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.directory import (
    DirectoryRefused,
)
from privacy.publications import (
    PublicationTooSoon,
)
from privacy.tokens import TokenShare
from server.office import directory_rules
from tests.privacy.slots import rows_of, slot_key
from tests.server.publications.shown_changes import HOUR, changes_of, refuse
from tests.server.slot_histories import NETWORK, HonestHq, PublishingOffice

if TYPE_CHECKING:
    import numpy as np

pytestmark = pytest.mark.usefixtures("both_engines")


@pytest.mark.parametrize("batch", [4, 5, 2**53])
def test_a_directory_holds_no_batch_that_the_relay_has_not_closed(
    office: PublishingOffice, hq: HonestHq, batch: int
) -> None:
    office.open_batch = 4
    later = changes_of(hq, batch, added=rows_of(7))
    refuse(office, f"got batch {batch}, expected 3, as countersigned last, to 3, as closed", later)
    office.open_batch = batch + 1
    if batch < 2**32:
        assert office.countersign(later, {}).payload
    else:  # of which nothing is kept in four bytes
        refuse(office, f"got batch {batch}, expected 3, .* to {2**32 - 1}", later)


def test_a_directory_does_not_go_back_to_an_earlier_batch(
    office: PublishingOffice, hq: HonestHq
) -> None:
    refuse(office, "got batch 2, expected 3", changes_of(hq, 2))


def test_a_batch_has_one_content(office: PublishingOffice, hq: HonestHq) -> None:
    why = "got other content than was countersigned of batch 3"
    refuse(office, why, changes_of(hq, 3, added=rows_of(7)))
    refuse(office, why, changes_of(hq, 3, (1,)), {1: hq.withdrawn(1, 3)})
    office.clock.at += 100 * HOUR
    refuse(office, why, changes_of(hq, 3, added=rows_of(7)))


def test_before_the_first_batch_there_is_nobody(office: PublishingOffice) -> None:
    nobody = HonestHq()
    refuse(office, "other content .* of batch 0", changes_of(nobody, 0, added=rows_of(7)))


def test_changes_are_of_the_last_directory_and_not_of_an_earlier_one(
    office: PublishingOffice, hq: HonestHq
) -> None:
    for base in [name for name in hq.past if name != hq.directory.digest]:
        changes = replace(changes_of(hq, 4), base=base)
        refuse(office, f"got changes of {base[:16]}, expected of", changes)


@pytest.mark.parametrize(
    "network", [b"", bytes(32), b"\xff" * 32, NETWORK[:-1]], ids=["none", "zeros", "ones", "cut"]
)
def test_the_first_network_is_a_token_key_and_stays(
    office: PublishingOffice, network: bytes
) -> None:
    hq = HonestHq()
    refuse(office, "its network is no token key", changes_of(hq, 1), network=network or b"x")
    office.show(hq)
    refuse(office, "of another network", changes_of(hq, 1), network=network)
    refuse(office, "of another network", changes_of(hq, 1), network=TokenShare.generate().public)


def test_more_slots_than_a_row_holds_are_refused(
    office: PublishingOffice, hq: HonestHq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_rules, "MOST_SLOTS", 6)
    refuse(office, "got 7 slots, expected at most 6", changes_of(hq, 4, added=rows_of(7, 8)))
    assert office.countersign(changes_of(hq, 4, added=rows_of(7)), {}).payload


@pytest.mark.parametrize("rows", [rows_of(*range(10, 19)), rows_of(*[None] * 9)])
def test_a_directory_grows_by_no_more_slots_than_there_were_messages_in_its_batches(
    office: PublishingOffice, hq: HonestHq, rows: np.ndarray
) -> None:
    """Blank slots and keys of nobody would be in it for good, until nothing more has room."""
    office.sizes = {**dict.fromkeys(range(1, 4), 99), 4: 4, 5: 4, 6: 99}
    why = "got 9 new slots, expected at most 8, one a message of batches 4 to 5"
    refuse(office, why, changes_of(hq, 5, added=rows))
    assert office.countersign(changes_of(hq, 5, added=rows[:8]), {}).payload


@pytest.mark.parametrize("unknown", [4, 5])
def test_after_a_relay_was_lost_nobody_knows_how_many_can_have_registered(
    office: PublishingOffice, hq: HonestHq, unknown: int
) -> None:
    office.sizes = {batch: 1 for batch in range(1, 9) if batch != unknown}
    assert office.countersign(changes_of(hq, 5, added=rows_of(10, 11, 12)), {}).payload


@pytest.mark.sqlite_only
def test_of_a_withdrawn_key_a_hash_stays_that_is_another_one_at_each_office(
    tmp_path: Path,
) -> None:
    kept, key = [], slot_key(1).public
    for name in ("one", "two"):
        file = tmp_path / f"{name}.db"
        office, hq = PublishingOffice(f"sqlite:///{file}", 0), HonestHq()
        hq.apply(come=(0, 1))
        office.show(hq)
        assert key in file.read_bytes()
        hq.apply(go=(1,))
        office.show(hq)
        assert key not in file.read_bytes()
        with closing(sqlite3.connect(file)) as store:
            kept += store.execute("SELECT key_hash, batch FROM withdrawn").fetchall()
    assert [batch for _, batch in kept] == [2, 2]
    assert len({name for name, _ in kept}) == 2
    assert {len(name) for name, _ in kept} == {32}


@pytest.mark.sqlite_only
def test_what_is_asked_every_night_reads_nothing_that_is_long(tmp_path: Path) -> None:
    """`latest_directory` and `latest` are asked by each outlet and for each release."""
    office, hq = PublishingOffice(f"sqlite:///{tmp_path / 'p.db'}"), HonestHq()
    hq.apply(come=(0, 1, 2))
    office.show(hq)
    with closing(sqlite3.connect(tmp_path / "p.db")) as store:
        store.execute("UPDATE state SET encoded = x'00'")  # whatever reads it finds it malformed
        store.commit()
    assert office.store.latest_directory() == hq.directory.digest
    assert office.store.latest() == (hq.said, None)
    office.book(hq.directory.digest)
    with pytest.raises(DirectoryRefused, match="malformed"):
        office.show(hq)


Customers = st.sets(st.integers(0, 5), max_size=4).map(lambda some: tuple(sorted(some)))

Steps = st.lists(
    st.one_of(
        st.tuples(st.just("batch"), Customers, Customers),
        st.tuples(st.sampled_from(["show", "lose", "kill", "wait", "book"])),
    ),
    max_size=25,
)


@pytest.mark.sqlite_only
@given(Steps)
def test_every_honest_history_is_accepted_and_the_office_has_hqs_directory(
    steps: list[tuple[object, ...]],
) -> None:
    """Customers come, leave and return; answers are lost, the office dies, days go by."""
    with TemporaryDirectory() as folder:
        office, hq = PublishingOffice(f"sqlite:///{folder}/publications.db"), HonestHq()
        made = [office.show(hq)]
        for name, *of in steps:
            told = hq.said
            if name == "batch":
                hq.apply(*of)  # type: ignore[arg-type]
            elif name == "wait":
                office.clock.at += 13 * HOUR
            elif name == "kill":
                office.reopen()
            else:
                try:
                    made.append(office.show(hq))
                except PublicationTooSoon:  # the night goes on with the last one
                    assert office.store.latest_directory() == made[-1].digest
                    continue
                assert office.store.latest_directory() == hq.directory.digest
            if name == "book":
                office.book(hq.directory.digest, hq.said.payload)  # type: ignore[union-attr]
            elif name == "lose":
                hq.said = told
        office.clock.at += 19 * HOUR
        assert office.show(hq).digest == hq.directory.digest
        shown = [one for one in made if hq.past[one.digest].slots]
        assert all(0 <= after.number - before.number <= 1 for before, after in pairwise(made))
        assert all(
            after == before or after.at - before.at >= 19 * HOUR
            for before, after in pairwise(shown)
        )
        office.store.close()
