"""Books from scores, and that scores go nowhere else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from features.bands import BandPolicy, BandRefused, unpack
from features.calibration import (
    CALIBRATION_BINS,
    CALIBRATION_EDGES,
    Calibration,
    Counts,
    calibration_dimension,
    fine_bins,
)
from features.points import base_points
from features.scorecard import POINTS_PER_LOGIT
from outlet_client.people.people_store import HomeKey
from privacy.books import Book, BookKind, BookRefused
from privacy.directory import Directory, DirectoryChanges
from privacy.envelopes import SealKey, SigningKey
from privacy.plans import ReleasePlan
from privacy.publications import Countersigned, PublicationRefused, Publishers
from privacy.published_books import PublishedBook, open_book
from privacy.registrations import TAG_BYTES
from privacy.slot_keys import KEY_BYTES, SlotKey
from privacy.two_key_sum import CustomerRelease, ScoreTable
from privacy.units import Purpose
from server.holder.errors import HolderNotConfigured
from server.hq.banding import Banding, Judgement
from server.hq.due import Tonight
from server.hq.errors import HqError, OfficeUnreachable
from server.hq.model_store import StandingModel
from server.hq.night import HqNight, points_code
from server.hq.registry import Registry
from server.hq.report import JudgedScorecard
from server.hq.settings import HqFile, HqSettings
from server.hq.store import HqStore
from tests.builders import CUT_OFF, SCALE, Clock
from tests.networks import CUT_OFF as LAST_DAY
from tests.networks import SECOND, TARGET, banded_settings, small_network
from tests.server.registrations import NETWORK, OfficeOf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.hq.report import NightReport

ROOT = Path(__file__).parents[2]
SLOTS = 300


def plan_of(purpose: Purpose, dimension: int, noise: int = 0) -> ReleasePlan:
    key = SealKey.generate().public.hex()
    return ReleasePlan(
        "n1/008-points", "00" * 32, "", purpose, dimension, 64, SCALE, SCALE, 2**40, noise,
        3, "s", "d", CUT_OFF, "", key, 100,
    )  # fmt: skip


@dataclass
class Books:
    """Banding for some slots, a registry that publishes, and an office that countersigns."""

    slots: int = SLOTS
    gone: frozenset[int] = frozenset()
    registry: Registry = field(default_factory=lambda: Registry("sqlite://", clock=lambda: 0.0))
    clock: Clock = field(default_factory=Clock)
    key: SigningKey = field(default_factory=SigningKey.generate)

    def __post_init__(self) -> None:
        random = np.random.default_rng(5)
        self.everybody = [
            HomeKey(SlotKey.of(random.bytes(32)), random.bytes(32)) for _ in range(self.slots)
        ]
        self.office = OfficeOf(clock=self.clock)
        publics = b"".join(home.slot_key.public for home in self.everybody)
        self.keys = np.frombuffer(publics, np.uint8).reshape(-1, KEY_BYTES)
        rows = np.hstack([self.keys, np.zeros((self.slots, TAG_BYTES), np.uint8)])
        self.directory = Directory(1, rows)
        self.tonight = self.announced(DirectoryChanges.between(Directory.empty(), self.directory))

    def announced(self, changes: DirectoryChanges) -> Tonight:
        """A night on the directory under the office's next number."""
        self.clock.at += 21 * 3600
        last = self.registry.last_statement()
        said = self.office.countersign_directory(NETWORK, changes, {}, last)
        self.registry.publish(self.directory, said)
        return Tonight("n1", CUT_OFF, CUT_OFF, (TARGET, SECOND), self.directory.digest, self.slots)

    def next_night(self) -> None:
        """The same directory, under another number: it may have another book."""
        self.tonight = self.announced(DirectoryChanges.between(self.directory, self.directory))

    @property
    def banding(self) -> Banding:
        keys, nonces = self.keys.copy(), [home.nonce for home in self.everybody]
        for slot in self.gone:
            keys[slot], nonces[slot] = 0, b""
        return Banding(
            keys, nonces, self.registry, self.key, self.office.key.public, BandPolicy(), self.clock
        )

    def publish(self, models: list[StandingModel]) -> int:
        return self.banding.publish(models, self.tonight, self.office)

    def models(self, bands: np.ndarray | None, **changes: object) -> list[StandingModel]:
        values: dict[str, object] = {
            "cuts": (-10.0, 20.0),
            "bands": None if bands is None else bands.astype(np.int8),
            "banded_as_of": CUT_OFF,
            "banded_by": "n1/008-points",
            **changes,
        }
        return [
            StandingModel(outcome, "n1", 0, b"", np.eye(2), **values)  # type: ignore[arg-type]
            for outcome in (TARGET, SECOND)
        ]

    def latest(self) -> Book:
        return open_book(
            PublishedBook.decode(self.registry.latest_book() or b""),
            Publishers(self.key.public, self.office.key.public),
            newer_than=None,
            directory=self.directory.digest,
            not_before=0,
        )

    def read(self, book: Book) -> list[dict[str, str]]:
        return [unpack(book.read(slot, home.slot_key)) for slot, home in enumerate(self.everybody)]


# --- books -------------------------------------------------------------------------------------


def test_a_fine_book_is_read_with_slot_key_and_home_nonce_together_and_with_neither_alone() -> None:
    books = Books()
    table = ScoreTable(plan_of(Purpose.POINTS, SLOTS), ("a",), np.zeros(SLOTS))
    scores, centres = [np.linspace(-90, 50, SLOTS), np.linspace(50, -90, SLOTS)], [-20.0, -40.0]
    book = Book.decode(books.banding.fine_book(table, scores, centres, books.tonight))
    assert (book.kind, book.width, book.release) == (BookKind.FINE, 2, "n1/008-points")
    assert (book.as_of, book.slots) == (CUT_OFF, SLOTS)
    assert book.directory == books.directory.digest
    bins = [fine_bins(score, centre) for score, centre in zip(scores, centres, strict=True)]
    exact = np.stack(bins, axis=1)
    homes = books.everybody
    read = [list(book.read(slot, *home)) for slot, home in enumerate(homes)]
    assert read == exact.tolist()
    other = [HomeKey(home.slot_key, another.nonce) for home, another in pairwise(homes)]
    without = [HomeKey(home.slot_key, b"") for home in homes]
    strangers = [HomeKey(another.slot_key, home.nonce) for home, another in pairwise(homes)]
    for wrong in (other, without, strangers):
        found = [list(book.read(slot, *home)) for slot, home in enumerate(wrong)]
        assert sum(max(entry) >= CALIBRATION_BINS for entry in found) > 0.9 * len(wrong)
    assert books.registry.latest_book() is None


def test_before_a_calibration_everybody_is_new_and_nobody_can_be_refused() -> None:
    books = Books()
    models = books.models(None, cuts=None)
    found = books.banding.assign(models, [np.full(SLOTS, 1e6)] * 2, np.full(SLOTS, 9.0))
    assert [set(bands.tolist()) for bands in found] == [{0}, {0}]


@given(st.integers(0, 2**32), st.lists(st.floats(-200, 200), min_size=1, max_size=2).map(sorted))
def test_as_many_slots_are_above_a_translated_cut_as_were_above_the_cut(
    seed: int, cuts: list[float]
) -> None:
    alone, estimated = np.random.default_rng(seed).normal(0, 40, (2, 50))
    translated = Banding.translated(cuts, alone, estimated)
    assert sorted(translated) == list(translated)
    for cut, other in zip(cuts, translated, strict=True):
        assert (estimated >= other).sum() == (alone >= cut).sum()


def test_a_cut_that_nobody_reaches_or_everybody_does_stays_so_when_translated() -> None:
    alone = np.linspace(-100, 100, SLOTS)
    low, high, higher = Banding.translated((-500.0, 104.0, 1000.0), alone, alone / 2 + 7)
    assert low <= -43
    assert (high, higher) == pytest.approx((61, 957))  # as far above the highest as they were
    assert Banding.translated((-20.0, 5.0), alone[:0], alone[:0]) == (-20.0, 5.0)


def test_slots_that_came_since_are_banded_by_the_cuts_alone() -> None:
    books = Books()
    before = np.full(SLOTS - 2, 2)  # two slots fewer: those that came stand at the end
    score = np.full(SLOTS, -11.0)  # within the margin of the cut at -10
    for bands in books.banding.assign(books.models(before), [score, score], np.full(SLOTS, 9.0)):
        assert bands[:-2].tolist() == [2] * (SLOTS - 2)
        assert bands[-2:].tolist() == [1, 1]


def test_an_outcome_without_bands_is_refused_before_a_night(tmp_path: Path) -> None:
    file = tmp_path / "hq.toml"
    file.write_text('outcomes = ["y_loyal", "y_lapsed"]\n')
    with pytest.raises(HolderNotConfigured, match="'y_lapsed', expected one of y_loyal, y_flipped"):
        HqFile.read(file)
    file.write_text('outcomes = ["y_lapsed"]\npoints = false\n')
    assert HqFile.read(file).outcomes == ("y_lapsed",)


def test_a_published_book_is_signed_countersigned_and_names_what_it_was_made_of() -> None:
    books = Books()
    bands = np.arange(SLOTS) % 4
    made = books.models(bands, banded_as_of="2026-01-24", banded_by="n0/001-points")
    assert books.publish(made) == 1
    book = books.latest()
    assert (book.kind, book.version, book.slots, book.width) == (BookKind.BAND, 1, SLOTS, 1)
    assert (book.release, book.as_of, book.made_at) == (
        "n0/001-points", "2026-01-24", int(books.clock())
    )  # fmt: skip
    eligibility = ("new", "building", "eligible", "priority")
    assert [found["eligibility"] for found in books.read(book)] == [
        eligibility[band] for band in bands
    ]
    published = PublishedBook.decode(books.registry.latest_book() or b"")
    stranger, hq, office = SigningKey.generate().public, books.key.public, books.office.key.public
    for publishers, error, said in (
        (Publishers(stranger, office), BookRefused, "not signed"),
        (Publishers(hq, stranger), PublicationRefused, "not countersigned"),
    ):
        with pytest.raises(error, match=said):
            open_book(published, publishers, newer_than=None, directory=None, not_before=0)


def test_a_customer_who_came_since_reads_as_new() -> None:
    books = Books()
    books.publish(books.models(np.full(SLOTS - 2, 3)))
    read = books.read(books.latest())
    assert {tuple(found.values()) for found in read[:-2]} == {("priority", "review")}
    assert read[-2:] == [{"eligibility": "new", "flipper_risk": "new"}] * 2


def test_who_withdrew_is_gone_from_the_next_book_and_the_others_are_not() -> None:
    books = Books()
    made = books.models(np.full(SLOTS, 3))
    books.publish(made)
    books.gone = frozenset(range(0, SLOTS, 3))
    books.next_night()
    assert books.publish(made) == 2
    book, readable = books.latest(), []
    for slot, home in enumerate(books.everybody):
        try:
            found = unpack(book.read(slot, home.slot_key))
        except BandRefused:
            continue
        if tuple(found.values()) == ("priority", "review"):
            readable.append(slot)
    still = set(range(SLOTS)) - books.gone
    assert still <= set(readable)
    assert len(set(readable) - still) < 0.1 * len(books.gone)  # 1 in 256 by chance


def test_the_same_bands_published_twice_share_no_byte_but_by_chance() -> None:
    books = Books()
    made = books.models(np.zeros(SLOTS))
    books.publish(made)
    first = books.latest()
    books.next_night()
    books.publish(made)
    second = books.latest()
    assert (first.version, second.version) == (1, 2)
    assert sum(a == b for a, b in zip(first.body, second.body, strict=True)) < 0.05 * SLOTS


# --- one book a directory number ---------------------------------------------------------------


@pytest.mark.parametrize("at", ["countersign_book", "add_book"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_book_is_published_byte_for_byte_after_a_kill_before_it_was(
    monkeypatch: pytest.MonkeyPatch, at: str, when: str
) -> None:
    books = Books()
    owner: type = OfficeOf if at == "countersign_book" else Registry
    original = getattr(owner, at)

    def dying(self: object, *args: object) -> None:
        if when == "after":
            original(self, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, at, dying)
        with pytest.raises(KeyboardInterrupt):
            books.publish(books.models(np.full(SLOTS, 3)))
    drafted = books.registry.drafted(books.directory.digest)
    assert drafted is not None
    books.clock.at += 60
    assert books.publish(books.models(np.full(SLOTS, 3))) == 1
    published = PublishedBook.decode(books.registry.latest_book() or b"")
    assert published.signed.encode() == drafted
    assert books.publish(books.models(np.full(SLOTS, 3))) == 1  # and for ever the same
    assert PublishedBook.decode(books.registry.latest_book() or b"") == published


def test_other_bands_for_the_same_number_are_refused_and_the_book_stays() -> None:
    books = Books()
    books.publish(books.models(np.full(SLOTS, 3)))
    stands = books.registry.latest_book()
    later = books.models(np.full(SLOTS, 1), banded_by="n2/001-points")
    for _ in range(2):
        with pytest.raises(PublicationRefused, match="which was countersigned for directory"):
            books.publish(later)
        assert books.registry.latest_book() == stands
    books.next_night()
    books.publish(later)
    assert {found["eligibility"] for found in books.read(books.latest())} == {"building"}


def test_a_book_of_another_directory_than_the_last_is_not_published() -> None:
    books = Books()
    before = books.tonight
    later = Directory(2, books.directory.rows)
    changes = DirectoryChanges.between(books.directory, later)
    books.registry.publish(later, books.office.countersign_directory(NETWORK, changes, {}, None))
    with pytest.raises(PublicationRefused, match="the last that was countersigned"):
        books.banding.publish(books.models(np.full(SLOTS, 3)), before, books.office)
    assert books.registry.latest_book() is None


def test_what_another_office_says_of_a_book_publishes_nothing() -> None:
    books = Books()
    pinned = replace(books.banding, office=SigningKey.generate().public)
    with pytest.raises(PublicationRefused, match="not countersigned by the pinned"):
        pinned.publish(books.models(np.full(SLOTS, 3)), books.tonight, books.office)
    assert books.registry.latest_book() is None


@pytest.mark.parametrize(
    "refusal", [OfficeUnreachable("UNAVAILABLE"), PublicationRefused("book: another one")]
)
def test_a_night_whose_book_is_not_countersigned_says_so_and_the_last_one_stays(
    refusal: Exception,
) -> None:
    books, store = Books(), HqStore("sqlite://")
    made = books.models(np.full(SLOTS, 3))
    books.publish(made)
    stands = books.registry.latest_book()
    for model in made:
        store.save_model(model)
    books.next_night()

    class Refusing(OfficeOf):
        @override
        def countersign_book(self, directory: str, digest: str) -> Countersigned:
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
    assert report.skipped == [f"book: {refusal}; the last book stays"]
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
        for place, standing in ((0, None), (1, (-10, 20))):
            judged = Judgement.of(calibration_release(), place, -30.0, thresholds, standing)
            assert judged.auc is not None
            assert Judgement.from_json(json.loads(json.dumps(judged.as_json()))) == judged


def test_each_score_of_a_release_is_judged_by_its_own_counts_around_its_own_centre() -> None:
    release = calibration_release(0)
    for place, centre, auc in ((0, -20.0, 0.5), (1, -30.0, 0.9)):
        judged = Judgement.of(release, place, centre, (0.1, 0.3))
        counts = Counts.of(release.values, release.noise_sd, place, centre)
        assert (judged.place, judged.centre) == (place, centre)
        assert judged.cuts == Calibration.of(counts).cuts((0.1, 0.3))
        assert judged.auc == pytest.approx(auc, abs=0.05)
        assert judged.counts(release).values.tolist() == counts.values.tolist()
        assert sum(row.customers for row in judged.bands) == pytest.approx(counts.customers)
        assert judged.standing is None


def test_cuts_that_stood_are_judged_on_counts_that_they_had_no_part_in() -> None:
    release, centre = calibration_release(0), -30.0
    new = Judgement.of(release, 1, centre, (0.1, 0.3))
    edge = centre + POINTS_PER_LOGIT * float(np.sinh(CALIBRATION_EDGES[4]))
    for standing, recall, false_alarms in (
        ((0.0, edge), 900 / 950, 900 / 5400),
        ((0.0, -1000.0), 1.0, 1.0),
    ):
        judged = Judgement.of(release, 1, centre, (0.1, 0.3), standing)
        assert (judged.cuts, judged.accuracy) == (new.cuts, new.accuracy)
        assert judged.standing is not None
        assert judged.standing.recall == pytest.approx((recall, 0.0))
        assert judged.standing.false_alarms == pytest.approx((false_alarms, 0.0))
    assert Judgement.of(release, 1, centre, (0.1, 0.3), new.cuts).standing == new.accuracy


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
        assert round(found.judged.counts(found.release).customers) == len(network.directory)
        later = replace(last, night="n2", at=last.at + 1)
        network.hq_store.save_calibration(later)
        assert network.hq_store.calibration(outcome, before="n2") == last
        assert network.hq_store.calibration(outcome) == later


def test_a_score_table_is_no_calibration_for_a_report() -> None:
    network = small_network(settings=banded_settings(None, 2), outcomes=(TARGET, SECOND))
    made = network.night("n1", str(LAST_DAY), TARGET, SECOND, bands=True)
    points = next(step.release for step in made.steps if step.purpose is Purpose.POINTS)
    last = network.hq_store.calibration(TARGET)
    assert last is not None
    for release in (points, "n9/001-calibration"):
        network.hq_store.save_calibration(replace(last, release=release))
        with pytest.raises(HqError, match="not in the store as a calibration"):
            JudgedScorecard.latest(network.hq_store, TARGET)


def test_counts_that_noise_covers_have_no_figures_and_leave_the_cuts_of_the_training() -> None:
    noise = np.random.default_rng(1).normal(0, 2**0.5 * 1000, calibration_dimension(1))
    plan = plan_of(Purpose.CALIBRATION, len(noise), 1000 * SCALE)
    judged = Judgement.of(CustomerRelease(plan, ("a",), noise), 0, -30.0, (0.25, 0.6))
    assert (judged.auc, judged.auc_noise_sd) == (None, None)
    trained = Calibration(-30.0, 0.0, 1.0, 0.0).cuts((0.25, 0.6))
    assert np.abs(np.subtract(judged.cuts, trained)).max() <= 8
    assert judged.accuracy[1:] == (None, None, None)


# --- scores go nowhere else ----------------------------------------------------------------------


SNIPPET = """
from collections.abc import Callable
from pathlib import Path

from privacy.two_key_sum import Aggregate, CustomerRelease, ScoreTable
from sandbox.tables_and_plots import auc_table, plot_auc_by_epsilon, steps_table
from server.hq.banding import Banding, Judgement
from server.hq.due import Tonight
from server.hq.plots import plot_scorecard
from server.hq.report import JudgedScorecard, NightReport, ReleaseReport
from server.hq.training import ScorecardEvaluation


def with_a_release(release: CustomerRelease, aggregate: Aggregate, noise: object) -> None:
    Judgement.of(release, 0, 0.0, (0.5,))
    ScorecardEvaluation.of(release, 2)
    release.signal_to_noise


def with_a_table(
    table: ScoreTable, report: NightReport, show: Callable[[ReleaseReport], None], judged: Judgement
) -> None:
    Judgement.of(table, 0, 0.0, (0.5,))  # refused
    plot_scorecard("y_loyal", "n1", table, judged, Path("plot.png"))  # refused
    JudgedScorecard("y_loyal", "n1", table, judged)  # refused
    ScorecardEvaluation.of(table, 2)  # refused
    table.signal_to_noise  # refused
    steps_table([table], 1.0)  # refused
    auc_table({"network": table})  # refused
    plot_auc_by_epsilon([table], Path("plot.png"))  # refused
    show(table)  # refused
    report.steps.append(table)  # refused
    report.calibrations["y_loyal"] = table  # refused
    report.evaluations["y_loyal"] = table  # refused
    released: CustomerRelease = table  # refused


def only_banding(
    release: CustomerRelease, table: ScoreTable, banding: Banding, tonight: Tonight
) -> None:
    banding.fine_book(table, [], [], tonight)
    banding.fine_book(release, [], [], tonight)  # refused
    either: ScoreTable = release  # refused
"""


def test_a_score_table_type_checks_nowhere_but_in_banding(tmp_path: Path) -> None:
    file = tmp_path / "snippet.py"
    file.write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run(  # noqa: S603  (mypy of our own environment)
        [*command, str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = {
        int(line): message
        for line, message in re.findall(r"snippet\.py:(\d+): error: (.*)", done.stdout)
    }
    lines = SNIPPET.splitlines()
    expected = {number for number, line in enumerate(lines, 1) if line.endswith("# refused")}
    assert set(found) == expected, done.stdout + done.stderr
    assert all("ScoreTable" in message for message in found.values()), found


def numbers(value: object) -> Iterator[float]:
    """Every number in plain values."""
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield float(value)


@dataclass(frozen=True)
class Reported:
    """A night's report, and what was in its score tables."""

    report: NightReport
    tables: tuple[ScoreTable, ...]
    secret: np.ndarray


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["exact", "noisy"])
def reported(request: pytest.FixtureRequest) -> Reported:
    # figures with noise: shares of exact counts may coincide with a sum in a score table
    settings = banded_settings(2.0, 2, request.param)
    network = small_network(settings=settings, outcomes=(TARGET, SECOND))
    report = network.night("n1", str(LAST_DAY), TARGET, SECOND, bands=True)
    assert report.ended == "complete"
    code = points_code(network.hq_store.models((TARGET, SECOND)))
    tables, secret = [], []
    for step in report.steps:
        if step.purpose is not Purpose.POINTS:
            continue
        known = network.hq_store.checkpoint(step.release)
        assert known is not None
        assert known.values is not None
        table = ScoreTable(ReleasePlan.decode(known.signed.payload), (), known.values)
        estimate = code.estimate(table.values, table.noise_sd)
        tables.append(table)
        # where noise covers a training, everybody's score is the base, which is a scorecard's
        scores = zip(code.cards, code.scores(estimate), strict=True)
        beyond = [score[~np.isclose(score, base_points(card))] for card, score in scores]
        secret += [table.values, estimate.ravel(), *beyond]
    return Reported(report, tuple(tables), np.concatenate(secret))


def test_what_is_kept_of_a_night_holds_nothing_of_its_score_tables(reported: Reported) -> None:
    report, values = reported.report, reported.secret
    values = values[np.round(values * 128) != values * 128]  # 2.0 may be a cost, 4 a number
    assert len(values) > 400
    body = report.as_json()
    body["steps"] = [{**step.as_json(), "seconds": None} for step in report.steps]  # may coincide
    shown = np.array([n for n in numbers(body) if np.isfinite(n)])
    assert len(shown) > 40
    assert not np.isclose(shown[:, None], values[None, :], rtol=1e-12, atol=0).any()
    text = json.dumps(body)
    long = [repr(float(value)) for value in values if len(repr(float(value))) > 9]
    assert long
    assert not any(number in text for number in long)
    assert not any(table.plan.key in text for table in reported.tables)


def test_a_report_has_no_place_for_a_score_table(reported: Reported) -> None:
    held = [getattr(reported.report, one.name) for one in fields(reported.report)]
    flat = [part for one in held for part in (one.values() if isinstance(one, dict) else [one])]
    assert not any(isinstance(part, ScoreTable | np.ndarray) for part in flat)


def test_no_step_of_points_says_how_large_its_values_are(reported: Reported) -> None:
    steps = [step for step in reported.report.steps if step.purpose is Purpose.POINTS]
    assert len(steps) == len(reported.tables) == 2
    assert {(step.signal_to_noise, step.clipped) for step in steps} == {(None, None)}


def test_a_calibration_that_release_0_1_kept_stands_for_nothing() -> None:
    """Else the first training night over an old store would end after all its releases."""
    dump = (ROOT / "tests/stores/0.1/hq-hq.sql").read_text()
    kept = re.findall(r"""INSERT INTO "calibrations" VALUES\(.*?,'(\{.*\})'\);""", dump)
    assert len(kept) == 2
    for judgement in kept:
        assert Judgement.from_json(json.loads(judgement)) is None
