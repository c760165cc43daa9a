"""Of which answers the office seals: who must be in a set, whom it carries, and what it keeps."""

from __future__ import annotations

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from privacy.envelopes import SigningKey
from privacy.errors import AnswerRefused, PlanRefused, ReleaseClosed
from privacy.seal_plans import SealKind
from privacy.two_key_sum import CARRY_DAYS, Carried, Envelope, _statement
from server.holder.database import closing_engine
from server.holder.migrating import upgrade_tables
from server.holder.vault import KeyFile
from server.office import sealing, set_rules
from server.office.backup import copy_without_keys
from server.office.ledger_store import end_network
from server.office.seal_store import SealStore
from server.office.seed_store import SeedStore
from server.office.settings import OfficeSettings
from server.office.tables import KEPT_SEEDS, OFFICE
from server.office.vault import KEY_FILE, Vault
from tests.server.seal_benches import DAY, MANY, HonestSeal, SealBench

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.office.ledger_store import Transaction
    from server.office.unlock import Office

pytestmark = pytest.mark.usefixtures("both_engines")

ROOT = Path(__file__).parents[2]
BAND, FINE = SealKind.BAND, SealKind.FINE
KINDS = pytest.mark.parametrize("kind", [BAND, FINE])


@pytest.fixture
def bench() -> SealBench:
    return SealBench()


def signed(bench: SealBench, release: str = "s1", **given: object) -> HonestSeal:
    """A seal in a night of its own."""
    seal = bench.seal(release, bench.night(f"night of {release}"), **given)  # type: ignore[arg-type]
    seal.sign()
    return seal


def sealed(
    bench: SealBench, release: str, names: str, *carried: tuple[HonestSeal, str], **given: object
) -> HonestSeal:
    night = bench.night(f"night of {release}")
    return bench.whole(release, names, *carried, night=night, **given)


def refuse(
    seal: HonestSeal,
    why: str,
    envelopes: Sequence[Envelope],
    carried: Sequence[Carried] = (),
    outlet: str | None = None,
) -> None:
    """Expects a refusal that names who is at fault, after which nothing is stored."""
    store = seal.at.bench.store
    with store.transaction() as transaction:
        before = transaction.seals.find(name=seal.release), terms(transaction)
    seeds = kept(seal.at)
    with pytest.raises(AnswerRefused, match=why) as caught:
        seal.at.office.store_set(seal.signed.digest, envelopes, carried)
    assert caught.value.outlet == outlet
    with store.transaction() as transaction:
        now = transaction.seals.find(name=seal.release), terms(transaction)
    assert (now, kept(seal.at)) == (before, seeds)


def terms(transaction: Transaction) -> tuple[object, object]:
    """Of seals for bands, and for calibration."""
    return transaction.seals.terms(), transaction.seals.fine_terms()


def kept(bench: SealBench) -> dict[str, bytes]:
    """The kept seeds, by outlet."""
    with bench.bench.store.transaction() as transaction:
        rows = transaction.seeds.connection.execute(sa.select(KEPT_SEEDS))
        return {row.outlet: bytes(row.seed) for row in rows}


def fresh(seal: HonestSeal, names: str = "abc") -> list[Envelope]:
    return [seal.share(name).envelope for name in names]


# --- the set ------------------------------------------------------------------------------------


@KINDS
def test_a_set_is_stored_once_and_named_by_its_digest(bench: SealBench, kind: SealKind) -> None:
    seal = signed(bench, kind=kind)
    given = fresh(seal, "abcd")
    stored = bench.office.store_set(seal.signed.digest, given, ())
    assert bench.office.store_set(seal.signed.digest, given[::-1], ()) == stored
    refuse(seal, "s1: stored before for another set", given[:3])
    refuse(seal, "s1: stored before for another set", fresh(seal, "abcd"))


@pytest.mark.parametrize("end", ["closed", "expired"])
def test_a_set_has_its_digest_when_the_seal_is_over_too(bench: SealBench, end: str) -> None:
    seal = signed(bench)
    given = fresh(seal)
    stored = bench.office.store_set(seal.signed.digest, given, ())
    if end == "closed":
        bench.office.close_seal(seal.signed.digest)
    else:
        bench.bench.clock.at += bench.settings.release_minutes * 60
    assert bench.office.store_set(seal.signed.digest, given, ()) == stored
    refuse(seal, "another set", given[:2])


@pytest.mark.parametrize("end", ["closed", "expired"])
def test_no_set_is_stored_of_a_seal_that_is_over(bench: SealBench, end: str) -> None:
    seal = signed(bench)
    given = fresh(seal)
    if end == "closed":
        bench.office.close_seal(seal.signed.digest)
    else:
        bench.bench.clock.at += bench.settings.release_minutes * 60
    with pytest.raises(ReleaseClosed, match=f"s1: {end}; it is over"):
        bench.office.store_set(seal.signed.digest, given, ())
    assert kept(bench) == {}


def test_a_set_for_a_plan_that_the_office_did_not_sign_is_refused(bench: SealBench) -> None:
    stranger = signed(SealBench())
    with pytest.raises(PlanRefused, match="not signed here"):
        bench.office.store_set(stranger.signed.digest, fresh(stranger), ())


@pytest.mark.parametrize("names", ["ab", "aab", "aabc", ""])
def test_too_few_or_repeated_outlets_are_refused(bench: SealBench, names: str) -> None:
    seal = signed(bench)
    refuse(seal, "twice|expected at least 3", fresh(seal, names))


def test_only_fresh_answers_count_for_the_quorum(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    seal = signed(bench, "s2")
    carried = [seal.carry(first, name) for name in "cd"]
    refuse(seal, "got 2 outlets, expected at least 3", fresh(seal, "ab"), carried)


def test_the_higher_of_the_plans_quorum_and_the_offices_minimum_counts(bench: SealBench) -> None:
    seal = signed(bench, quorum=4)
    refuse(seal, "got 3 outlets, expected at least 4", fresh(seal))
    bench.office.close_seal(seal.signed.digest)
    seal = signed(bench, "s2")
    stricter = MANY.model_copy(update={"minimum_outlets": 4})
    honest, bench.bench.office = bench.office, replace(bench.office, settings=stricter)
    refuse(seal, "got 3 outlets, expected at least 4", fresh(seal))
    bench.bench.office = honest
    assert seal.store("abc")


def test_an_outlet_that_only_hq_knows_is_refused(bench: SealBench) -> None:
    seal = signed(bench)
    bench.bench.keys["mallory"] = SigningKey.generate()
    given = [*fresh(seal), seal.share("mallory").envelope]
    refuse(seal, "mallory: not on the office's list", given, outlet="mallory")


@pytest.mark.parametrize("field", ["sealed_seed", "commitment", "signature"])
def test_a_tampered_envelope_is_its_outlets_fault(bench: SealBench, field: str) -> None:
    seal = signed(bench)
    other, good = seal.share("a").envelope, fresh(seal)
    swapped = replace(good[0], **{field: getattr(other, field)})
    refuse(seal, "a: signature does not verify", [swapped, *good[1:]], outlet="a")


def test_a_seed_that_does_not_open_is_its_outlets_fault(bench: SealBench) -> None:
    """B signs what was sealed to another plan; the others can be stored without it."""
    stranger = signed(SealBench())
    seal = signed(bench)
    good = fresh(seal, "abcd")
    unsigned = replace(good[1], sealed_seed=stranger.share("b").envelope.sealed_seed)
    signature = bench.bench.keys["b"].sign(*_statement(seal.signed.digest, unsigned))
    bad = replace(unsigned, signature=signature)
    refuse(seal, "b: its seed does not open", [good[0], bad, *good[2:]], outlet="b")
    assert bench.office.store_set(seal.signed.digest, [good[0], *good[2:]], ())


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What calls that are made at the same time give, or raise."""
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.exception() or future.result() for future in futures]


@pytest.fixture(params=["one process", "two processes"])
def offices(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[SealBench, Office, Office]:
    """An office twice: as two calls of one process have it, or two processes at one file."""
    bench = SealBench(f"sqlite:///{tmp_path / 'office.db'}")
    other = bench.office if request.param == "one process" else bench.twin()
    return bench, bench.office, other


@pytest.mark.parametrize("same", [True, False])
def test_of_two_sets_that_are_stored_at_once_one_is(
    offices: tuple[SealBench, Office, Office], monkeypatch: pytest.MonkeyPatch, *, same: bool
) -> None:
    bench, one, other = offices
    seal = signed(bench)
    given, plan = fresh(seal, "abcd"), seal.signed.digest
    both, honest = Barrier(2, timeout=60), set_rules.check_set

    def checked(*args: Any) -> None:
        honest(*args)
        both.wait()  # neither is stored

    monkeypatch.setattr(sealing, "check_set", checked)
    found = at_once(
        lambda: one.store_set(plan, given, ()),
        lambda: other.store_set(plan, given if same else given[:3], ()),
    )
    kinds = Counter(type(each).__name__ for each in found)
    assert kinds == ({"str": 2} if same else {"str": 1, "AnswerRefused": 1})
    with bench.bench.store.transaction() as transaction:
        assert transaction.seals.count(BAND, 0) == 1


class Killed(BaseException):
    """What ends a process."""


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (sealing, "open_seed"),
        (SealStore, "store_set"),
        (SeedStore, "keep"),
        (SealStore, "keep_terms"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_while_a_set_is_stored_stores_all_of_it_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, step: str, when: str
) -> None:
    bench = SealBench(f"sqlite:///{tmp_path / 'office.db'}")
    seal = signed(bench)
    given, plan = fresh(seal, "abcd"), seal.signed.digest
    honest = getattr(owner, step)

    def dying(*args: object) -> None:
        if when == "after":
            honest(*args)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, dying)
        with pytest.raises(Killed):
            bench.office.store_set(plan, given, ())
    bench.restart()
    assert kept(bench) == {}
    with bench.bench.store.transaction() as transaction:
        found = transaction.seals.find(digest=plan)
        assert found is not None
        assert (found.set_digest, *terms(transaction)) == (None, None, None)
        assert "key" in found.secrets
    bound = given
    if step == "open_seed":
        bound = given[:3]
    else:  # the vault has it before the store
        with pytest.raises(AnswerRefused, match="got another set"):
            bench.office.store_set(plan, given[:3], ())
    stored = bench.office.store_set(plan, bound, ())
    bench.restart()
    assert bench.office.store_set(plan, bound, ()) == stored


# --- who may not be left out --------------------------------------------------------------------


def test_an_outlet_that_answered_before_is_fresh_or_carried_and_never_left_out(
    bench: SealBench,
) -> None:
    first = sealed(bench, "s1", "abcd")
    seal = signed(bench, "s2")
    given = fresh(seal)
    refuse(seal, "its set lacks 1 outlets that answered within 31 days, of which d is one", given)
    assert bench.office.store_set(seal.signed.digest, given, [seal.carry(first, "d")])
    bench.office.close_seal(seal.signed.digest)
    sealed(bench, "s3", "abcd")


def test_a_refusal_says_from_when_on_nobody_is_demanded_any_more(bench: SealBench) -> None:
    """A month after the last of those who are left out answered, not after the first."""
    first = sealed(bench, "s1", "abcde")
    bench.bench.clock.at += 3 * DAY
    sealed(bench, "s2", "abce", (first, "d"))
    seal = signed(bench, "s3")
    refuse(seal, f"lacks 2 .*, or after {bench.bench.day(31)}$", fresh(seal))


def test_an_outlet_with_another_key_than_it_answered_with_is_neither_demanded_nor_carried(
    bench: SealBench,
) -> None:
    """Nobody could sign for its last answer: HQ would wait for a month."""
    first = sealed(bench, "s1", "abcd")
    listed = {**bench.office.outlets, "d": SigningKey.generate().public}
    bench.bench.office = replace(bench.office, outlets=listed)
    seal = signed(bench, "s2")
    refuse(seal, "d: signature does not", fresh(seal), [seal.carry(first, "d")], outlet="d")
    assert bench.office.store_set(seal.signed.digest, fresh(seal), ())


def test_an_outlet_that_never_answered_may_come_whenever_it_does(bench: SealBench) -> None:
    sealed(bench, "s1", "abc")
    sealed(bench, "s2", "abcde")


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({}, {"scorecard": "6" * 64}),
        ({}, {"scores": 1, "cuts": ((-8, 8),)}),
        ({"scores": 1, "cuts": ((-8, 8),)}, {}),
    ],
    ids=["another card", "a score less", "a score more"],
)
def test_an_answer_on_other_terms_is_neither_demanded_nor_carried(
    then: dict[str, object], now: dict[str, object]
) -> None:
    bench = SealBench(settings=MANY.model_copy(update={"cut_days": 0}))
    first = sealed(bench, "s1", "abcd", **then)
    with bench.bench.store.transaction() as transaction:
        transaction.seals.note_calibration()
    seal = signed(bench, "s2", **now)
    given = fresh(seal)
    carried = [seal.carry(first, "d")]
    refuse(seal, "d: not its last answer for this scorecard", given, carried, outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_an_answer_under_the_larger_modulus_is_not_carried_under_the_smaller(
    bench: SealBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sealed(bench, "s1", "abcd")
    monkeypatch.setattr("privacy.seal_plans.LARGEST_FULL", 5)
    seal = signed(bench, "s2")
    given, carried = fresh(seal), [seal.carry(first, "d")]
    refuse(seal, "d: not its last answer", given, carried, outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_a_seal_for_calibration_demands_carries_and_keeps_nobody() -> None:
    """Not even where its day is as near as that of bands."""
    bench = SealBench(settings=MANY.model_copy(update={"horizon_days": 0}))
    first = sealed(bench, "s1", "abcd")
    before = kept(bench)
    seal = signed(bench, "s2", kind=FINE)
    given = fresh(seal)
    carried = [seal.carry(first, "d")]
    refuse(seal, "only seals for bands carry absent outlets", given, carried)
    assert bench.office.store_set(seal.signed.digest, given, ())
    bench.office.close_seal(seal.signed.digest)
    assert kept(bench) == before
    after = signed(bench, "s3")  # its answers are carried by none: the last ones for bands are
    given = fresh(after, "bde")
    carried = [after.carry(seal, "a"), after.carry(first, "c")]
    refuse(after, "a: not its last answer", given, carried, outlet="a")
    carried = [after.carry(first, name) for name in "ac"]
    assert bench.office.store_set(after.signed.digest, given, carried)


def test_an_outlet_that_left_the_list_is_neither_demanded_nor_carried(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    listed = {name: key for name, key in bench.office.outlets.items() if name != "d"}
    bench.bench.office = replace(bench.office, outlets=listed)
    seal = signed(bench, "s2")
    given = fresh(seal)
    refuse(seal, "d: not on the office's list", given, [seal.carry(first, "d")], outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


# --- who is carried -----------------------------------------------------------------------------


def test_an_absent_outlet_counts_with_its_last_answer_exactly(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    assert (first.codes() == first.clear()).all()
    second = sealed(bench, "s2", "abc", (first, "d"))
    assert (second.codes() == first.clear()).all()
    third = sealed(bench, "s3", "abe", (first, "d"), (second, "c"))  # absent twice: the same
    assert (third.codes() == third.clear()).all()


def test_an_outlet_is_carried_over_slots_that_were_added_and_blanked_since(
    bench: SealBench,
) -> None:
    first = sealed(bench, "s1", "abcd")
    bench.list(0, None, 2, 3, 4, 5, 6, 7, batch=2)
    second = sealed(bench, "s2", "abc", (first, "d"))
    live = [0, 2, 3, 4, 5, 6, 7]
    assert (second.codes()[live] == second.clear()[live]).all()


def test_a_seal_of_fewer_slots_than_an_answer_has_neither_demands_nor_carries_it(
    bench: SealBench,
) -> None:
    """It cannot be while directories only grow; if a store of them was copied back, it can."""
    first = sealed(bench, "s1", "abcd")
    bench.list(*range(5), batch=2)
    seal = signed(bench, "s2")
    given = fresh(seal)
    refuse(seal, "d: not its last answer", given, [seal.carry(first, "d")], outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_only_the_very_last_answer_is_carried(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    second = sealed(bench, "s2", "abcd")
    seal = signed(bench, "s3")
    given, last = fresh(seal), seal.carry(second, "d")
    again = second.share("d").envelope  # d signs a second vector: a seed the office never opened
    forged = replace(last.envelope, commitment=again.commitment)
    statement = _statement(first.signed.digest, last.envelope)
    moved = replace(last.envelope, signature=bench.bench.keys["d"].sign(*statement))
    for carried, why in [
        (seal.carry(first, "d"), "d: not its last answer"),
        (Carried(again, second.signed.digest), "d: not its last answer"),
        (Carried(moved, first.signed.digest), "d: not its last answer"),
        (Carried(first.shares["d"].envelope, second.signed.digest), "d: signature does not"),
        (Carried(forged, second.signed.digest), "d: signature does not verify"),
    ]:
        refuse(seal, why, given, [carried], outlet="d")
    refuse(seal, "named twice", [*given, seal.share("d").envelope], [last])
    assert bench.office.store_set(seal.signed.digest, given, [last])


def test_an_answer_that_was_in_no_set_is_not_carried(bench: SealBench) -> None:
    seal = signed(bench, "s1")
    envelope = seal.share("d").envelope
    seal.store("abc")
    bench.office.close_seal(seal.signed.digest)
    after = signed(bench, "s2")
    carried = [Carried(envelope, seal.signed.digest)]
    refuse(after, "d: not its last answer", fresh(after), carried, outlet="d")


def test_an_answer_of_a_seal_that_was_never_finished_is_the_last_one(bench: SealBench) -> None:
    sealed(bench, "s1", "abcd")
    failed = signed(bench, "s2")
    failed.store("abcd")
    bench.office.close_seal(failed.signed.digest)
    after = sealed(bench, "s3", "abc", (failed, "d"))
    assert (after.codes() == after.clear()).all()


# --- how old ------------------------------------------------------------------------------------


def after_days(bench: SealBench, days: float) -> tuple[HonestSeal, HonestSeal]:
    """A first seal of four, and so many days later a second that is signed."""
    first = sealed(bench, "s1", "abcd")
    bench.bench.clock.at += days * DAY
    return first, signed(bench, "s2")


def test_an_answer_of_31_days_ago_is_demanded_and_carried(bench: SealBench) -> None:
    first, seal = after_days(bench, CARRY_DAYS)
    given = fresh(seal)
    refuse(seal, "lacks 1 outlets that answered within 31 days", given)
    assert bench.office.store_set(seal.signed.digest, given, [seal.carry(first, "d")])


@pytest.mark.parametrize("deleted", [True, False])
def test_an_answer_that_is_older_than_31_days_is_not_carried(
    bench: SealBench, monkeypatch: pytest.MonkeyPatch, *, deleted: bool
) -> None:
    if not deleted:
        monkeypatch.setattr(SeedStore, "delete_old", lambda *_: None)
    first, seal = after_days(bench, CARRY_DAYS + 1 / 24)
    given = fresh(seal)
    why = "d: .*or of more than 31 days ago"
    refuse(seal, why, given, [seal.carry(first, "d")], outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_a_carried_answer_grows_older_however_often_it_is_carried(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    for number in range(2, 5):
        bench.bench.clock.at += 10 * DAY
        sealed(bench, f"s{number}", "abc", (first, "d"))
    bench.bench.clock.at += 10 * DAY
    seal = signed(bench, "s5")
    refuse(seal, "more than 31 days ago", fresh(seal), [seal.carry(first, "d")], outlet="d")


@pytest.mark.parametrize("off", [32, -32])
def test_of_which_day_an_answer_is_decides_nothing(off: int) -> None:
    """HQ chooses the days; when an answer came it does not."""
    bench = SealBench(settings=MANY.model_copy(update={"days_off": 40}))
    first = sealed(bench, "s1", "abcd", as_of=bench.bench.day(off))
    with bench.bench.store.transaction() as transaction:
        transaction.keep_day("bands", "2000-01-01")  # as if days might go back
    seal = signed(bench, "s2")
    given = fresh(seal)
    refuse(seal, "its set lacks 1 outlets that answered within 31 days", given)
    seal.store("abc", (first, "d"))
    seal.take_all()
    seal.close()
    assert (seal.codes() == seal.clear()).all()


def test_at_the_days_that_the_office_signs_a_month_of_carrying_is_a_month() -> None:
    """Sealed as of a week ago, and 18 days later as of a week ahead; with the office's limits."""
    bench = SealBench(settings=OfficeSettings(), names=tuple("abcdefgh"))
    first = sealed(bench, "s1", "abcdefgh", as_of=bench.bench.day(-7))
    bench.bench.clock.at += 18 * DAY
    seal = signed(bench, "s2", as_of=bench.bench.day(7))
    refuse(seal, "its set lacks 2 outlets", fresh(seal, "abcdef"))
    seal.store("abcdef", (first, "g"), (first, "h"))


# --- what the office keeps ------------------------------------------------------------------------


def in_files(folder: Path, secret: bytes) -> bool:
    return any(secret in file.read_bytes() for file in folder.iterdir())


@pytest.mark.sqlite_only
def test_a_new_answer_overwrites_the_seed_of_the_one_before(tmp_path: Path) -> None:
    bench = SealBench(f"sqlite:///{tmp_path / 'office.db'}")
    sealed(bench, "s1", "abcd")
    before = kept(bench)
    assert all(in_files(tmp_path, seed) for seed in before.values())
    sealed(bench, "s2", "abcd")
    assert set(before) == set(kept(bench)) == set("abcd")
    assert not any(in_files(tmp_path, seed) for seed in before.values())


def test_seeds_older_than_31_days_are_deleted_at_whatever_call_comes_next(tmp_path: Path) -> None:
    bench = SealBench(f"sqlite:///{tmp_path / 'office.db'}")
    sealed(bench, "s1", "abcd")
    before = kept(bench)
    bench.bench.clock.at += CARRY_DAYS * DAY
    bench.night("n2")
    assert kept(bench) == before
    bench.bench.clock.at += 1
    bench.night("n3")
    assert kept(bench) == {}
    assert not any(in_files(tmp_path, seed) for seed in before.values())


def test_a_backup_has_no_seed_and_carries_nobody(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    bench = SealBench(f"sqlite:///{tmp_path / 'office.db'}")
    first = sealed(bench, "s1", "abcd")
    copy_without_keys(bench.url, tmp_path / "copy" / "office.db")
    seeds = kept(bench)
    bench.url = f"sqlite:///{tmp_path / 'copy' / 'office.db'}"
    bench.restart()
    assert (len(seeds), kept(bench)) == (4, {})
    assert not any(in_files(tmp_path / "copy", seed) for seed in seeds.values())
    seal = signed(bench, "s2")
    refuse(seal, "d: not its last", fresh(seal), [seal.carry(first, "d")], outlet="d")


def test_a_renewed_network_carries_nobody_and_ends_an_open_seal(tmp_path: Path) -> None:
    """Its slots begin anew: an answer of before would be of other customers."""
    bench = SealBench(f"sqlite:///{tmp_path / 'office.db'}")
    first = sealed(bench, "s1", "abcd")
    opened = signed(bench, "s2")
    opened.store("abcd")
    key = (tmp_path / KEY_FILE).read_bytes()
    end_network(bench.url, Vault(tmp_path / KEY_FILE), KeyFile.beside(bench.url))
    assert kept(bench) == {}
    assert (tmp_path / KEY_FILE).read_bytes() != key
    with pytest.raises(ReleaseClosed, match="s2: expired"):
        opened.take()
    bench.list(*range(6, 16))
    seal = signed(bench, "s3")
    for earlier in (first, opened):
        refuse(seal, "d: not its last", fresh(seal), [seal.carry(earlier, "d")], outlet="d")


@pytest.mark.sqlite_only
def test_seeds_of_release_0_1_die_when_the_store_is_upgraded(tmp_path: Path) -> None:
    file = tmp_path / "office.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((ROOT / "tests/stores/0.1/office-office.sql").read_text())
        seeds = [seed for (seed,) in connection.execute("SELECT seed FROM points_seeds")]
    assert seeds
    assert all(in_files(tmp_path, seed) for seed in seeds)
    with closing_engine(f"sqlite:///{file}", OFFICE) as engine:
        upgrade_tables(engine, OFFICE, lambda _said: None)
    assert not any(in_files(tmp_path, seed) for seed in seeds)
