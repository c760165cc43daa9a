"""Sets of seals as HQ shows them, and what the office keeps of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from privacy.errors import AnswerRefused
from privacy.seal_plans import SealKind
from server.office.tables import KEPT_SEEDS
from tests.server.seal_benches import DAY, HonestSeal, SealBench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.two_key_sum import Carried, Envelope
    from server.office.ledger_store import Transaction


ROOT = Path(__file__).parents[3]

BAND, FINE = SealKind.BAND, SealKind.FINE

KINDS = pytest.mark.parametrize("kind", [BAND, FINE])


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


def after_days(bench: SealBench, days: float) -> tuple[HonestSeal, HonestSeal]:
    """A first seal of four, and so many days later a second that is signed."""
    first = sealed(bench, "s1", "abcd")
    bench.bench.clock.at += days * DAY
    return first, signed(bench, "s2")
