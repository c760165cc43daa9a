"""Outlets' answers at HQ: as they are read off the wire, and how long one is carried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from privacy.envelopes import digest
from privacy.errors import AnswerRefused
from privacy.plans import ReleasePlan, Signed
from privacy.two_key_sum import CARRY_DAYS, MaskedShare, check_share
from privacy.units import Purpose
from sandbox.local_grid import LocalGrid
from server.hq.combine import Ask, Combiner
from server.hq.flower_link import FlowerLink, Replies
from server.hq.office_client import _raw
from server.hq.store import HqStore
from server.office.settings import OfficeSettings
from tests.builders import SCALE, Bench

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DAY = 86_400


def points_bench() -> Bench:
    """An office of five outlets on a night of points without noise."""
    silent = OfficeSettings(
        noiseless=frozenset({Purpose.POINTS}), night_hours=24 * 365, days_off=365
    )
    return Bench(tuple("abcde"), silent, rho=None, count=8, purpose=Purpose.POINTS)


@dataclass
class Answering:
    """The outlets that answer, in place of Flower."""

    bench: Bench
    there: str = "abcd"
    given: list[MaskedShare] = field(default_factory=list)

    def release(self, nodes: Iterable[int], question: dict[str, bytes]) -> Replies:
        signed = Signed(question["plan"], question["plan_signature"])
        shares = {
            node: self.bench.share(signed, "abcde"[node])
            for node in nodes
            if "abcde"[node] in self.there
        }
        self.given += shares.values()
        return Replies(shares, {}, frozenset())


@dataclass
class Night:
    """HQ's side of points releases, with a real office and a real store."""

    bench: Bench = field(default_factory=points_bench)
    store: HqStore = field(default_factory=lambda: HqStore("sqlite://"))

    def __post_init__(self) -> None:
        self.link, self.day = Answering(self.bench), self.bench.cut_off
        made: Any = Combiner(
            "n1",
            self.bench.night(),
            dict(enumerate("abcde")),
            self.bench.office,  # type: ignore[arg-type]  # it makes no book
            self.link,  # type: ignore[arg-type]
            self.store,
            self.bench.public_keys,
            self.bench.directory,
            3,
            self.bench.clock,
        )
        self.combiner: Combiner = made

    def points(self, there: str) -> tuple[str, ...]:
        """Makes a release; says who is in it."""
        self.link.there = there
        ask = Ask(Purpose.POINTS, 4, 1.0, SCALE, 64, None, b"card", self.day)
        return self.combiner.score_table(ask).outlets


# --- how long an answer is carried -------------------------------------------------------------


@pytest.mark.parametrize("days", [1, CARRY_DAYS])
def test_an_absent_outlet_counts_with_an_answer_of_the_last_month(days: int) -> None:
    night = Night()
    assert night.points("abcd") == tuple("abcd")
    night.bench.clock.at += days * DAY
    assert night.points("abc") == tuple("abcd")


def test_an_answer_that_is_older_than_a_month_is_not_carried_whatever_was_carried_since() -> None:
    night = Night()
    night.points("abcd")
    night.bench.clock.at += 20 * DAY
    assert night.points("abc") == tuple("abcd")
    night.bench.clock.at += (CARRY_DAYS - 20) * DAY + 1
    plan = plan_of(night, "n1/002-points")
    assert night.store.points_of(plan, "d", night.bench.clock()) == []
    with pytest.raises(AnswerRefused, match="its set lacks 1 outlets of the last one"):
        night.points("abc")
    again = night.store.points_of(plan, "abcd", night.bench.clock())
    assert [last.envelope.outlet for last, _ in again] == list("abc")  # they answered since


def plan_of(night: Night, release: str) -> ReleasePlan:
    known = night.store.checkpoint(release)
    assert known is not None
    return ReleasePlan.decode(known.signed.payload)


# --- off the wire ------------------------------------------------------------------------------


def record_of(share: MaskedShare, **changes: object) -> ConfigRecord:
    """An answer as an outlet's app makes it."""
    fields: dict[str, object] = {
        "outlet": share.envelope.outlet,
        "ring_bits": 64,
        "vector": share.vector.tobytes(),
        "salt": share.salt,
        "sealed_seed": share.envelope.sealed_seed,
        "commitment": share.envelope.commitment,
        "signature": share.envelope.signature,
        **changes,
    }
    return ConfigRecord({name: value for name, value in fields.items() if value is not None})  # type: ignore[misc]


def asked(record: ConfigRecord) -> Replies:
    """What HQ reads of an outlet that answers with this record."""
    app = ClientApp()

    @app.query("release")
    def release(message: Message, _context: Context) -> Message:
        return Message(RecordDict({"answer": record}), reply_to=message)

    return FlowerLink(LocalGrid({1: app}), {1: "a"}).release([1], {"plan": b""})


def shared() -> tuple[MaskedShare, Signed, Bench]:
    bench = Bench()
    signed = bench.office.sign_release(bench.draft(bench.night()))
    return bench.share(signed, "a"), signed, bench


def test_an_answer_is_read_with_its_salt_and_commitment_and_then_verifies() -> None:
    share, signed, bench = shared()
    read = asked(record_of(share)).shares[1]
    assert (read.salt, read.envelope) == (share.salt, share.envelope)
    assert read.vector.tolist() == share.vector.tolist()
    plan = ReleasePlan.decode(signed.payload)
    check_share(read, plan, signed.digest, bench.public_keys)
    for wrong in (bytes(32), share.salt[:-1], b""):
        other = asked(record_of(share, salt=wrong)).shares[1]
        with pytest.raises(AnswerRefused, match="vector and commitment differ"):
            check_share(other, plan, signed.digest, bench.public_keys)


@pytest.mark.parametrize("name", ["vector", "salt", "sealed_seed", "commitment", "signature"])
def test_an_answer_without_one_of_its_fields_is_malformed(name: str) -> None:
    share, _, _ = shared()
    replies = asked(record_of(share, **{name: None}))
    assert (replies.shares, replies.failures) == ({}, {"malformed": 1})


def test_the_office_is_shown_the_commitment_and_neither_salt_nor_vector() -> None:
    share, _, _ = shared()
    raw = _raw(share.envelope)
    assert (raw.outlet, raw.commitment) == ("a", share.envelope.commitment)
    for hidden in (share.salt, share.vector.tobytes(), digest(share.vector.tobytes()).encode()):
        assert hidden not in raw.SerializeToString()


def test_hq_keeps_no_salt(tmp_path: Path) -> None:
    """With it the office could test what it guesses against the commitment that it has."""
    night = Night(store=HqStore(f"sqlite:///{tmp_path / 'hq.db'}"))
    night.points("abcd")
    data = (tmp_path / "hq.db").read_bytes()
    for share in night.link.given:
        assert share.envelope.commitment.encode() in data
        assert share.salt not in data
        assert share.salt.hex().encode() not in data
    assert len(night.link.given) == 4
