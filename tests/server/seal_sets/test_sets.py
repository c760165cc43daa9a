"""Which sets of answers the office takes, at once and through kills; what it keeps of them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from privacy.envelopes import SigningKey
from privacy.errors import AnswerRefused, PlanRefused, ReleaseClosed
from privacy.two_key_sum import CARRY_DAYS, _statement
from server.holder.database import closing_engine
from server.holder.migrating import upgrade_tables
from server.holder.vault import KeyFile
from server.office import sealing, set_rules
from server.office.backup import copy_without_keys
from server.office.ledger_store import end_network
from server.office.seal_store import SealStore
from server.office.seed_store import SeedStore
from server.office.tables import OFFICE
from server.office.vault import KEY_FILE, Vault
from tests.server.seal_benches import DAY, MANY, SealBench
from tests.server.seal_sets.shown_sets import (
    BAND,
    KINDS,
    ROOT,
    fresh,
    kept,
    refuse,
    sealed,
    signed,
    terms,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from privacy.seal_plans import SealKind
    from server.office.unlock import Office


pytestmark = pytest.mark.usefixtures("both_engines")


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
