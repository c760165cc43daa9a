"""The tokens: the RFC's own vectors, and what a holder, an outlet or a log cannot do."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import rbcl
from hypothesis import given
from hypothesis import strategies as st

from privacy import voprf
from privacy.errors import InvalidParameter, PrivacyError
from privacy.tokens import (
    MOST_POINTS,
    Blinded,
    Evaluation,
    Token,
    TokenRefused,
    TokenShare,
    blind,
    fresh_delta,
    token,
    total_key,
    unblind,
)

if TYPE_CHECKING:
    from pathlib import Path

HQ, OFFICE = TokenShare.generate(), TokenShare.generate()
PINNED = total_key(HQ.public, OFFICE.public)
NAMES = ["tel:+6581234567", "tel:+6581234568", "mailto:someone@example.com"]
ORDER = 2**252 + 27742317777372353535851937790883648493

IDENTITY = bytes(32)
NOT_CANONICAL = b"\xff" * 32
NEGATIVE = b"\x01" + bytes(31)
NOT_POINTS = [IDENTITY, NOT_CANONICAL, NEGATIVE, b"", bytes(31), bytes(33)]


def ask(
    names: list[str], hq: TokenShare = HQ, office: TokenShare = OFFICE
) -> tuple[list[Blinded], Evaluation, Evaluation]:
    blinded = blind(names)
    points = [one.point for one in blinded]
    return blinded, hq.evaluate(points), office.evaluate(points)


# The RFC's vectors


def suite(data: Path, mode: int) -> dict[str, Any]:
    suites = json.loads((data / "rfc9497_ristretto255_sha512.json").read_text())
    return next(one for one in suites if one["mode"] == mode)


def several(text: str) -> list[bytes]:
    return [bytes.fromhex(part) for part in text.split(",")]


def framed(part: bytes) -> bytes:
    return len(part).to_bytes(2, "big") + part


def finalize(data: bytes, element: bytes) -> bytes:
    """The RFC's last step, where production code stops before it."""
    return hashlib.sha512(framed(data) + framed(element) + b"Finalize").digest()


def derived_key(seed: bytes, info: bytes, context: bytes) -> bytes:
    return voprf.hash_to_scalar(seed + framed(info) + b"\0", b"DeriveKeyPair" + context)


@pytest.mark.parametrize("mode", [0, 1])
def test_blinding_evaluation_and_output_are_the_rfcs(
    shared_data: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = suite(shared_data, mode)
    group_dst = bytes.fromhex(published["groupDST"])
    context = group_dst.removeprefix(b"HashToGroup-")
    if mode == 0:  # of mode 1's making there is nothing to replace
        hash_to_group = voprf.hash_to_group
        monkeypatch.setattr(voprf, "hash_to_group", lambda data: hash_to_group(data, group_dst))
    key = derived_key(
        bytes.fromhex(published["seed"]), bytes.fromhex(published["keyInfo"]), context
    )
    assert key.hex() == published["skSm"]
    share = TokenShare.from_bytes(key, 0)
    for vector in published["vectors"]:
        inputs = several(vector["Input"])
        scalars = iter(several(vector["Blind"]))
        with monkeypatch.context() as patch:
            patch.setattr(voprf, "random_scalar", lambda scalars=scalars: next(scalars))
            blinded = [Blinded.of(data) for data in inputs]
        assert [one.point for one in blinded] == several(vector["BlindedElement"])
        elements = share.evaluate([one.point for one in blinded]).elements
        assert list(elements) == several(vector["EvaluationElement"])
        unblinded = [one.unblinded(part).raw for one, part in zip(blinded, elements, strict=True)]
        outputs = [finalize(*pair) for pair in zip(inputs, unblinded, strict=True)]
        assert outputs == several(vector["Output"])


def test_proofs_are_the_rfcs_and_verify(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = suite(shared_data, 1)
    share = TokenShare.from_bytes(bytes.fromhex(published["skSm"]), 0)
    assert share.public.hex() == published["pkSm"]
    assert {vector["Batch"] for vector in published["vectors"]} == {1, 2}
    for vector in published["vectors"]:
        scalar = bytes.fromhex(vector["Proof"]["r"])
        points = several(vector["BlindedElement"])
        monkeypatch.setattr(voprf, "random_scalar", lambda scalar=scalar: scalar)
        answer = share.evaluate(points)
        assert answer.proof.hex() == vector["Proof"]["proof"]
        assert voprf.verify(share.public, points, answer.elements, answer.proof)


# What a token is


def test_a_customer_has_the_same_token_at_two_outlets() -> None:
    here, there = unblind(*ask(NAMES), PINNED), unblind(*ask(NAMES[::-1]), PINNED)
    assert here == there[::-1]
    assert here == [token(name, HQ, OFFICE) for name in NAMES]


def test_another_identifier_or_purpose_tag_is_another_token() -> None:
    names = ["tel:+6581234567", "tel:+6581234568", "mailto:+6581234567", "+6581234567"]
    names += ["?", "\udc80", "\udc81"]  # lone surrogates neither raise nor meet
    made = unblind(*ask(names), PINNED)
    assert len(set(made)) == len(names)


@given(st.text(max_size=40), st.integers(1, ORDER - 1), st.integers(1, ORDER - 1))
def test_a_token_is_the_sum_of_the_keys_times_the_hash(name: str, first: int, second: int) -> None:
    if (total := (first + second) % ORDER) == 0:
        return
    hq, office = (TokenShare.from_bytes(key.to_bytes(32, "little"), 0) for key in (first, second))
    point = voprf.hash_to_group(name.encode("utf-8", "surrogatepass"))
    expected = rbcl.crypto_scalarmult_ristretto255(total.to_bytes(32, "little"), point)
    pinned = total_key(hq.public, office.public)
    assert pinned == rbcl.crypto_scalarmult_ristretto255_base(total.to_bytes(32, "little"))
    assert [one.raw for one in unblind(*ask([name], hq, office), pinned)] == [expected]
    assert token(name, hq, office).raw == expected


def test_a_token_is_a_key_of_dictionaries_and_equals_nothing_else() -> None:
    made = token(NAMES[0], HQ, OFFICE)
    assert {made: "slot"}[Token(bytes(made.raw))] == "slot"
    assert made != token(NAMES[1], HQ, OFFICE)
    assert made != made.raw


def test_two_requests_for_one_customer_share_no_point_and_a_dummy_looks_the_same() -> None:
    points = [one.point for one in (*blind(NAMES[:1] * 2), Blinded.dummy(), Blinded.dummy())]
    assert len(set(points)) == 4
    assert len(HQ.evaluate(points).elements) == 4


def test_no_share_no_token() -> None:
    with pytest.raises(TokenRefused, match="got 0"):
        token(NAMES[0])


# What a holder cannot do


def test_a_holder_with_another_key_is_noticed() -> None:
    blinded, first, second = ask(NAMES, office=TokenShare.generate())
    with pytest.raises(TokenRefused, match="do not add up to the pinned total"):
        unblind(blinded, first, second, PINNED)
    with pytest.raises(TokenRefused, match="the privacy office: its proof for 3 points"):
        unblind(blinded, first, replace(second, public=OFFICE.public), PINNED)
    impostor = replace(HQ.evaluate([one.point for one in blinded]), public=OFFICE.public)
    honest = replace(OFFICE.evaluate([one.point for one in blinded]), public=HQ.public)
    with pytest.raises(TokenRefused, match="HQ: its proof"):
        unblind(blinded, impostor, honest, PINNED)


def test_a_proof_does_not_verify_for_changed_or_reordered_elements_points_or_bytes() -> None:
    blinded, first, second = ask(NAMES)
    one, two, three = second.elements
    changes: list[dict[str, Any]] = [
        {"elements": (two, one, three)},
        {"elements": (one, two, one)},
        {"elements": first.elements},
        {"proof": first.proof},
        {"proof": b""},
        {"proof": bytes(64)},
        {"proof": second.proof[:-1]},
        {"proof": second.proof + b"\0"},
        *({"proof": flipped(second.proof, index)} for index in range(0, 64, 9)),
    ]
    for change in changes:
        with pytest.raises(TokenRefused, match="the privacy office: its proof"):
            unblind(blinded, first, replace(second, **change), PINNED)
    with pytest.raises(TokenRefused, match="HQ: its proof"):
        unblind(blinded[::-1], first, second, PINNED)


def flipped(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


def test_a_proof_has_one_encoding_only() -> None:
    blinded, first, second = ask(NAMES)
    response = int.from_bytes(first.proof[32:], "little") + ORDER
    longer = first.proof[:32] + response.to_bytes(32, "little")
    with pytest.raises(TokenRefused, match="HQ: its proof"):
        unblind(blinded, replace(first, proof=longer), second, PINNED)


def test_elements_that_cancel_out_are_refused() -> None:
    blinded = blind(NAMES[:1] * 2)
    element = rbcl.crypto_core_ristretto255_random()
    inverse = rbcl.crypto_core_ristretto255_sub(IDENTITY, element)
    points = [one.point for one in blinded]
    first = replace(HQ.evaluate(points), elements=(element, element))
    second = replace(OFFICE.evaluate(points), elements=(inverse, inverse))
    with pytest.raises(TokenRefused, match="HQ: its proof"):
        unblind(blinded, first, second, PINNED)
    with pytest.raises(TokenRefused, match="sum"):
        total_key(element, inverse)


@pytest.mark.parametrize("bad", NOT_POINTS, ids=lambda bad: f"{len(bad)}-{bad[:1].hex()}")
def test_the_identity_and_what_is_no_point_are_refused_everywhere(bad: bytes) -> None:
    blinded, first, second = ask(NAMES)
    with pytest.raises(TokenRefused, match="request: point 2 of 2"):
        HQ.evaluate([blinded[0].point, bad])
    elements = (second.elements[0], bad, second.elements[2])
    with pytest.raises(TokenRefused, match="the privacy office: element 2 of 3"):
        unblind(blinded, first, replace(second, elements=elements), PINNED)
    with pytest.raises(TokenRefused, match="HQ: public key"):
        unblind(blinded, replace(first, public=bad), second, PINNED)
    with pytest.raises(TokenRefused, match="the privacy office: public key"):
        total_key(HQ.public, bad)
    with pytest.raises(TokenRefused, match="token"):
        Token(bad)


def test_a_request_is_neither_empty_nor_too_long() -> None:
    point = Blinded.dummy().point
    for points in ([], [point] * (MOST_POINTS + 1)):
        with pytest.raises(TokenRefused, match=f"got {len(points)} points, expected 1 to 4096"):
            HQ.evaluate(points)
    _, first, second = ask(NAMES)
    with pytest.raises(TokenRefused, match="got 0 points"):
        unblind([], first, second, PINNED)
    assert len(HQ.evaluate([point] * MOST_POINTS).elements) == MOST_POINTS


def test_an_answer_of_another_length_is_refused() -> None:
    blinded, first, second = ask(NAMES)
    elements = second.elements
    for others in (elements[:2], (*elements, elements[0])):
        words = f"the privacy office: got {len(others)} elements, expected 3"
        with pytest.raises(TokenRefused, match=words):
            unblind(blinded, first, replace(second, elements=others), PINNED)


# Refreshing the shares


def test_a_refresh_keeps_tokens_and_the_pinned_total() -> None:
    delta = fresh_delta()
    hq, office = HQ.refreshed(delta, 1), OFFICE.refreshed(delta, -1)
    assert hq.epoch == office.epoch == 1
    assert (hq.public, office.public) != (HQ.public, OFFICE.public)
    assert total_key(hq.public, office.public) == PINNED
    assert unblind(*ask(NAMES, hq, office), PINNED) == unblind(*ask(NAMES), PINNED)


def test_an_old_share_with_a_new_one_is_refused() -> None:
    hq = HQ.refreshed(fresh_delta(), 1)
    blinded, first, second = ask(NAMES, hq)
    with pytest.raises(TokenRefused, match="epochs: got 1 from HQ and 0 from the privacy office"):
        unblind(blinded, first, second, PINNED)
    with pytest.raises(TokenRefused, match="do not add up"):
        unblind(blinded, replace(first, epoch=0), second, PINNED)
    with pytest.raises(TokenRefused, match="one epoch"):
        token(NAMES[0], hq, OFFICE)


@pytest.mark.parametrize(
    "scalar", [bytes(32), ORDER.to_bytes(32, "little"), b"\xff" * 32, b"", b"\x01"]
)
def test_a_share_or_delta_that_is_zero_or_not_reduced_is_refused(scalar: bytes) -> None:
    with pytest.raises(InvalidParameter, match="share"):
        TokenShare.from_bytes(scalar, 0)
    with pytest.raises(InvalidParameter, match="delta"):
        HQ.refreshed(scalar, 1)


def test_a_refresh_never_makes_a_share_of_zero() -> None:
    with pytest.raises(InvalidParameter, match="share"):
        HQ.refreshed(HQ.to_bytes(), -1)


def test_a_share_reads_back_as_it_was_written() -> None:
    again = TokenShare.from_bytes(HQ.to_bytes(), 7)
    assert (again.public, again.epoch) == (HQ.public, 7)


# What a log cannot show


def test_no_repr_or_message_shows_a_secret_a_point_or_an_identifier() -> None:
    blinded, first, second = ask(NAMES)
    made = token(NAMES[0], HQ, OFFICE)
    assert repr(made) == str(made) == "Token(<secret>)"
    texts = [repr(part) for part in (HQ, blinded, first, made)]
    for change in ({"proof": bytes(64)}, {"elements": (IDENTITY,) * 3}, {"epoch": 9}):
        with pytest.raises(PrivacyError) as caught:
            unblind(blinded, replace(first, **change), second, PINNED)
        texts.append(str(caught.value))
    secrets = [HQ.to_bytes(), made.raw, blinded[0]._scalar]
    for secret in [*secrets, blinded[0].point, *first.elements]:
        for text in texts:
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text
    assert not any(name in text for name in NAMES for text in texts)


def test_a_proof_scalar_is_fresh_every_time() -> None:
    points = [Blinded.dummy().point]
    one, two = HQ.evaluate(points), HQ.evaluate(points)
    assert one.elements == two.elements
    assert one.proof[:32] != two.proof[:32]
    assert one.proof[32:] != two.proof[32:]


def test_a_start_leaves_no_copy_of_libsodium_behind(tmp_path: Path) -> None:
    program = "from privacy import voprf; assert len(voprf.random_scalar()) == 32"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)  # noqa: S603  (ourselves)
    assert list(tmp_path.iterdir()) == []
