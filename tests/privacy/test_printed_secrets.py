"""What holds a secret prints none: a log line or a traceback names it at most."""

from __future__ import annotations

import datetime as dt

import pytest

from privacy.base_transfers import Draw
from privacy.identity import Identity, PartyKind
from privacy.sealing import Receiver, SealSecrets, Sender, fresh_seed
from privacy.slot_keys import OneTimeKey
from privacy.tokens import Blinded, TokenShare
from tests.privacy.seals import SET, plan_of


@pytest.mark.parametrize("kind", [PartyKind.OUTLET, PartyKind.HQ, PartyKind.OFFICE])
def test_a_partys_identity_prints_its_card_alone(kind: PartyKind) -> None:
    identity = Identity.generate(kind, "x", "", dt.datetime.now(dt.UTC))
    printed = repr(identity)
    for secret in ("signing=", "node_key=b", "store="):
        assert secret not in printed


def test_what_the_office_keeps_of_a_seal_prints_no_secret_of_it() -> None:
    draw = Draw.fresh(Receiver.first_message(fresh_seed()))
    one_time = OneTimeKey.generate()
    plan = plan_of(3, slot_key=one_time.public.hex())
    secrets = SealSecrets.of(one_time, draw, plan, "ab" * 32)
    assert "transfers" not in repr(secrets)
    assert "SealSecrets" not in repr(Sender(plan, "ab" * 32, SET, secrets))


def test_an_evaluation_prints_neither_elements_nor_proof() -> None:
    answer = TokenShare.generate().evaluate([Blinded.dummy().point])
    printed = repr(answer)
    for hidden in (answer.proof, *answer.elements):
        assert repr(hidden) not in printed
