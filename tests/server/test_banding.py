"""Books from sealed entries, and what private counts say of where bands begin."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typing_extensions import override

from features.bands import BandPolicy
from features.calibration import (
    CALIBRATION_BINS,
    CALIBRATION_EDGES,
    Calibration,
    Counts,
    calibration_dimension,
)
from features.scorecard import POINTS_PER_LOGIT
from privacy.books import Book, BookRefused, SealedEntries
from privacy.directory import Directory
from privacy.envelopes import SealKey, SigningKey
from privacy.plans import ReleasePlan
from privacy.publications import Countersigned, PublicationRefused, Publishers
from privacy.published_books import PublishedBook, open_book
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind
from privacy.two_key_sum import CustomerRelease
from server.holder.errors import HolderNotConfigured
from server.hq.banding import Banding, Judgement
from server.hq.due import Tonight
from server.hq.errors import HqError, OfficeUnreachable
from server.hq.known_slots import KnownSlots
from server.hq.night import HqNight
from server.hq.registry import Registry
from server.hq.report import JudgedScorecard
from server.hq.settings import HqFile, HqSettings
from server.hq.store import HqStore
from tests.builders import CUT_OFF, SCALE, Clock
from tests.networks import CUT_OFF as LAST_DAY
from tests.networks import SECOND, TARGET, banded_settings, small_network
from tests.privacy.slots import slot_key
from tests.server.hq_sealing import HqBench
from tests.server.registrations import OfficeOf
from tests.server.seal_benches import SealBench
from tests.server.slot_histories import HonestHq
from tests.shelves import make_book

if TYPE_CHECKING:
    from privacy.books import Entry
    from privacy.published_books import BookSummary
    from server.hq.report import NightReport

ROOT = Path(__file__).parents[2]
SLOTS = 60


def plan_of(purpose: Purpose, dimension: int, noise: int = 0) -> ReleasePlan:
    key = SealKey.generate().public.hex()
    return ReleasePlan(
        "n1/007-calibration", "00" * 32, "", purpose, dimension, 64, SCALE, SCALE, 2**40, noise,
        3, "s", "d", CUT_OFF, "", key, 100,
    )  # fmt: skip


@dataclass
class Books:
    """Banding for some slots, a registry that publishes, and an office that countersigns."""

    registry: Registry = field(default_factory=lambda: Registry("sqlite://", clock=lambda: 0.0))
    clock: Clock = field(default_factory=Clock)
    key: SigningKey = field(default_factory=SigningKey.generate)

    def __post_init__(self) -> None:
        self.office, self.hq = OfficeOf(clock=self.clock), HonestHq()
        self.next_night(come=tuple(range(SLOTS)))

    def next_night(self, come: tuple[int, ...] = (), go: tuple[int, ...] = ()) -> None:
        """Another night: its directory is under the office's next number, also an unchanged one."""
        if come or go:
            self.hq.apply(come, go)
        self.clock.at += 21 * 3600
        base = self.office.last_directory().digest or Directory.empty().digest
        shown = self.hq.network, self.hq.changes(base), self.hq.evidence, self.hq.said
        self.hq.said = self.office.countersign_directory(*shown)
        self.registry.publish(self.directory, self.hq.said)

    @property
    def directory(self) -> Directory:
        return self.hq.directory

    @property
    def tonight(self) -> Tonight:
        listed, outcomes = self.directory, (TARGET, SECOND)
        return Tonight("n1", CUT_OFF, CUT_OFF, outcomes, listed.digest, listed.slots)

    @property
    def banding(self) -> Banding:
        few = np.ones(self.directory.slots, dtype=np.int64)
        slots = KnownSlots(self.directory.keys, [b""] * len(few), few)
        return Banding(
            slots, self.registry, self.key, self.office.key.public, BandPolicy(), self.clock
        )

    def sealed(self, code: int = 2, as_of: str = CUT_OFF) -> SealedEntries:
        """The entries of a complete seal of everybody listed, who all have this code."""
        codes = np.full((self.directory.slots, 3), code, dtype=np.uint8)
        book = make_book(codes, self.directory, as_of=as_of)
        self.office.complete(book.seal)
        return SealedEntries(book.seal, book.body)

    def publish(self, entries: SealedEntries) -> int:
        return self.banding.publish(entries, self.tonight, self.office)

    def latest(self) -> Book:
        return open_book(
            PublishedBook.decode(self.registry.latest_book() or b""),
            Publishers(self.key.public, self.office.key.public),
            newer_than=None,
            directory=self.directory.digest,
            not_before=0,
            kind=SealKind.BAND,
        )

    def read(self, customer: int) -> Entry | None:
        """What a customer's token reads in the latest book."""
        return self.latest().read(self.hq.slots[customer], slot_key(customer))

    def codes(self) -> set[int]:
        """What everybody's first code is in the latest book."""
        entries = [self.read(customer) for customer in range(SLOTS)]
        return {entry.codes[0] for entry in entries if entry is not None}


# --- books -------------------------------------------------------------------------------------


def test_an_outcome_without_bands_is_refused_before_a_night(tmp_path: Path) -> None:
    file = tmp_path / "hq.toml"
    file.write_text('outcomes = ["y_loyal", "y_lapsed"]\n')
    with pytest.raises(HolderNotConfigured, match="'y_lapsed', expected one of y_loyal, y_flipped"):
        HqFile.read(file)
    file.write_text('outcomes = ["y_lapsed"]\npoints = false\n')
    assert HqFile.read(file).outcomes == ("y_lapsed",)


@pytest.mark.parametrize(
    ("section", "line"),
    [("training", "band_noise = 0.5"), ("bands", "margin = 2.0"), ("bands", "least_events = 3")],
)
def test_a_setting_of_release_0_1_is_refused_with_the_line_to_delete(
    tmp_path: Path, section: str, line: str
) -> None:
    file = tmp_path / "hq.toml"
    file.write_text(f"horizon_days = 180\n[{section}]\n# of 2026\n{line}\n")
    key = line.partition(" ")[0]
    said = f"line 4: `{key}` of {section} means nothing any more; delete the line"
    with pytest.raises(HolderNotConfigured, match=re.escape(said)):
        HqFile.read(file)
    file.write_text(f"horizon_days = 180\n[{section}]\n")
    assert HqFile.read(file).horizon_days == 180


def test_a_published_book_is_signed_countersigned_and_names_its_seal() -> None:
    books = Books()
    entries = books.sealed(as_of="2026-01-24")
    assert books.publish(entries) == 1
    book = books.latest()
    assert (book.kind, book.version, book.slots) == (SealKind.BAND, 1, SLOTS)
    assert (book.seal, book.as_of) == (entries.seal, "2026-01-24")
    assert book.made_at == int(books.clock())
    assert books.codes() == {2}
    published = PublishedBook.decode(books.registry.latest_book() or b"")
    stranger, hq, office = SigningKey.generate().public, books.key.public, books.office.key.public
    for publishers, error, said in (
        (Publishers(stranger, office), BookRefused, "not signed"),
        (Publishers(hq, stranger), PublicationRefused, "not countersigned"),
    ):
        with pytest.raises(error, match=said):
            open_book(published, publishers, newer_than=None, directory=None, not_before=0)


def test_a_book_between_two_seals_has_the_same_entries_but_of_who_left_or_came() -> None:
    books = Books()
    entries = books.sealed()
    books.publish(entries)
    first = np.frombuffer(books.latest().body, np.uint8)
    gone = tuple(range(0, SLOTS, 3))
    drawn = []
    for come in ((), (1000, 1001)):
        books.next_night(come, gone)
        books.publish(entries)
        book = books.latest()
        body, blank = np.frombuffer(book.body, np.uint8), books.directory.blank
        assert (book.seal, book.seal.sealed) == (entries.seal, SLOTS)
        assert sorted(np.flatnonzero(blank)) == list(gone)
        live = np.flatnonzero(~blank[:SLOTS])
        assert (body[live] == first[live]).all()
        drawn.append(body[list(gone)])
        # 20 random bytes are those of before at 1 in 256 each: eight are at 1 in 10^14
        assert (body[list(gone)] == first[list(gone)]).sum() < 8
    assert (drawn[0] == drawn[1]).sum() < 8  # drawn anew each night
    assert [books.read(customer) for customer in (1000, 1001)] == [None, None]
    assert books.latest().version == 3


def test_a_book_of_fewer_slots_than_were_sealed_is_not_made() -> None:
    books, others = Books(), Books()
    others.next_night(come=(1000,))
    entries = others.sealed()
    books.office.complete(entries.seal)
    with pytest.raises(BookRefused, match=f"got {SLOTS} slots, {SLOTS + 1} were sealed"):
        books.publish(entries)
    assert books.registry.latest_book() is None


# --- one book a directory number ---------------------------------------------------------------


@pytest.mark.parametrize("at", ["countersign_book", "add_book"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_book_is_published_byte_for_byte_after_a_kill_before_it_was(
    monkeypatch: pytest.MonkeyPatch, at: str, when: str
) -> None:
    books = Books()
    books.next_night(go=(0, 1, 2))  # whose entries are drawn at random
    entries = books.sealed()
    owner: type = OfficeOf if at == "countersign_book" else Registry
    original = getattr(owner, at)

    def dying(self: object, *args: object) -> None:
        if when == "after":
            original(self, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, at, dying)
        with pytest.raises(KeyboardInterrupt):
            books.publish(entries)
    drafted = books.registry.drafted(books.directory.digest)
    assert drafted is not None
    books.clock.at += 60
    assert books.publish(entries) == 1
    published = PublishedBook.decode(books.registry.latest_book() or b"")
    assert published.signed.encode() == drafted
    assert books.publish(entries) == 1  # and for ever the same
    assert PublishedBook.decode(books.registry.latest_book() or b"") == published


def test_another_seal_for_the_same_number_is_refused_and_the_book_stays() -> None:
    books = Books()
    books.publish(books.sealed())
    stands, later = books.registry.latest_book(), books.sealed(code=1)
    for _ in range(2):
        with pytest.raises(PublicationRefused, match="which was countersigned for directory"):
            books.publish(later)
        assert books.registry.latest_book() == stands
    books.next_night()
    books.publish(later)
    assert books.codes() == {1}


def test_a_book_of_a_seal_that_the_office_did_not_complete_is_not_published() -> None:
    books = Books()
    entries = books.sealed()
    books.office.sealed.clear()
    with pytest.raises(PublicationRefused, match="not one that this office completed"):
        books.publish(entries)
    assert books.registry.latest_book() is None


def test_a_book_of_another_directory_than_the_last_is_not_published() -> None:
    books = Books()
    banding, before, entries = books.banding, books.tonight, books.sealed()
    books.next_night(come=(1000,))
    with pytest.raises(PublicationRefused, match="the last that was countersigned"):
        banding.publish(entries, before, books.office)
    assert books.registry.latest_book() is None


def test_what_another_office_says_of_a_book_publishes_nothing() -> None:
    books = Books()
    pinned = replace(books.banding, office=SigningKey.generate().public)
    with pytest.raises(PublicationRefused, match="not countersigned by the pinned"):
        pinned.publish(books.sealed(), books.tonight, books.office)
    assert books.registry.latest_book() is None


@pytest.mark.parametrize(
    "refusal", [OfficeUnreachable("UNAVAILABLE"), PublicationRefused("book: another one")]
)
def test_a_night_whose_book_is_not_countersigned_says_so_and_the_last_one_stays(
    refusal: Exception,
) -> None:
    books, store = Books(), HqStore("sqlite://")
    entries = books.sealed()
    books.publish(entries)
    stands = books.registry.latest_book()
    sealed = HqBench(SealBench())
    sealed.store = store
    seal = sealed.seal()
    books.office.complete(sealed.entries(seal).seal)
    books.next_night()

    class Refusing(OfficeOf):
        @override
        def countersign_book(self, directory: str, summary: BookSummary) -> Countersigned:
            raise refusal

        def close_night(self, _night: str) -> None:
            """Nothing was reserved."""

    class Nobody:
        def roll_call(self, _tonight: object) -> dict[int, str]:
            return {}

        def goodnight(self) -> None:
            """Nobody hears it."""

    link: Any = Nobody()

    def run(office: Any) -> NightReport:
        parts: Any = (books.tonight, HqSettings(), office, link, store, {}, books.banding)
        return HqNight(*parts).run()

    report = run(Refusing())
    assert report.ended.startswith("QuorumNotMet")
    assert report.book is None
    until = dt.date.fromisoformat(seal.draft.as_of) + dt.timedelta(days=7)
    when = f"; bands are sealed again from {until} on"
    refused = isinstance(refusal, PublicationRefused)
    assert report.skipped == [f"book: {refusal}; the last book stays{when * refused}"]
    assert report.next_seal == str(until)
    assert books.registry.latest_book() == stands
    office: Any = Refusing()
    office.countersign_book = books.office.countersign_book
    again = run(office)
    assert (again.book, again.skipped) == (2, [])
    assert books.registry.latest_book() != stands


# --- judgements --------------------------------------------------------------------------------


def calibration_release(noise: int = SCALE) -> CustomerRelease:
    """Counts of two scores: the first tells nobody apart, the second those in the higher bins."""
    counts = np.zeros((2, 2, CALIBRATION_BINS))
    counts[0] = [[500.0] * 8, [50.0] * 8]
    counts[1] = [[900.0] * 5 + [300.0] * 3, [10.0] * 5 + [300.0] * 3]
    made = plan_of(Purpose.CALIBRATION, calibration_dimension(2), noise)
    return CustomerRelease(made, ("a",), counts.ravel())


def test_a_judgement_reads_back_as_it_was_written() -> None:
    for thresholds in ((0.25, 0.6), (0.5, 0.999)):
        for place, standing in ((0, None), (1, 20.0)):
            judged = Judgement.of(
                calibration_release(), place, -34.5, 4, thresholds, standing_at(standing)
            )
            assert judged.auc is not None
            assert Judgement.from_json(json.loads(json.dumps(judged.as_json()))) == judged


def standing_at(score: float | None) -> Judgement | None:
    """A calibration whose highest band began at a score."""
    if score is None:
        return None
    made = Judgement.of(calibration_release(), 0, 0.0, 0, (0.1, 0.3))
    return replace(made, base=score - 4.0, cuts=(0, 4))


def test_each_score_of_a_release_is_judged_by_its_own_counts_around_its_own_middle() -> None:
    release = calibration_release(0)
    for place, base, middle, auc in ((0, -20.5, 0, 0.5), (1, -38.25, 8, 0.9)):
        judged = Judgement.of(release, place, base, middle, (0.1, 0.3))
        counts = Counts.of(release.values, release.noise_sd, place, base + middle)
        assert (judged.place, judged.base, judged.middle) == (place, base, middle)
        assert judged.cuts == Calibration.of(counts).cuts((0.1, 0.3), base)
        assert judged.scores == tuple(base + cut for cut in judged.cuts)
        assert judged.auc == pytest.approx(auc, abs=0.05)
        assert judged.counts(release).values.tolist() == counts.values.tolist()
        assert judged.counts(release).centre == base + middle
        assert sum(row.customers for row in judged.bands) == pytest.approx(counts.customers)
        assert judged.standing is None


def test_cuts_that_stood_are_judged_on_counts_that_they_had_no_part_in() -> None:
    release, base, middle = calibration_release(0), -34.0, 4
    new = Judgement.of(release, 1, base, middle, (0.1, 0.3))
    edge = base + middle + POINTS_PER_LOGIT * float(np.sinh(CALIBRATION_EDGES[4]))
    for standing, recall, false_alarms in (
        (edge, 900 / 950, 900 / 5400),
        (-1000.0, 1.0, 1.0),
    ):
        judged = Judgement.of(release, 1, base, middle, (0.1, 0.3), standing_at(standing))
        assert (judged.cuts, judged.accuracy) == (new.cuts, new.accuracy)
        assert judged.standing is not None
        assert judged.standing.recall == pytest.approx((recall, 0.0))
        assert judged.standing.false_alarms == pytest.approx((false_alarms, 0.0))
    assert Judgement.of(release, 1, base, middle, (0.1, 0.3), new).standing == new.accuracy


def test_every_night_judges_the_cuts_of_the_calibration_before_also_when_taken_up_again() -> None:
    network = small_network(settings=banded_settings(None, 2), outcomes=(TARGET, SECOND))
    first = network.night("n1", str(LAST_DAY), TARGET, SECOND, bands=True)
    assert {name: found.standing for name, found in first.calibrations.items()} == {
        TARGET: None, SECOND: None
    }  # fmt: skip
    again = network.night("n1", str(LAST_DAY), TARGET, SECOND, bands=True)
    assert again.calibrations == first.calibrations
    for outcome in (TARGET, SECOND):
        last = network.hq_store.calibration(outcome)
        assert last is not None
        assert (last.night, Judgement.from_json(last.judgement)) == (
            "n1", first.calibrations[outcome]
        )  # fmt: skip
        assert network.hq_store.calibration(outcome, before="n1") is None
        found = JudgedScorecard.latest(network.hq_store, outcome)
        assert found is not None
        assert found.judged == first.calibrations[outcome]
        assert found.release.plan.release == last.release
        assert round(found.judged.counts(found.release).customers) == network.directory.slots
        later = replace(last, night="n2", at=last.at + 1)
        network.hq_store.save_calibration(later)
        assert network.hq_store.calibration(outcome, before="n2") == last
        assert network.hq_store.calibration(outcome) == later


def test_what_is_no_calibration_is_none_for_a_report() -> None:
    network = small_network(settings=banded_settings(None, 2), outcomes=(TARGET, SECOND))
    made = network.night("n1", str(LAST_DAY), TARGET, SECOND, bands=True)
    named = {step.purpose: step.release for step in made.steps}
    last = network.hq_store.calibration(TARGET)
    assert last is not None
    for release in (named[Purpose.EVALUATION], named[Purpose.POINTS], "n9/001-calibration"):
        network.hq_store.save_calibration(replace(last, release=release))
        with pytest.raises(HqError, match="not in the store as a calibration"):
            JudgedScorecard.latest(network.hq_store, TARGET)


def test_counts_that_noise_covers_have_no_figures_and_leave_the_cuts_of_the_training() -> None:
    noise = np.random.default_rng(1).normal(0, 2**0.5 * 1000, calibration_dimension(1))
    plan = plan_of(Purpose.CALIBRATION, len(noise), 1000 * SCALE)
    judged = Judgement.of(CustomerRelease(plan, ("a",), noise), 0, -34.0, 4, (0.25, 0.6))
    assert (judged.auc, judged.auc_noise_sd) == (None, None)
    trained = Calibration(-30.0, 0.0, 1.0, 0.0).cuts((0.25, 0.6), -34.0)
    assert np.abs(np.subtract(judged.cuts, trained)).max() <= 8
    assert judged.accuracy[1:] == (None, None, None)


def test_a_calibration_that_release_0_1_kept_stands_for_nothing() -> None:
    """Else the first training night over an old store would end after all its releases."""
    dump = (ROOT / "tests/stores/0.1/hq-hq.sql").read_text()
    kept = re.findall(r"""INSERT INTO "calibrations" VALUES\(.*?,'(\{.*\})'\);""", dump)
    assert len(kept) == 2
    for judgement in kept:
        assert Judgement.from_json(json.loads(judgement)) is None
