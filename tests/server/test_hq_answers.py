"""Outlets' answers at HQ: as they are read off the wire, and what is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from privacy.envelopes import digest
from privacy.errors import AnswerRefused
from privacy.plans import ReleasePlan, Signed
from privacy.two_key_sum import MaskedShare, check_share
from sandbox.local_grid import LocalGrid
from server.hq.flower_link import FlowerLink, Replies
from server.hq.office_messages import envelope_message
from tests.builders import Bench
from tests.server.hq_sealing import HqBench

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("both_engines")


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
    raw = envelope_message(share.envelope)
    assert (raw.outlet, raw.commitment) == ("a", share.envelope.commitment)
    for hidden in (share.salt, share.vector.tobytes(), digest(share.vector.tobytes()).encode()):
        assert hidden not in raw.SerializeToString()


@pytest.mark.sqlite_only
def test_hq_keeps_no_salt(tmp_path: Path) -> None:
    """With it the office could test what it guesses against the commitment that it has."""
    hq = HqBench(url=f"sqlite:///{tmp_path / 'hq.db'}")
    hq.seal()
    data = (tmp_path / "hq.db").read_bytes()
    for share in hq.given.values():
        assert share.envelope.commitment.encode() in data
        assert share.salt not in data
        assert share.salt.hex().encode() not in data
    assert len(hq.given) == 5
