"""HQ's side of a seal: codes are those of the clear sum, whoever was absent or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy.envelopes import SigningKey
from privacy.errors import AnswerRefused, PlanRefused, ReleaseClosed
from privacy.oblivious_transfer import TransferFailed
from privacy.plans import Signed
from privacy.seal_plans import PART_BOUND, SealKind, most_counted, most_outlets
from privacy.two_key_sum import CARRY_DAYS, MaskedShare, _statement
from server.hq.errors import AnotherNight, QuorumNotMet
from tests.server.hq_sealing import HqBench, in_chunks_of
from tests.server.seal_benches import CUTS, DAY, SealBench
from tests.server.seal_benches import MANY as MANY_SEALS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("both_engines")

KINDS = pytest.mark.parametrize("kind", list(SealKind))
MANY = tuple(f"o{number:02d}" for number in range(20))


@KINDS
def test_codes_are_those_of_the_clear_sum_of_everybody(kind: SealKind) -> None:
    hq = HqBench(SealBench(customers=(*range(40), None, 40)))
    seal = hq.seal(kind=kind)
    assert hq.codes(seal) == hq.clear(seal, "abcde")
    assert seal.outlets == tuple("abcde")
    assert len({tuple(row) for row in hq.clear(seal, "abcde") if row}) > 6  # not all alike


@KINDS
def test_a_seal_of_several_chunks_reads_alike(
    kind: SealKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_chunks_of(16, monkeypatch)
    hq = HqBench(SealBench(customers=tuple(range(40))))
    seal = hq.seal(kind=kind)
    assert [args[1] for args in hq.office.calls("seal_chunk")] == [0, 1, 2]
    assert hq.codes(seal) == hq.clear(seal, "abcde")


def test_sums_at_both_ends_and_at_every_cut_read_as_what_they_are() -> None:
    ends = most_outlets(1) * PART_BOUND
    near = [cut + off for cuts in CUTS for cut in cuts for off in (-1, 0, 1)]
    sums = [*near, -ends, -ends + 1, ends - 1, ends, 0]
    hq = HqBench(SealBench(customers=tuple(range(len(sums))), names=MANY[:17]), there=MANY[:17])
    for place in range(2):
        left = np.array(sums)
        for name in hq.at.names:
            part = np.clip(left, -PART_BOUND, PART_BOUND)
            hq.parts[name][:, place] = part
            left = left - part
        assert not left.any()
    seal = hq.seal()
    assert hq.codes(seal) == hq.clear(seal, MANY[:17])
    entries = [entry for entry in hq.read(seal) if entry is not None]
    assert [entry.codes[0] for entry in entries[-5:]] == [0, 0, 3, 3, 1]
    assert not any(entry.many_outlets for entry in entries)


@KINDS
def test_slots_of_more_outlets_than_a_sum_holds_are_marked_and_no_others(kind: SealKind) -> None:
    most = most_counted(4)
    many = np.array([most - 1, most, most + 1, 2 * most])
    hq = HqBench(SealBench(customers=tuple(range(4))), registrations=many)
    marked = [entry.many_outlets for entry in hq.read(hq.seal(kind=kind)) if entry is not None]
    assert marked == [False, False, True, True]


def test_without_its_mark_a_sum_of_too_many_outlets_would_read_as_its_opposite() -> None:
    hq = HqBench(
        SealBench(customers=(0, 1), names=MANY[:18]), there=MANY[:18],
        registrations=np.array([most_counted(2), most_counted(2) + 1]),
    )  # fmt: skip
    for name in hq.at.names:
        hq.parts[name][:, 0] = PART_BOUND, PART_BOUND
    hq.parts[MANY[0]][0] = 0
    first, second = hq.read(hq.seal())
    assert first is not None
    assert second is not None
    assert (first.codes[0], first.many_outlets) == (3, False)
    assert (second.codes[0], second.many_outlets) == (0, True)


# --- who is in the set -------------------------------------------------------------------------


def test_an_outlet_that_is_absent_counts_with_its_last_answer() -> None:
    hq = HqBench(SealBench(customers=tuple(range(9))))
    hq.seal("n0")
    hq.a_week_later("abcde")
    for parts in hq.parts.values():
        parts[:] = parts[::-1].copy()
    hq.seal("n1")
    before = {name: parts.copy() for name, parts in hq.parts.items()}
    hq.a_week_later("abc")
    for parts in hq.parts.values():
        parts[:, :-1] = -parts[:, :-1]
    seal = hq.seal("n2")
    assert seal.outlets == tuple("abcde")
    now = hq.parts
    hq.parts = {name: (now if name in "abc" else before)[name] for name in "abcde"}
    assert hq.codes(seal) == hq.clear(seal, "abcde")
    fresh, carried = hq.office.calls("store_set")[-1][1:]
    assert [envelope.outlet for envelope in fresh] == list("abc")  # type: ignore[attr-defined]
    assert [last.envelope.outlet for last in carried] == list("de")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("there", "told"), [("abcd", True), ("abc", False)])
def test_slots_that_came_since_an_answer_that_is_carried_have_nothing_of_it(
    there: str, *, told: bool
) -> None:
    """And read as new ones do, until three quarters have answered about them."""
    hq = HqBench(SealBench(customers=(0, 1, 2)))
    hq.seal("n1")
    hq.at.list(0, None, 2, 3, 4, batch=2)
    before = hq.parts
    hq = replace_slots(hq)
    hq.parts = {name: np.concatenate([before[name], hq.parts[name][3:]]) for name in "abcde"}
    hq.a_week_later(there)
    seal = hq.seal("n2")
    for name in set("abcde") - set(there):
        hq.parts[name][3:] = 0
    clear = hq.clear(seal, "abcde")
    assert all(any(row) for row in clear[3:] if row)
    assert hq.codes(seal) == (clear if told else [*clear[:3], [0, 0, 0], [0, 0, 0]])


def calibrated(hq: HqBench) -> None:
    """The office has answered a calibration since the last seal."""
    with hq.at.bench.store.transaction() as transaction:
        transaction.seals.note_calibration()


def replace_slots(hq: HqBench) -> HqBench:
    """The same network with more slots."""
    made = HqBench(hq.at, there=hq.there)
    made.store = hq.store
    return made


@pytest.mark.parametrize(("days", "who"), [(CARRY_DAYS, "abcd"), (CARRY_DAYS + 1, "abc")])
def test_an_answer_is_carried_for_a_month_and_then_deleted(days: int, who: str) -> None:
    hq = HqBench(there="abcd")
    hq.seal("n1")
    hq.clock.at += days * DAY
    hq.there = "abc"
    seal = hq.seal("n2")
    assert seal.outlets == tuple(who)
    assert hq.codes(seal) == hq.clear(seal, who)
    assert hq.store.carryable() == set(who)


def test_an_answer_is_carried_whatever_day_it_was_asked_as_of() -> None:
    """The office demands it: a month is a month."""
    hq = HqBench()
    hq.seal("n1", as_of=hq.at.bench.day(-7))
    hq.clock.at += 18 * DAY
    hq.there = "abc"
    assert hq.seal("n2", as_of=hq.at.bench.day(7)).outlets == tuple("abcde")


def test_an_outlet_with_a_new_key_is_missed_by_no_seal_while_it_is_away() -> None:
    hq = HqBench()
    hq.seal("n1")
    hq.a_week_later("abcd")
    hq.at.bench.keys["e"] = SigningKey.generate()
    outlets = hq.at.bench.public_keys
    hq.at.bench.office = replace(hq.at.bench.office, outlets=outlets)
    assert hq.seal("n2").outlets == tuple("abcd")
    hq.a_week_later("abcde")
    assert hq.seal("n3").outlets == tuple("abcde")
    hq.a_week_later("abcd")
    assert hq.seal("n4").outlets == tuple("abcde")


def test_a_new_scorecard_carries_nobody() -> None:
    hq = HqBench()
    hq.seal("n1")
    hq.clock.at += CARRY_DAYS * DAY
    hq.there = "abcd"
    hq.seal("n2", SealKind.FINE, scorecards=b"others")
    calibrated(hq)
    assert hq.seal("n3", scorecards=b"others").outlets == tuple("abcd")


def test_an_answer_under_another_modulus_is_not_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a directory that grew above a million slots since."""
    monkeypatch.setattr("privacy.seal_plans.LARGEST_FULL", 6)
    hq = HqBench()
    hq.seal("n1")
    hq.at.list(*range(7), batch=2)
    hq = replace_slots(hq)
    hq.a_week_later("abcd")
    sealing = hq.sealing("n2")
    assert sealing.seal(hq.ask()).outlets == tuple("abcd")
    assert sealing.combiner.failures == {"no answer": 1}  # the office was not shown the other's


def test_answers_for_calibration_are_carried_nowhere_and_replace_none() -> None:
    """Also where both kinds of seal are as of one day."""
    hq = HqBench(SealBench(settings=MANY_SEALS.model_copy(update={"horizon_days": 0})))
    hq.seal("n1")
    hq.there = "abcd"
    fine = hq.seal("n2", SealKind.FINE)
    assert fine.outlets == tuple("abcd")
    hq.there = "abc"
    seal = hq.seal("n3")
    assert seal.outlets == tuple("abcde")
    assert hq.codes(seal) == hq.clear(seal, "abcde")


def spoil(hq: HqBench, name: str) -> Callable[[MaskedShare], MaskedShare]:
    """An outlet signs a seed that does not open."""

    def spoilt(share: MaskedShare) -> MaskedShare:
        unsigned = replace(share.envelope, sealed_seed=bytes(80))
        question = hq.questions[-1]
        plan_digest = Signed(question["plan"], question["plan_signature"]).digest
        signature = hq.at.bench.keys[name].sign(*_statement(plan_digest, unsigned))
        return replace(share, envelope=replace(unsigned, signature=signature))

    return spoilt


@KINDS
def test_an_outlet_whose_seed_does_not_open_is_left_out(kind: SealKind) -> None:
    hq = HqBench()
    hq.spoilt["b"] = spoil(hq, "b")
    sealing = hq.sealing()
    seal = sealing.seal(hq.ask(kind))
    assert seal.outlets == tuple("acde")
    assert hq.codes(seal) == hq.clear(seal, "acde")
    assert sealing.combiner.failures == {"seed at fault": 1}
    assert len(hq.questions) == 1  # nobody is asked again for it


def test_an_outlet_whose_new_seed_does_not_open_is_carried_instead() -> None:
    hq = HqBench()
    hq.seal("n1")
    hq.a_week_later("abcde")
    hq.spoilt["b"] = spoil(hq, "b")
    seal = hq.seal("n2")
    assert seal.outlets == tuple("abcde")
    assert hq.codes(seal) == hq.clear(seal, "abcde")
    hq.spoilt.clear()
    hq.a_week_later("acde")
    assert hq.seal("n3").outlets == tuple("abcde")  # the spoilt answer took no other's place


def test_a_last_answer_that_the_office_has_not_is_left_out() -> None:
    """As after the office was restored from a backup, which holds no seeds."""
    hq = HqBench()
    hq.seal("n1")
    with hq.at.bench.store.transaction() as transaction:
        transaction.seeds.delete_all()
    hq.a_week_later("abcd")
    sealing = hq.sealing("n2")
    seal = sealing.seal(hq.ask())
    assert seal.outlets == tuple("abcd")
    assert hq.codes(seal) == hq.clear(seal, "abcd")
    assert sealing.combiner.failures == {"no answer": 1, "last answer refused": 1}


@pytest.mark.parametrize("night", ["n2", "n3"])
def test_a_last_answer_that_hq_lost_lets_the_office_refuse_and_the_seal_wait(night: str) -> None:
    """Until the outlet is there: the same night that is taken up again, or the next one."""
    hq = HqBench()
    hq.seal("n1")
    hq.store.forget_old_answers(hq.clock() + (CARRY_DAYS + 1) * DAY)
    hq.a_week_later("abcd")
    with pytest.raises(AnswerRefused, match="its set lacks 1 outlets"):
        hq.seal("n2")
    hq.there = "abcde"
    assert hq.seal(night).outlets == tuple("abcde")


@KINDS
def test_a_set_that_was_refused_whole_is_asked_for_anew_when_its_night_is_taken_up(
    kind: SealKind,
) -> None:
    """Once each time; who answered before counts though it is away now."""
    hq = HqBench(SealBench(names=tuple("abcdefgh")), there="abcdefgh")
    hq.seal("n1")
    hq.clock.at += (CARRY_DAYS + 1) * DAY
    hq.there, before = "abcde", len(hq.questions)
    for times in (1, 2):
        with pytest.raises(AnswerRefused, match="got 5 of the 8 outlets"):
            hq.seal("n2", kind)
        assert len(hq.questions) == before + times
    hq.there = "cdef"
    seal = hq.seal("n2", kind)
    assert seal.outlets == tuple("abcdef")
    assert hq.codes(seal) == hq.clear(seal, "abcdef")
    assert len(hq.questions) == before + 3


def test_fewer_answers_than_the_quorum_seal_nothing() -> None:
    hq = HqBench(there="ab")
    with pytest.raises(QuorumNotMet, match="2 outlets answered, expected at least 3"):
        hq.seal()
    assert not hq.office.calls("store_set")


# --- how a seal ends ---------------------------------------------------------------------------


def test_a_seal_that_came_to_its_end_is_read_from_the_store() -> None:
    hq = HqBench()
    seal = hq.seal()
    asked, questions = len(hq.office.asked), len(hq.questions)
    assert hq.seal() == seal
    assert (len(hq.office.asked), len(hq.questions)) == (asked, questions)


def test_a_seal_is_taken_up_with_the_parameters_that_it_began_with() -> None:
    hq = HqBench()
    hq.seal()
    for changes in (
        {"scorecards": b"others"},
        {"cuts": ((0, 4), (8, 12))},
        {"as_of": "2026-01-01"},
    ):
        with pytest.raises(AnotherNight, match="n1/001-points"):
            hq.seal(**changes)


def test_tables_that_do_not_verify_end_a_seal_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    hq = HqBench()
    office = type(hq.at.office)

    def short(_self: object, *_args: object) -> list[bytes]:
        return [b"too few"]

    with monkeypatch.context() as patched:
        patched.setattr(office, "seal_chunk", short)
        with pytest.raises(TransferFailed, match="got 7 bytes of tables") as failed:
            hq.seal()
    questions = len(hq.questions)
    with pytest.raises(ReleaseClosed, match="got 7 bytes of tables"):
        hq.seal()
    assert len(hq.questions) == questions
    known = hq.store.seal("n1/001-points")
    assert known is not None
    assert known.over == str(failed.value)
    assert (known.seed, known.one_time, known.aggregate) == (None, None, None)
    assert hq.codes(hq.seal("n2"))  # the next night closes it and goes on


def test_points_of_the_base_transfers_that_are_none_end_a_seal_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hq = HqBench()
    sign = type(hq.at.office).sign_seal

    def crafted(self: object, draft: object) -> object:
        signed, transfers = sign(self, draft)  # type: ignore[arg-type]
        return signed, bytes(32) + transfers[32:]

    monkeypatch.setattr(type(hq.at.office), "sign_seal", crafted)
    with pytest.raises(TransferFailed, match="over for good"):
        hq.seal()
    known = hq.store.seal("n1/001-points")
    assert known is not None
    assert known.over


def test_a_set_that_the_office_names_otherwise_ends_a_seal_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HQ's streams are bound to the name: under one name for two sets they would repeat."""
    hq = HqBench()
    with monkeypatch.context() as patched:
        patched.setattr(type(hq.at.office), "store_set", lambda *_: "ab" * 32)
        with pytest.raises(TransferFailed, match="another set than it was shown"):
            hq.seal()
    with pytest.raises(ReleaseClosed, match="another set than it was shown"):
        hq.seal()
    assert not hq.office.calls("seal_chunk")


def test_a_seal_that_expired_at_the_office_is_over() -> None:
    hq = HqBench()
    office = hq.office

    class Late:
        """HQ comes to its first chunk when the plan is over."""

        def __getattr__(self, name: str) -> object:
            if name == "seal_chunk":
                hq.clock.at += 3600
            return getattr(office, name)

    hq.office = Late()  # type: ignore[assignment]
    with pytest.raises(ReleaseClosed, match="n1/001-points: expired; it is over"):
        hq.seal()
    hq.office = office
    with pytest.raises(ReleaseClosed, match="expired"):
        hq.seal()
    hq.there = "abcd"  # the office took that set: its answers are the last ones of both
    assert hq.seal("n2").outlets == tuple("abcde")


def test_a_seal_that_the_office_does_not_sign_leaves_the_last_one_standing() -> None:
    hq = HqBench(SealBench(settings=MANY_SEALS.model_copy(update={"seals_a_week": 1})))
    first = hq.seal("n1")
    with pytest.raises(PlanRefused, match="1 band seals within 7 days, expected at most 1"):
        hq.seal("n2")
    assert hq.store.standing_seal() == first
    hq.a_week_later("abcde")
    third = hq.seal("n3")
    assert hq.store.standing_seal() == third


def test_other_choices_of_a_chunk_are_never_sent() -> None:
    """As of an HQ whose masked sum was altered, or of an older copy of it."""
    hq = HqBench()
    hq.office.dies = ("seal_chunk", 1, "after")
    with pytest.raises(BaseException):  # noqa: B017, PT011  (a power cut)
        hq.seal()
    hq.office.dies = None
    known = hq.store.seal("n1/001-points")
    assert known is not None
    assert known.aggregate is not None
    altered = replace(known.aggregate, masked_sum=known.aggregate.masked_sum + np.uint16(1))
    hq.store.replace_seal_sum("n1/001-points", altered)
    with pytest.raises(TransferFailed, match="other choices of chunk 0 were made before"):
        hq.seal()
    assert len(hq.office.calls("seal_chunk")) == 1
