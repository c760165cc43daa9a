"""What comes of a customer sum: HQ's side of it, the noise it states, and shares that misfit."""

from __future__ import annotations

import calendar
import logging
import math
from dataclasses import replace

import numpy as np
import pytest

from privacy.envelopes import SealKey, SigningKey
from privacy.errors import AnswerRefused, InvalidParameter
from privacy.plans import ReleasePlan
from privacy.purposes import Purpose
from privacy.two_key_sum import (
    CARRY_DAYS,
    Aggregate,
    Contribution,
    CustomerRelease,
    Envelope,
    KeptSeed,
    _statement,
    check_share,
    mask_share,
    open_seed,
    sum_of_masks,
)

SCALE, DIGEST = 2**16, "ab" * 32
UNLOCK, KEY = SealKey.generate(), SigningKey.generate()
PUBLIC = {"a": KEY.public}


def plan_of(dimension: int = 4, noise: int = 0) -> ReleasePlan:
    return ReleasePlan(
        "r", "00" * 32, "", Purpose.MOMENTS, dimension, 64, SCALE, SCALE, 2**28, noise, 3, "s",
        "d", "2026-01-31", "", UNLOCK.public.hex(), 100,
    )  # fmt: skip


def release_of(values: list[float], noise: int) -> CustomerRelease:
    return CustomerRelease(plan_of(len(values), noise), ("a", "b", "c"), np.array(values))


def test_an_absent_outlets_answer_counts_for_a_month() -> None:
    """The longest one: so long both servers keep what a thief of both could add up."""
    assert max(calendar.monthrange(2026, month)[1] for month in range(1, 13)) == CARRY_DAYS


def test_hqs_own_noise_is_added_to_what_the_office_answers() -> None:
    """Of both servers' noise the sum keeps each once, so that either half alone covers it."""
    plan = plan_of()
    share = mask_share(Contribution(np.zeros((1, 4))), plan, DIGEST, "a", KEY)
    seed = open_seed(share.envelope, DIGEST, UNLOCK)
    theirs, ours = np.array([1, -2, 3, 0]), np.array([10, 20, -30, 40])
    masks = sum_of_masks(plan, [KeptSeed(seed, 4)])
    answer = (masks - theirs.astype(masks.dtype)).tobytes()
    release = Aggregate.of(plan, [share]).customer_release(answer, ours)
    assert (release.values * SCALE).tolist() == [11, 18, -27, 40]


@pytest.mark.parametrize("length", [0, 24, 31, 33, 40])
def test_an_answer_of_another_length_is_refused_be_it_shorter_or_longer(length: int) -> None:
    aggregate = Aggregate.of(plan_of(), [])
    with pytest.raises(AnswerRefused, match="another length"):
        aggregate.customer_release(bytes(length), np.zeros(4, np.int64))


@pytest.mark.parametrize(("noise", "expected"), [(3 * 2**14, 0.75), (5 * 2**16, 5.0), (0, 0.0)])
def test_a_release_states_the_noise_of_both_servers_in_the_values_own_units(
    noise: int, expected: float
) -> None:
    """Two independent draws: their variances add up."""
    stated = release_of([0.0] * 4, noise).noise_sd
    assert math.isclose(stated**2, expected**2 + expected**2)


def test_signal_to_noise_is_the_values_length_by_that_of_pure_noise() -> None:
    """Noise alone gives about one, whatever the dimension; twice the values give twice of it."""
    noise = SCALE * 3
    drawn = release_of([3.0, -3.0] * 8, noise)  # each as large as one server's noise is
    assert drawn.signal_to_noise == pytest.approx(0.5**0.5)
    assert release_of([6.0, -6.0] * 8, noise).signal_to_noise == pytest.approx(2 * 0.5**0.5)
    assert release_of([3.0, -3.0], noise).signal_to_noise == pytest.approx(0.5**0.5)
    assert release_of([3.0] * 4, 0).signal_to_noise is None
    assert release_of([3.0] * 4, 1).signal_to_noise == pytest.approx(3 * SCALE / 2**0.5)


@pytest.mark.parametrize("width", [3, 5])
def test_a_contribution_wider_or_narrower_than_its_plan_is_refused(width: int) -> None:
    with pytest.raises(InvalidParameter, match=f"got width {width}, expected 4"):
        Contribution(np.ones((2, width))).sums(plan_of())


def test_rows_that_count_as_nothing_are_told_by_their_number_and_only_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        Contribution(np.ones((2, 4))).sums(plan_of())
        assert caplog.messages == []
        Contribution(np.array([[np.nan] * 4, [1.5] * 4, [np.inf] * 4])).sums(plan_of())
    assert caplog.messages == ["r: 2 rows not finite or too long count as nothing"]


@pytest.mark.parametrize("longer", ["sealed_seed", "commitment"])
def test_an_envelope_that_is_longer_than_its_form_is_refused_though_its_outlet_signed_it(
    longer: str,
) -> None:
    """What more it carried would reach the office, and nobody checked what it is."""
    share = mask_share(Contribution(np.ones((1, 4))), plan_of(), DIGEST, "a", KEY)
    sealed, commitment = share.envelope.sealed_seed, share.envelope.commitment
    unsigned = Envelope(
        "a",
        sealed + b"\0" if longer == "sealed_seed" else sealed,
        commitment + "00" if longer == "commitment" else commitment,
        b"",
    )
    signed = replace(unsigned, signature=KEY.sign(*_statement(DIGEST, unsigned)))
    assert KEY.public.verify(signed.signature, *_statement(DIGEST, signed))
    assert not signed.signed_by(KEY.public, DIGEST)


def test_a_share_of_an_outlet_that_is_not_on_the_list_is_refused_by_its_name() -> None:
    share = mask_share(Contribution(np.ones((1, 4))), plan_of(), DIGEST, "z", KEY)
    with pytest.raises(AnswerRefused, match="outlet z: not on the list") as caught:
        check_share(share, plan_of(), DIGEST, PUBLIC)
    assert caught.value.outlet == "z"


@pytest.mark.parametrize("dimension", [3, 5])
def test_a_share_of_another_length_is_refused_though_its_outlet_signed_it(dimension: int) -> None:
    share = mask_share(Contribution(np.ones((1, dimension))), plan_of(dimension), DIGEST, "a", KEY)
    check_share(share, plan_of(dimension), DIGEST, PUBLIC)
    with pytest.raises(AnswerRefused, match="another shape or ring"):
        check_share(share, plan_of(), DIGEST, PUBLIC)
