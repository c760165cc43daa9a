"""Under which conditions the office signs and unlocks, and what a kill leaves behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from scipy.stats import chi2

from privacy.at_rest import SecretUnreadable
from privacy.envelopes import SigningKey, seal
from privacy.errors import AnswerRefused, BudgetExceeded, InvalidParameter, PlanRefused
from privacy.loss import Rho
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, Signed
from privacy.purposes import Purpose
from privacy.two_key_sum import Contribution, _seed_info, _statement
from server.holder.vault import SECRETS_FILE, KeyFile
from server.office.ledger_store import OfficeStore
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE
from server.office.unlock import Office
from tests.builders import CUT_OFF, Bench, store_at, wrapped_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from privacy.two_key_sum import Envelope, MaskedShare

pytestmark = pytest.mark.usefixtures("both_engines")


def answers(bench: Bench, signed: Signed, names: str = "abc") -> list[MaskedShare]:
    return [bench.share(signed, name) for name in names]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_unlocks_what_was_planned_and_charges_it_once(bench: Bench) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night()))
    envelopes = [share.envelope for share in answers(bench, signed)]
    first = bench.office.unlock(signed.digest, envelopes)
    again = bench.office.unlock(signed.digest, envelopes[::-1])
    assert first == again
    charges = [e for e in bench.store.ledger().entries if e.release]
    plan = ReleasePlan.decode(signed.payload)
    assert [(e.release, e.rho) for e in charges] == [("r1", plan.rho())]


def test_answers_hold_the_offices_own_noise(bench: Bench) -> None:
    """1,000 numbers, their mean square by chi-squared; false alarms 1 in 10^6.

    Half of the noise is rejected, and a scale 30 % wrong.
    """
    signed = bench.office.sign_release(bench.draft(bench.night(), dimension=1000))
    plan = ReleasePlan.decode(signed.payload)
    shares = answers(bench, signed)
    answer = bench.office.unlock(signed.digest, [share.envelope for share in shares])
    total = sum((share.vector for share in shares[1:]), shares[0].vector)
    clear = 3 * Contribution(np.full((2, 1000), 0.25)).sums(plan)
    noise = (total - np.frombuffer(answer, np.uint64)).view(np.int64) - clear

    def fits(scale: float) -> bool:
        square = float(np.square(noise / scale).sum())
        return bool(2 * min(chi2.cdf(square, 1000), chi2.sf(square, 1000)) > 1e-6)

    assert fits(plan.noise_scale)
    assert not any(fits(plan.noise_scale * wrong) for wrong in (0.5, 1 / 1.3, 1.3, 2**0.5))


@pytest.mark.parametrize("names", ["ab", "aab", "aabc"])
def test_too_few_or_repeated_outlets_are_refused_and_cost_nothing(bench: Bench, names: str) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night()))
    with pytest.raises(AnswerRefused, match=r"twice|expected at least 3"):
        bench.office.unlock(signed.digest, [s.envelope for s in answers(bench, signed, names)])
    assert not [e for e in bench.store.ledger().entries if e.release]


def test_the_offices_own_minimum_stands_above_a_plans_quorum() -> None:
    bench = Bench(settings=OfficeSettings(minimum_outlets=4))
    with pytest.raises(PlanRefused, match="got quorum 3, expected at least 4"):
        bench.office.sign_release(bench.draft(bench.night()))


def test_a_minimum_that_was_raised_after_signing_stands_above_the_plans_quorum(
    bench: Bench,
) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night()))
    envelopes = [share.envelope for share in answers(bench, signed, "abcd")]
    stricter = replace(bench.office, settings=OfficeSettings(minimum_outlets=4))
    with pytest.raises(AnswerRefused, match="got 3 outlets, expected at least 4"):
        stricter.unlock(signed.digest, envelopes[:3])
    assert not [e for e in bench.store.ledger().entries if e.release]
    assert stricter.unlock(signed.digest, envelopes)


def test_a_plans_quorum_stands_above_the_offices_own_minimum(bench: Bench) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night(), quorum=4))
    envelopes = [share.envelope for share in answers(bench, signed, "abcd")]
    with pytest.raises(AnswerRefused, match="got 3 outlets, expected at least 4"):
        bench.office.unlock(signed.digest, envelopes[:3])
    assert bench.office.unlock(signed.digest, envelopes)


@pytest.mark.parametrize("end", ["closed", "expired"])
def test_a_release_of_a_night_that_is_over_is_not_signed(bench: Bench, end: str) -> None:
    night = bench.night()
    if end == "closed":
        bench.office.close_night("night-1")
    else:
        bench.clock.at += bench.settings.night_hours * 3600
    with pytest.raises(PlanRefused, match="r1: its night is over"):
        bench.office.sign_release(bench.draft(night))


def test_an_outlet_that_only_hq_knows_is_refused(bench: Bench) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night()))
    bench.keys["mallory"] = SigningKey.generate()
    envelopes = [s.envelope for s in [*answers(bench, signed), bench.share(signed, "mallory")]]
    with pytest.raises(AnswerRefused, match="not on the office's list"):
        bench.office.unlock(signed.digest, envelopes)


def test_another_set_after_an_answer_is_refused(bench: Bench) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night()))
    envelopes = [share.envelope for share in answers(bench, signed, "abcd")]
    bench.office.unlock(signed.digest, envelopes)
    with pytest.raises(AnswerRefused, match="another set"):
        bench.office.unlock(signed.digest, envelopes[:3])


@pytest.mark.parametrize("field", ["sealed_seed", "commitment", "signature"])
def test_a_tampered_seed_vector_or_signature_is_refused(bench: Bench, field: str) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night()))
    good, other = answers(bench, signed), bench.share(signed, "a").envelope
    swapped = replace(good[0].envelope, **{field: getattr(other, field)})
    with pytest.raises(AnswerRefused, match="signature"):
        bench.office.unlock(signed.digest, [swapped, good[1].envelope, good[2].envelope])


def test_a_seed_from_another_release_does_not_open(bench: Bench) -> None:
    stranger = Bench(names=bench.names)
    foreign = stranger.office.sign_release(stranger.draft(stranger.night()))
    seed = stranger.share(foreign, "a").envelope.sealed_seed
    signed = bench.office.sign_release(bench.draft(bench.night()))
    with pytest.raises(AnswerRefused, match="does not open") as caught:
        bench.office.unlock(signed.digest, with_seed(bench, signed, seed))
    assert caught.value.outlet == "a"


def with_seed(bench: Bench, signed: Signed, sealed: bytes) -> list[Envelope]:
    """Envelopes of a, b and c, where a signs a sealed seed of somebody's choice."""
    good = [share.envelope for share in answers(bench, signed)]
    unsigned = replace(good[0], sealed_seed=sealed)
    signature = bench.keys["a"].sign(*_statement(signed.digest, unsigned))
    return [replace(unsigned, signature=signature), *good[1:]]


def test_a_seed_of_another_length_is_the_outlets_fault_and_costs_nothing(bench: Bench) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night()))
    plan = ReleasePlan.decode(signed.payload)
    commitment = bench.share(signed, "a").envelope.commitment
    good = [share.envelope for share in answers(bench, signed)]
    info = _seed_info(signed.digest, "a", good[0].commitment)
    unsigned = replace(good[0], sealed_seed=seal(bytes.fromhex(plan.key), bytes(31), *info))
    signature = bench.keys["a"].sign(*_statement(signed.digest, unsigned))
    with pytest.raises(AnswerRefused, match="signature does not verify") as caught:
        bench.office.unlock(signed.digest, [replace(unsigned, signature=signature), *good[1:]])
    assert caught.value.outlet == "a"
    assert commitment != good[0].commitment
    assert not [e for e in bench.store.ledger().entries if e.release]
    assert len(bench.office.unlock(signed.digest, good)) == 8 * plan.dimension


def test_a_plan_that_the_office_did_not_sign_is_refused(bench: Bench) -> None:
    stranger = Bench(names=bench.names)
    signed = stranger.office.sign_release(stranger.draft(stranger.night()))
    envelopes = [share.envelope for share in answers(stranger, signed)]
    with pytest.raises(PlanRefused, match="not signed here"):
        bench.office.unlock(signed.digest, envelopes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"night": "00" * 32}, "was not planned here"),
        ({"parent": "r0"}, "got parent 'r0', expected ''"),
        ({"purpose": Purpose.TRAINING}, "plans no release for training"),
        ({"noise_scale": 1}, "costs more"),
        ({"noise_scale": 0}, "no noise"),
        ({"quorum": 2}, "quorum 2"),
        ({"ring_bits": 32, "outlet_bound": 2**30}, "bits, got 32"),
        ({"ring_bits": 48}, "got 48 bits"),
        ({"dimension": 0}, "dimension is not within"),
        ({"dimension": True}, "expected an integer"),
        ({"dimension": 10**12}, "dimension is not within"),
        ({"scale": 10**400}, "scale is not within"),
        ({"norm": 2**31}, "norm is not within"),
        ({"noise_scale": 2**51}, "noise scale is outside"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_draft_outside_its_night_is_not_signed(
    bench: Bench, changes: dict[str, object], reason: str
) -> None:
    night = bench.night()
    with pytest.raises((PlanRefused, InvalidParameter), match=reason):
        bench.office.sign_release(bench.draft(night, "r1", **changes))


def test_a_release_follows_the_last_answered_one_under_the_same_directory(bench: Bench) -> None:
    night = bench.night()
    signed = bench.office.sign_release(bench.draft(night))
    bench.office.unlock(signed.digest, [share.envelope for share in answers(bench, signed)])
    with pytest.raises(PlanRefused, match="expected 'r1'"):
        bench.office.sign_release(bench.draft(night, "r2"))
    with pytest.raises(PlanRefused, match="directory"):
        bench.office.sign_release(bench.draft(night, "r2", parent="r1", directory="other"))
    follower = bench.office.sign_release(bench.draft(night, "r2", parent="r1"))
    assert ReleasePlan.decode(follower.payload).parent == "r1"


def test_a_night_signs_no_more_releases_than_it_planned(bench: Bench) -> None:
    bench.count = 2
    night = bench.night()
    parent = ""
    for release in ("r1", "r2"):
        signed = bench.office.sign_release(bench.draft(night, release, parent=parent))
        bench.office.unlock(signed.digest, [share.envelope for share in answers(bench, signed)])
        parent = release
    with pytest.raises(PlanRefused, match="plans 2"):
        bench.office.sign_release(bench.draft(night, "r3", parent=parent))


def test_a_release_waits_for_the_answer_to_the_one_before(bench: Bench) -> None:
    night = bench.night()
    bench.office.sign_release(bench.draft(night))
    with pytest.raises(PlanRefused, match="r1 is not answered yet"):
        bench.office.sign_release(bench.draft(night, "r2"))


def test_the_same_request_is_signed_once_and_another_under_its_name_is_not(bench: Bench) -> None:
    night = bench.night()
    assert bench.night() == night
    draft = bench.draft(night)
    assert bench.office.sign_release(draft) == bench.office.sign_release(draft)
    with pytest.raises(PlanRefused, match="another content"):
        bench.office.sign_release(replace(draft, dimension=5))
    bench.count = 1
    with pytest.raises(PlanRefused, match="another content"):
        bench.night()


def test_a_night_above_the_years_budget_is_not_signed(bench: Bench) -> None:
    bench.rho = Rho(1)
    with pytest.raises(BudgetExceeded) as caught:
        bench.night()
    assert caught.value.requested == 3
    assert bench.store.ledger().entries == ()


def test_plans_without_noise_are_signed_in_the_sandbox_only(bench: Bench) -> None:
    lines = (PlannedReleases(Purpose.MOMENTS, 1, None),)
    with pytest.raises(PlanRefused, match="sandbox only"):
        bench.office.sign_night("n", CUT_OFF, lines)
    sandbox = Bench(settings=OfficeSettings(noiseless=frozenset({Purpose.MOMENTS})))
    night = sandbox.office.sign_night("n", CUT_OFF, lines)
    signed = sandbox.office.sign_release(sandbox.draft(night, noise_scale=0))
    shares = answers(sandbox, signed)
    answer = sandbox.office.unlock(signed.digest, [share.envelope for share in shares])
    total = sum((share.vector for share in shares[1:]), shares[0].vector)
    assert len(set((total - np.frombuffer(answer, np.uint64)).tolist())) == 1
    assert sandbox.store.ledger().entries[-1].noiseless


def test_a_release_carries_noise_unless_its_night_and_the_policy_have_none() -> None:
    sandbox = Bench(settings=OfficeSettings(noiseless=frozenset({Purpose.MOMENTS})))
    with pytest.raises(PlanRefused, match="no noise where noise was planned"):
        sandbox.office.sign_release(sandbox.draft(sandbox.night(), noise_scale=0))
    lines = (PlannedReleases(Purpose.MOMENTS, 1, None),)
    silent = sandbox.office.sign_night("n", CUT_OFF, lines)
    with pytest.raises(PlanRefused, match="costs more than the night plans"):
        sandbox.office.sign_release(sandbox.draft(silent))
    stricter = replace(sandbox.office, settings=OfficeSettings())
    with pytest.raises(PlanRefused, match="no noise where noise was planned"):
        stricter.sign_release(sandbox.draft(silent, noise_scale=0))
    signed = sandbox.office.sign_release(sandbox.draft(silent, noise_scale=0))
    assert ReleasePlan.decode(signed.payload).rho() is None


def test_an_expired_release_loses_its_key_and_its_night_is_closed(bench: Bench) -> None:
    signed = bench.office.sign_release(bench.draft(bench.night()))
    envelopes = [share.envelope for share in answers(bench, signed)]
    bench.clock.at += 3600
    with pytest.raises(PlanRefused, match="expired"):
        bench.office.unlock(signed.digest, envelopes)
    with bench.store.transaction() as transaction:
        stored = transaction.release(name="r1")
    assert stored is not None
    assert stored.key is None
    bench.clock.at -= 3600
    with pytest.raises(PlanRefused, match="expired"):
        bench.office.unlock(signed.digest, envelopes)
    bench.clock.at += 13 * 3600
    bench.night("night-2")
    assert bench.store.ledger().open_nights() == ("night-2",)


def test_a_night_plan_names_the_ledgers_head_after_its_own_reservation(bench: Bench) -> None:
    plan = NightPlan.decode(bench.night().payload)
    ledger = bench.store.ledger()
    assert (plan.ledger_length, plan.ledger_head) == (len(ledger.entries), ledger.head)


@pytest.mark.parametrize("step", ["_draw", "_store_answer"])
def test_a_kill_between_charge_and_answer_neither_loses_nor_repeats_the_charge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    bench = Bench(url=f"sqlite:///{tmp_path / 'office.db'}")
    signed = bench.office.sign_release(bench.draft(bench.night()))
    shares = answers(bench, signed, "abcd")
    envelopes = [share.envelope for share in shares]

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Office, step, die)
        with pytest.raises(Killed):
            bench.office.unlock(signed.digest, envelopes)
    bench.store.close()
    reborn = Bench(url=bench.url)
    reborn.office = replace(reborn.office, outlets=bench.public_keys)
    with pytest.raises(AnswerRefused, match="another set"):
        reborn.office.unlock(signed.digest, envelopes[:3])
    first = reborn.office.unlock(signed.digest, envelopes)
    assert reborn.office.unlock(signed.digest, envelopes) == first
    assert len([e for e in reborn.store.ledger().entries if e.release == "r1"]) == 1


@pytest.fixture
def charged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> tuple[Signed, list[Envelope]]:
    """A release that was charged, and the office killed before it had an answer."""
    signed = bench.office.sign_release(bench.draft(bench.night()))
    envelopes = [share.envelope for share in answers(bench, signed)]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Office, "_draw", die)
        with pytest.raises(KeyboardInterrupt):
            bench.office.unlock(signed.digest, envelopes)
    return signed, envelopes


def test_a_release_that_was_charged_is_answered_after_its_plan_expired(
    bench: Bench, charged: tuple[Signed, list[Envelope]]
) -> None:
    signed, envelopes = charged
    bench.clock.at += bench.settings.release_minutes * 60
    assert bench.office.unlock(signed.digest, envelopes)


def test_a_release_that_was_charged_is_lost_with_its_key_when_its_night_expires(
    bench: Bench, charged: tuple[Signed, list[Envelope]]
) -> None:
    signed, envelopes = charged
    bench.clock.at += bench.settings.night_hours * 3600
    with pytest.raises(PlanRefused, match="r1: expired; its key is deleted"):
        bench.office.unlock(signed.digest, envelopes)
    assert len([e for e in bench.store.ledger().entries if e.release == "r1"]) == 1


def test_a_release_that_expired_unanswered_is_no_parent_of_the_next(bench: Bench) -> None:
    night = bench.night()
    bench.office.sign_release(bench.draft(night, "r1"))
    bench.clock.at += bench.settings.release_minutes * 60
    with pytest.raises(PlanRefused, match="got parent 'r1', expected ''"):
        bench.office.sign_release(bench.draft(night, "r2", parent="r1"))
    assert bench.office.sign_release(bench.draft(night, "r2")).payload


def at_once(*calls: Callable[[], bytes]) -> list[bytes | BaseException]:
    """What calls that are made at the same time answer, or raise."""
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.exception() or future.result() for future in futures]


@pytest.fixture(params=["one process", "two processes"])
def offices(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Bench, Office, Office]:
    """An office twice: as two calls of one process have it, or two processes at one file."""
    bench = Bench(url=f"sqlite:///{tmp_path / 'office.db'}")
    if request.param == "one process":
        return bench, bench.office, bench.office
    store = OfficeStore(store_at(bench.url, OFFICE), bench.settings.policy())
    return bench, bench.office, replace(bench.office, store=store)


def test_two_unlocks_at_once_get_one_answer_with_one_noise_and_are_charged_once(
    offices: tuple[Bench, Office, Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, one, other = offices
    signed = bench.office.sign_release(bench.draft(bench.night(), dimension=50))
    shares = answers(bench, signed)
    envelopes = [share.envelope for share in shares]
    honest, both, drawn = Office._draw, Barrier(2, timeout=60), []

    def draw(office: Office, plan: ReleasePlan) -> np.ndarray:
        both.wait()  # both have charged, neither has an answer
        noise = honest(office, plan)
        drawn.append(noise)
        return noise

    monkeypatch.setattr(Office, "_draw", draw)
    first, second = at_once(
        lambda: one.unlock(signed.digest, envelopes),
        lambda: other.unlock(signed.digest, envelopes[::-1]),
    )
    assert isinstance(first, bytes)
    assert first == second == bench.office.unlock(signed.digest, envelopes)
    assert [e.release for e in bench.store.ledger().entries if e.release] == ["r1"]
    total = sum((share.vector for share in shares[1:]), shares[0].vector)
    noisy = total - np.frombuffer(first, np.uint64)
    clear = [noisy - noise for noise in drawn]  # the same in every place, as outlets answered
    assert sorted(len(set(values.tolist())) == 1 for values in clear) == [False, True]


def test_of_two_sets_that_are_unlocked_at_once_one_is_refused(
    offices: tuple[Bench, Office, Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, one, other = offices
    signed = bench.office.sign_release(bench.draft(bench.night()))
    envelopes = [share.envelope for share in answers(bench, signed, "abcd")]
    honest, both = Office._charge, Barrier(2, timeout=60)

    def charge(office: Office, *given: Any) -> None:
        both.wait()  # neither has charged
        honest(office, *given)

    monkeypatch.setattr(Office, "_charge", charge)
    found = at_once(
        lambda: one.unlock(signed.digest, envelopes),
        lambda: other.unlock(signed.digest, envelopes[:3]),
    )
    assert sorted(type(each).__name__ for each in found) == ["AnswerRefused", "bytes"]
    assert [e.release for e in bench.store.ledger().entries if e.release] == ["r1"]


def test_no_file_of_the_office_holds_a_one_time_key_after_the_answer(tmp_path: Path) -> None:
    bench = Bench(url=f"sqlite:///{tmp_path / 'office.db'}")
    signed = bench.office.sign_release(bench.draft(bench.night()))
    with bench.store.transaction() as transaction:
        stored = transaction.release(name="r1")
    assert stored is not None
    assert stored.key is not None
    secret, wrapped = stored.key.to_bytes(), wrapped_key(bench.url, "r1")
    keys = KeyFile(tmp_path / SECRETS_FILE)
    assert keys.opened(wrapped, "key r1") == secret
    key = (tmp_path / SECRETS_FILE).read_bytes()[32:64]
    bench.office.unlock(signed.digest, [share.envelope for share in answers(bench, signed)])
    for one in (secret, wrapped, key):
        assert not any(one in path.read_bytes() for path in tmp_path.iterdir())
    with pytest.raises(SecretUnreadable):
        keys.opened(wrapped, "key r1")


@pytest.mark.sqlite_only
def test_the_stored_ledger_can_be_neither_changed_nor_deleted(tmp_path: Path) -> None:
    bench = Bench(url=f"sqlite:///{tmp_path / 'office.db'}")
    bench.night()
    engine = sa.create_engine(bench.url)
    rewritten = "INSERT OR REPLACE INTO ledger SELECT sequence, at, act, night, release, purpose,"
    for statement in (
        "DELETE FROM ledger",
        "UPDATE ledger SET rho = '0/1'",
        f"{rewritten} '0/1', noiseless, previous, digest || 'x' FROM ledger",
    ):
        with pytest.raises(sa.exc.DatabaseError, match="append-only"), engine.begin() as connection:
            connection.execute(sa.text(statement))
