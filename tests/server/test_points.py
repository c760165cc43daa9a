"""Points: which sets of outlets are unlocked, and how an absent outlet is carried."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy.budget import YEAR_SECONDS, LedgerAct
from privacy.envelopes import SigningKey
from privacy.errors import AnswerRefused, BudgetExceeded, PlanRefused
from privacy.loss import Rho
from privacy.plans import ReleasePlan, Signed
from privacy.two_key_sum import Aggregate, Carried, Contribution, MaskedShare, mask_share
from privacy.units import Purpose, Unit
from server.hq.combine import Combiner
from server.hq.store import HqStore
from server.office.ledger_store import OfficeStore, copy_without_keys
from server.office.settings import OfficeSettings
from server.office.unlock import Office
from tests.builders import SCALE, Bench
from tests.networks import CUT_OFF, TARGET, banded_settings, small_network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flwr.app import Message

    from privacy.fixed_point import Residues
    from sandbox.network import Network
    from server.hq.report import NightReport

SEVEN = tuple("abcdefg")
NOISY = Rho(2)
"""What points cost one event at the default noise, half of an event's longest row."""


class Points:
    """An office and seven outlets, on a night of points releases."""

    def __init__(
        self,
        settings: OfficeSettings | None = None,
        rho: Rho | None = None,
        url: str = "sqlite://",
        count: int = 8,
    ) -> None:
        silent = OfficeSettings(noiseless=frozenset({Purpose.POINTS}))
        self.bench = Bench(
            names=SEVEN,
            settings=settings or silent,
            url=url,
            rho=rho,
            count=count,
            purpose=Purpose.POINTS,
        )
        self.night = self.bench.night()
        self.parent = ""
        self.signed: list[Signed] = []

    @property
    def office(self) -> Office:
        return self.bench.office

    def sign(self, **changes: object) -> Signed:
        name = f"r{len(self.signed) + 1}"
        changes = {"parent": self.parent, **changes}
        signed = self.office.sign_release(self.bench.draft(self.night, name, **changes))
        self.signed.append(signed)
        self.parent = name
        return signed

    def share(
        self, signed: Signed, name: str, values: Sequence[float] | None = None
    ) -> MaskedShare:
        """An outlet's answer: one event in one slot, a row of the plan's whole dimension."""
        plan = ReleasePlan.decode(signed.payload)
        row = np.full(plan.dimension, ord(name) / 1000) if values is None else np.asarray(values)
        contribution = Contribution(row[None, :])
        return mask_share(contribution, plan, signed.digest, name, self.bench.keys[name])

    def release(self, names: str, carried: Sequence[Carried] = (), **changes: object) -> bytes:
        """One whole release of fresh answers of some, and last answers of others."""
        signed = self.sign(**changes)
        shares = [self.share(signed, name) for name in names]
        return self.office.unlock(signed.digest, [share.envelope for share in shares], carried)


def last(signed: Signed, share: MaskedShare) -> Carried:
    return Carried(share.envelope, signed.digest)


# --- which sets ------------------------------------------------------------------------------


def test_the_same_set_again_is_unlocked() -> None:
    points = Points()
    points.release("abcd")
    points.release("abcd")
    charged = [e for e in points.bench.store.ledger().entries if e.act is LedgerAct.CHARGE]
    assert [e.release for e in charged] == ["r1", "r2"]


@pytest.mark.parametrize("names", ["abc", "abcde", "abce", "abcdef", "abcef", "abcefg"])
def test_a_set_that_differs_by_fewer_outlets_than_the_quorum_is_refused(names: str) -> None:
    points = Points()
    points.release("abcd")
    before = points.bench.store.ledger()
    with pytest.raises(AnswerRefused, match=r"its set lacks [01] outlets of the last one"):
        points.release(names)
    assert points.bench.store.ledger() == before


def test_a_set_that_grows_by_a_quorum_is_unlocked_and_never_shrinks() -> None:
    points = Points()
    points.release("abcd")
    points.release("abcdefg")
    with pytest.raises(AnswerRefused, match="its set lacks 3 outlets of the last one"):
        points.release("abcd")


def test_a_set_grows_by_the_offices_own_minimum_where_that_was_raised_after_signing() -> None:
    points = Points()
    points.release("abcd")
    signed = points.sign()
    envelopes = [points.share(signed, name).envelope for name in SEVEN]
    stricter = points.bench.settings.model_copy(update={"minimum_outlets": 4})
    with pytest.raises(AnswerRefused, match="adds 3, expected 0, and none or at least 4"):
        replace(points.office, settings=stricter).unlock(signed.digest, envelopes)
    assert points.office.unlock(signed.digest, envelopes)


def test_overlapping_sets_from_which_one_outlet_could_be_solved_are_refused() -> None:
    """{a,b,c} + {a,d,e} + {a,f,g} less all of them would be two of a's."""
    points = Points()
    points.release("abc")
    with pytest.raises(AnswerRefused, match="its set lacks 2 outlets"):
        points.release("ade")


def test_a_plan_with_a_larger_quorum_lets_a_set_grow_by_no_fewer() -> None:
    points = Points()
    points.release("abcd")
    with pytest.raises(AnswerRefused, match="adds 3, expected 0, and none or at least 4"):
        points.release("abcdefg", quorum=4)


def test_the_set_rule_is_a_scorecards_own() -> None:
    points = Points()
    points.release("abcd")
    points.release("abc", scorecard="another")
    with pytest.raises(AnswerRefused, match="its set lacks 1 outlets"):
        points.release("abc")


def test_a_year_has_few_scorecards() -> None:
    silent = frozenset({Purpose.POINTS})
    points = Points(settings=OfficeSettings(scorecards_a_year=2, noiseless=silent))
    points.release("abcd")
    points.release("abcd", scorecard="another")
    points.release("abcd")
    with pytest.raises(PlanRefused, match="2 scorecards had points within a year"):
        points.release("abcd", scorecard="a third")


def test_the_set_rule_does_not_bind_customer_sums() -> None:
    bench = Bench()
    night, parent = bench.night(), ""
    for release, names in (("r1", "abcd"), ("r2", "abc")):
        signed = bench.office.sign_release(bench.draft(night, release, parent=parent))
        shares = [bench.share(signed, name) for name in names]
        bench.office.unlock(signed.digest, [share.envelope for share in shares])
        parent = release


# --- carrying --------------------------------------------------------------------------------


def decoded(
    points: Points,
    signed: Signed,
    shares: Sequence[MaskedShare],
    carried: Sequence[tuple[Carried, Residues]],
) -> list[int]:
    """What HQ reads of a release without noise, in integer units."""
    plan = ReleasePlan.decode(signed.payload)
    aggregate = Aggregate.of(plan, shares, carried)
    answer = points.office.unlock(signed.digest, aggregate.envelopes, aggregate.carried)
    table = aggregate.score_table(answer, np.zeros(plan.dimension, dtype=np.int64))
    assert table.outlets == tuple(sorted(aggregate.outlets))
    return [round(value) for value in table.values * SCALE]


def sums(values: Sequence[float], plan: ReleasePlan) -> np.ndarray:
    return Contribution(np.asarray(values)[None, :]).sums(plan)


def test_an_absent_outlet_counts_with_its_last_answer_exactly() -> None:
    points = Points()
    old = {name: [index / 10, -0.25, 0.0, 0.5] for index, name in enumerate("abcd")}
    first = points.sign()
    plan = ReleasePlan.decode(first.payload)
    shares = {name: points.share(first, name, old[name]) for name in "abcd"}
    exact = sum(sums(old[name], plan) for name in "abcd")
    assert decoded(points, first, list(shares.values()), []) == np.asarray(exact).tolist()

    second = points.sign()
    new = [0.1, 0.2, 0.3, 0.4]
    fresh = [points.share(second, name, new) for name in "abc"]
    pair = last(first, shares["d"]), shares["d"].vector
    exact = 3 * sums(new, plan) + sums(old["d"], plan)
    assert decoded(points, second, fresh, [pair]) == exact.tolist()

    third = points.sign()  # absent twice: still the same answer
    fresh = [points.share(third, name, old[name]) for name in "abc"]
    exact = sum(sums(old[name], plan) for name in "abcd")
    assert decoded(points, third, fresh, [pair]) == np.asarray(exact).tolist()


@pytest.mark.parametrize("bits", [32, 64])
def test_an_outlet_is_carried_over_slots_that_were_added_since(bits: int) -> None:
    points = Points()
    changes = {"ring_bits": bits, "outlet_bound": SCALE * 16}
    first = points.sign(**changes)
    shares = [points.share(first, name, [0.5, -0.5, 0.25, 0.125]) for name in "abcd"]
    decoded(points, first, shares, [])

    second = points.sign(dimension=7, **changes)
    plan = ReleasePlan.decode(second.payload)
    new = [0.1, 0.2, 0.3, 0.4, -0.5, 0.6, 0.25]
    fresh = [points.share(second, name, new) for name in "abc"]
    pair = last(first, shares[3]), shares[3].vector
    carried = np.zeros(7, dtype=np.int64)
    carried[:4] = sums([0.5, -0.5, 0.25, 0.125], ReleasePlan.decode(first.payload))
    assert decoded(points, second, fresh, [pair]) == (3 * sums(new, plan) + carried).tolist()


def test_a_release_shorter_than_an_answer_it_carries_is_refused() -> None:
    points = Points()
    first = points.sign(dimension=6)
    shares = [points.share(first, name) for name in "abcd"]
    points.office.unlock(first.digest, [share.envelope for share in shares])
    with pytest.raises(Exception, match="shorter than an answer it carries"):
        points.release("abc", [last(first, shares[3])])
    assert len([e for e in points.bench.store.ledger().entries if e.act is LedgerAct.CHARGE]) == 1


class Told:
    """An office that released `abcd` twice, and d's two answers."""

    def __init__(self) -> None:
        self.points = Points()
        self.answers: list[tuple[Signed, MaskedShare]] = []
        for _ in range(2):
            signed = self.points.sign()
            shares = [self.points.share(signed, name) for name in "abcd"]
            self.points.office.unlock(signed.digest, [share.envelope for share in shares])
            self.answers.append((signed, shares[3]))

    @property
    def charges(self) -> int:
        return len(
            [e for e in self.points.bench.store.ledger().entries if e.act is LedgerAct.CHARGE]
        )


def test_an_earlier_answer_than_the_last_is_not_carried() -> None:
    told = Told()
    with pytest.raises(AnswerRefused, match="outlet d: not its last answer"):
        told.points.release("abc", [last(*told.answers[0])])
    assert told.charges == 2


def test_an_answer_that_was_never_released_is_not_carried() -> None:
    told = Told()
    signed = told.points.sign()
    shares = [told.points.share(signed, name) for name in "abcd"]
    envelopes = [share.envelope for share in shares[:3]]
    with pytest.raises(AnswerRefused, match="outlet d: not its last answer"):
        told.points.office.unlock(signed.digest, envelopes, [last(signed, shares[3])])


def test_the_last_answer_to_another_scorecard_is_not_carried() -> None:
    told = Told()
    told.points.release("abcd", scorecard="another")
    with pytest.raises(AnswerRefused, match="not its last answer for this scorecard"):
        told.points.release("abc", [last(*told.answers[1])])


def test_an_answer_is_not_carried_into_another_scorecards_points() -> None:
    told = Told()
    with pytest.raises(AnswerRefused, match="not its last answer for this scorecard"):
        told.points.release("abc", [last(*told.answers[1])], scorecard="another")


def test_a_forged_answer_is_not_carried() -> None:
    told = Told()
    signed, share = told.answers[1]
    plan = ReleasePlan.decode(signed.payload)
    other = mask_share(
        Contribution(np.zeros((1, 4))), plan, signed.digest, "d", SigningKey.generate()
    )
    forged = replace(other.envelope, commitment=share.envelope.commitment)
    borrowed = replace(share.envelope, commitment=other.envelope.commitment)
    request = told.points.sign()
    fresh = [told.points.share(request, name).envelope for name in "abc"]
    for envelope in (other.envelope, forged, borrowed):
        with pytest.raises(AnswerRefused, match="outlet d: signature does not verify"):
            told.points.office.unlock(request.digest, fresh, [Carried(envelope, signed.digest)])
    with pytest.raises(AnswerRefused, match="outlet d: signature does not verify"):
        told.points.office.unlock(
            request.digest, fresh, [Carried(share.envelope, told.answers[0][0].digest)]
        )
    assert told.charges == 2


def test_an_answer_that_the_outlet_signed_for_a_plan_never_unlocked_is_not_carried() -> None:
    """d signs a second vector under the plan it answered: a digest the office never opened."""
    told = Told()
    signed, _ = told.answers[1]
    again = told.points.share(signed, "d")
    with pytest.raises(AnswerRefused, match="outlet d: not its last answer"):
        told.points.release("abc", [last(signed, again)])


def test_an_outlet_that_left_the_list_is_carried_and_can_answer_no_more() -> None:
    """Leaving it out would show what it held; what it answered while it was listed stays."""
    told = Told()
    keys = {name: key for name, key in told.points.office.outlets.items() if name != "d"}
    told.points.bench.office = replace(told.points.office, outlets=keys)
    told.points.release("abc", [last(*told.answers[1])])
    with pytest.raises(AnswerRefused, match="outlet d: not on the office's list"):
        told.points.release("abcd")


def test_an_outlet_that_answered_is_not_carried_as_well() -> None:
    told = Told()
    with pytest.raises(AnswerRefused, match="named twice"):
        told.points.release("abcd", [last(*told.answers[1])])


def test_a_customer_sum_carries_nobody() -> None:
    told = Told()
    bench = told.points.bench
    bench.purpose, bench.rho = Purpose.MOMENTS, Rho(1, 1000)
    night = bench.night("night-2")
    signed = bench.office.sign_release(bench.draft(night, "m1"))
    envelopes = [bench.share(signed, name).envelope for name in "abc"]
    with pytest.raises(AnswerRefused, match="only points carry absent outlets"):
        bench.office.unlock(signed.digest, envelopes, [last(*told.answers[1])])
    assert told.charges == 2
    assert bench.office.unlock(signed.digest, envelopes)


def test_only_fresh_answers_count_for_the_quorum() -> None:
    told = Told()
    signed = told.points.sign()
    fresh = [told.points.share(signed, name).envelope for name in "ab"]
    earlier, _ = told.answers[1]
    carried = [last(earlier, told.points.share(earlier, "c")), last(*told.answers[1])]
    with pytest.raises(AnswerRefused, match="got 2 outlets, expected at least 3"):
        told.points.office.unlock(signed.digest, fresh, carried)
    assert told.charges == 2


def test_the_same_request_with_carried_answers_gets_the_same_bytes() -> None:
    told = Told()
    signed = told.points.sign()
    fresh = [told.points.share(signed, name).envelope for name in "abc"]
    carried = [last(*told.answers[1])]
    first = told.points.office.unlock(signed.digest, fresh, carried)
    assert told.points.office.unlock(signed.digest, fresh[::-1], carried) == first
    with pytest.raises(AnswerRefused, match="another set"):
        told.points.office.unlock(signed.digest, fresh)
    with pytest.raises(AnswerRefused, match="another set"):
        told.points.office.unlock(signed.digest, fresh, [last(*told.answers[0])])
    assert told.charges == 3


# --- what a carried answer must not open -------------------------------------------------------


def test_an_answer_is_not_carried_into_another_ring() -> None:
    """Read in a wider ring, the mask of the one who is carried would stand in the sum, bare."""
    points = Points()
    first = points.sign(ring_bits=32, outlet_bound=SCALE * 16)
    shares = [points.share(first, name) for name in "abcd"]
    points.office.unlock(first.digest, [share.envelope for share in shares])
    with pytest.raises(AnswerRefused, match="outlet d"):
        points.release("abc", [last(first, shares[3])], ring_bits=64)


@pytest.mark.parametrize("part", [2, 256])
def test_an_answer_is_not_carried_into_a_release_of_less_noise(part: int) -> None:
    """Its rows are as long as the plan it answered let them be, so the noise must fit that."""
    points = Points(OfficeSettings(), NOISY)
    first = points.sign()
    shares = [points.share(first, name) for name in "abcd"]
    points.office.unlock(first.digest, [share.envelope for share in shares])
    norm = SCALE // part
    with pytest.raises(AnswerRefused, match="outlet d"):
        points.release("abc", [last(first, shares[3])], norm=norm, noise_scale=norm // 2)


def test_two_releases_that_are_unlocked_at_once_keep_the_rule_of_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HQ has two nights open, and asks for the second while the first is being drawn for."""
    points = Points(count=2)
    points.release("abcd")
    one = points.sign()
    two = points.office.sign_release(points.bench.draft(points.bench.night("night-2"), "s1"))
    first = [points.share(one, name).envelope for name in "abcdefg"]
    second = [points.share(two, name).envelope for name in "abcefg"]  # less d; by 4 from the last
    draw = Office._draw
    refused = []

    def meanwhile(self: Office, plan: ReleasePlan) -> Residues:
        if plan.release == "r2":
            try:
                self.unlock(two.digest, second)
            except AnswerRefused as refusal:
                refused.append(refusal)
        return draw(self, plan)

    monkeypatch.setattr(Office, "_draw", meanwhile)
    points.office.unlock(one.digest, first)
    assert "its set lacks 1 outlets of the last one" in str(refused)


# --- what the office keeps -----------------------------------------------------------------------


def kept(file: Path) -> list[bytes]:
    with closing(sqlite3.connect(file)) as connection:
        return [bytes(row[0]) for row in connection.execute("SELECT seed FROM kept_seeds")]


def test_a_copy_of_the_offices_store_holds_no_kept_seed(tmp_path: Path) -> None:
    file, copy = tmp_path / "office.db", tmp_path / "copy.db"
    points = Points(url=f"sqlite:///{file}")
    signed = points.sign()
    shares = [points.share(signed, name) for name in "abcd"]
    points.office.unlock(signed.digest, [share.envelope for share in shares])
    seeds = kept(file)
    assert len(seeds) == 4
    copy_without_keys(points.bench.url, copy)
    assert kept(copy) == []
    for seed in seeds:
        assert seed in file.read_bytes()
        assert seed not in copy.read_bytes()

    restored = OfficeStore(f"sqlite:///{copy}", points.bench.settings.policy())
    points.bench.office = replace(points.office, store=restored)
    with pytest.raises(AnswerRefused, match="outlet d: not its last answer"):
        points.release("abc", [last(signed, shares[3])])
    with pytest.raises(AnswerRefused, match="its set lacks 1 outlets"):
        points.bench.office.unlock(
            points.signed[-1].digest,
            [points.share(points.signed[-1], name).envelope for name in "abc"],
        )


def test_a_new_answer_overwrites_the_seed_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "office.db"
    points = Points(url=f"sqlite:///{file}")
    points.release("abcd")
    before = kept(file)
    points.release("abcd")
    now = kept(file)
    assert len(now) == 4
    assert not set(before) & set(now)
    assert not any(seed in path.read_bytes() for seed in before for path in tmp_path.iterdir())


def test_a_customer_sum_leaves_no_seed(tmp_path: Path) -> None:
    bench = Bench(url=f"sqlite:///{tmp_path / 'office.db'}")
    signed = bench.office.sign_release(bench.draft(bench.night()))
    bench.office.unlock(signed.digest, [bench.share(signed, name).envelope for name in "abc"])
    assert kept(tmp_path / "office.db") == []


@pytest.mark.parametrize("step", ["_draw", "_store_answer"])
def test_a_kill_at_the_office_after_its_charge_still_carries_right(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    told = Told()
    signed = told.points.sign()
    fresh = [told.points.share(signed, name).envelope for name in "abc"]
    carried = [last(*told.answers[1])]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Office, step, die)
        with pytest.raises(KeyboardInterrupt):
            told.points.office.unlock(signed.digest, fresh, carried)
    assert told.points.office.unlock(signed.digest, fresh, carried)
    assert told.charges == 3
    told.points.release("abc", carried)


# --- noise and number ------------------------------------------------------------------------


def test_points_with_less_noise_than_the_policy_are_not_signed() -> None:
    points = Points(OfficeSettings(), Rho(100), count=1)
    least = SCALE // 2
    with pytest.raises(PlanRefused, match=r"times an event's longest row, expected at least 0\.5"):
        points.sign(noise_scale=least - 1)
    plan = ReleasePlan.decode(points.sign(noise_scale=least).payload)
    assert plan.rho() == NOISY


@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_each_points_release_is_charged_to_events_and_none_to_customers(noise: float) -> None:
    points = Points(OfficeSettings(event_noise=noise), Rho(1 / (2 * Fraction(noise) ** 2)))
    for _ in range(3):
        points.release("abcd")
    ledger, at = points.bench.store.ledger(), int(points.bench.clock())
    charged = [e for e in ledger.entries if e.act is LedgerAct.CHARGE]
    assert [(e.release, e.purpose) for e in charged] == [
        (f"r{number}", Purpose.POINTS) for number in (1, 2, 3)
    ]
    assert all(e.rho == Rho(1 / (2 * Fraction(noise) ** 2)) for e in charged)
    assert ledger.spent_in_unit(Unit.EVENT, at) == 3 * charged[0].rho
    assert ledger.spent_in_unit(Unit.CUSTOMER, at) == 0
    assert ledger.epsilon(Unit.CUSTOMER, at) == 0
    assert ledger.epsilon(Unit.EVENT, at) is not None


def test_a_carried_outlet_makes_a_release_no_cheaper() -> None:
    points = Points(OfficeSettings(), NOISY)
    first = points.sign()
    shares = [points.share(first, name) for name in "abcd"]
    points.office.unlock(first.digest, [share.envelope for share in shares])
    points.release("abc", [last(first, shares[3])])
    spent = points.bench.store.ledger().spent(Purpose.POINTS, int(points.bench.clock()))
    assert spent == 2 * NOISY


def test_no_more_points_than_a_years_number_are_released_in_a_rolling_year() -> None:
    settings = OfficeSettings(points_a_year=2, noiseless=frozenset({Purpose.POINTS}))
    points = Points(settings)
    points.release("abcd")
    points.bench.clock.at += 3600
    points.release("abcd")
    with pytest.raises(PlanRefused, match="2 points releases within a year, expected at most 2"):
        points.sign()
    points.bench.clock.at += YEAR_SECONDS - 3601  # the first is a second short of a year ago
    points.night, points.parent = points.bench.night("night-2"), ""
    with pytest.raises(PlanRefused, match="2 points releases within a year"):
        points.sign()
    points.bench.clock.at += 1
    points.release("abcd")
    with pytest.raises(PlanRefused, match="2 points releases within a year"):
        points.sign()


def test_a_year_of_the_policys_points_fits_its_own_budget_and_one_more_does_not() -> None:
    points = Points(OfficeSettings(points_a_year=5), NOISY, count=5)
    for _ in range(5):
        points.release("abcd")
    with pytest.raises(BudgetExceeded) as caught:
        points.bench.night("night-2")
    assert caught.value.purpose == Purpose.POINTS
    assert caught.value.remaining < Rho(1, 1000)


def test_nights_that_are_open_at_once_make_no_more_points_than_a_years_number() -> None:
    settings = OfficeSettings(points_a_year=1, noiseless=frozenset({Purpose.POINTS}))
    points = Points(settings, count=1)
    one = points.sign()
    two = points.office.sign_release(points.bench.draft(points.bench.night("night-2"), "s1"))
    points.office.unlock(one.digest, [points.share(one, name).envelope for name in "abcd"])
    with pytest.raises(PlanRefused, match="points releases within a year"):
        points.office.unlock(two.digest, [points.share(two, name).envelope for name in "abcd"])


# --- whole nights ----------------------------------------------------------------------------


class Away:
    """Outlets that get no questions about points while they are away."""

    def __init__(self) -> None:
        self.nodes: set[int] = set()
        self.after = 0
        self.asked = 0

    def __call__(self, node: int, message: Message) -> bool:
        return node in self.nodes and message.metadata.message_type == "query.release"


def weekly(away: Away, epsilon: float | None = None, noise: float = 0.0) -> Network:
    """A network that makes bands whenever it is asked."""
    settings = banded_settings(epsilon, 1, noise)
    often = settings.hq.model_copy(update={"band_days": 0.0})
    return small_network(drop=away, settings=replace(settings, hq=often))


def night(network: Network, name: str) -> NightReport:
    return network.night(name, str(CUT_OFF), TARGET, bands=True)


def table_of(network: Network, release: str) -> np.ndarray:
    checkpoint = network.hq_store.checkpoint(release)
    assert checkpoint is not None
    assert checkpoint.values is not None
    return checkpoint.values


def points_of(report: NightReport) -> list[tuple[str, int]]:
    return [(s.release, s.outlets) for s in report.steps if s.purpose is Purpose.POINTS]


def test_an_outlet_that_is_away_for_a_night_still_counts_in_its_book() -> None:
    away = Away()
    network = weekly(away)
    assert night(network, "n1").ended == "complete"
    away.nodes = {1001}
    report = night(network, "n2")
    assert report.ended == "complete"
    assert points_of(report) == [("n2/001-points", 4)]
    assert report.steps[0].failures == {"no answer": 1}
    before, now = table_of(network, "n1/007-points"), table_of(network, "n2/001-points")
    np.testing.assert_array_equal(before, now)  # nobody's events changed
    away.nodes = set()
    assert points_of(night(network, "n3")) == [("n3/001-points", 4)]


def test_an_outlet_that_comes_after_a_scorecards_first_points_stops_no_book() -> None:
    away = Away()
    network = weekly(away)
    away.nodes = {1001}
    assert night(network, "n1").ended == "complete"
    away.nodes = set()
    report = night(network, "n2")
    assert report.ended == "complete"
    assert points_of(report) == [("n2/001-points", 3)]
    assert report.book == 2


@pytest.mark.parametrize("step", ["points_released", "add_values"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_kill_behind_the_offices_answer_a_resumed_night_carries_right(
    monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    away = Away()
    network = weekly(away)
    assert night(network, "n1").ended == "complete"
    die_at(monkeypatch, network, "n2", step, when)
    assert night(network, "n2").ended == "complete"
    away.nodes = {1002}
    report = night(network, "n3")
    assert report.ended == "complete"
    assert points_of(report) == [("n3/001-points", 4)]
    charged = [e.release for e in network.ledger().entries if e.release.endswith("points")]
    assert charged == [f"{name}-points" for name in ("n1/005", "n1/007", "n2/001", "n3/001")]


@pytest.mark.parametrize("step", ["points_released", "add_values"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_night_abandoned_behind_the_offices_answer_lets_the_next_one_carry_right(
    monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    away = Away()
    network = weekly(away)
    assert night(network, "n1").ended == "complete"
    die_at(monkeypatch, network, "n2", step, when)
    away.nodes = {1002}
    report = night(network, "n3")
    assert report.ended == "complete"
    assert points_of(report) == [("n3/001-points", 4)]


@pytest.mark.parametrize("step", ["add_plan", "keep_points", "add_sum"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_night_abandoned_before_the_office_answered_lets_the_next_one_carry_right(
    monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    away = Away()
    network = weekly(away)
    assert night(network, "n1").ended == "complete"
    die_at(monkeypatch, network, "n2", step, when)
    away.nodes = {1002}
    report = night(network, "n3")
    assert report.ended == "complete"
    assert points_of(report) == [("n3/001-points", 4)]


def die_at(
    monkeypatch: pytest.MonkeyPatch, network: Network, name: str, step: str, when: str
) -> None:
    """Runs a night that is killed at a step of HQ's store."""
    original = getattr(HqStore, step)

    def dying(self: HqStore, *args: object) -> None:
        if when == "after":
            original(self, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(HqStore, step, dying)
        with pytest.raises(KeyboardInterrupt):
            night(network, name)


def test_an_outlet_whose_new_seed_does_not_open_is_carried_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = weekly(Away())
    assert night(network, "n1").ended == "complete"
    collect = Combiner._collect

    def spoilt(self: Combiner, *args: object) -> list[MaskedShare]:
        shares = collect(self, *args)  # type: ignore[arg-type]
        return [spoil(network, share, args[1]) for share in shares]  # type: ignore[arg-type]

    monkeypatch.setattr(Combiner, "_collect", spoilt)
    report = night(network, "n2")
    assert report.ended == "complete"
    assert points_of(report) == [("n2/001-points", 4)]


def spoil(network: Network, share: MaskedShare, signed: Signed) -> MaskedShare:
    """O2 signs a seed that does not open."""
    from privacy.two_key_sum import _statement

    if share.envelope.outlet != "O2":
        return share
    unsigned = replace(share.envelope, sealed_seed=bytes(80))
    signature = network.outlets["O2"].key.sign(*_statement(signed.digest, unsigned))
    return replace(share, envelope=replace(unsigned, signature=signature))


def test_a_night_of_noisy_points_is_charged_to_events_alone() -> None:
    network = weekly(Away(), epsilon=None, noise=0.5)
    report = night(network, "n1")
    assert report.ended == "complete"
    ledger, at = network.ledger(), int(network.office.clock())
    assert ledger.spent(Purpose.POINTS, at) == 2 * NOISY
    assert ledger.spent_in_unit(Unit.CUSTOMER, at) == 0
    assert {s.rho for s in report.steps if s.purpose is Purpose.POINTS} == {NOISY}
    assert all(s.signal_to_noise is None for s in report.steps if s.purpose is Purpose.POINTS)
