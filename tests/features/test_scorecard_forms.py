"""A scorecard has one form, and nothing outside its public bounds is one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from features.errors import CatalogueError
from features.events import CATALOGUE, DIMENSION, RATES
from features.scorecard import LARGEST_WEIGHT, Scorecard, decode_scorecards, encode_scorecards
from tests.json_forms import other_forms

CARD = Scorecard.of("y", np.arange(DIMENSION) / 8, np.arange(RATES) / 8)
MOST_BYTES = 65_536


def crafted(**changes: object) -> bytes:
    """A scorecard's bytes with other fields, in canonical form."""
    body = {**json.loads(CARD.encode()), **changes}
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def test_the_form_of_a_scorecard_is_frozen() -> None:
    """Its digest is in signed plans, and outlets keep its bytes."""
    weights = ",".join(str(number / 8) for number in range(DIMENSION))
    usual = ",".join(str(number / 8) for number in range(RATES))
    form = '{"catalogue":"%s","outcome":"y","usual":[%s],"weights":[%s]}'
    assert CARD.encode().decode() == form % (CATALOGUE, usual, weights)
    assert encode_scorecards([CARD]) == b"[" + CARD.encode() + b"]"
    assert crafted() == CARD.encode()


def test_one_scorecard_in_another_form_is_refused() -> None:
    """Whether its bytes sort before or after the canonical ones."""
    for other in other_forms(CARD.encode()):
        with pytest.raises(CatalogueError, match="not in canonical form"):
            Scorecard.decode(other)


def test_a_weight_is_at_most_20_in_log_odds_either_way() -> None:
    """A larger one would make of a sum a sharp question about one fact."""
    assert LARGEST_WEIGHT == 20
    for sign in (1, -1):
        weights = np.zeros(DIMENSION)
        weights[3] = 20 * sign
        assert Scorecard.of("y", weights).weights[3] == 20 * sign
        weights[3] = math.nextafter(20, 30) * sign
        with pytest.raises(CatalogueError, match=r"within \+-20"):
            Scorecard.of("y", weights)


@pytest.mark.parametrize("length", [0, DIMENSION - 1, DIMENSION + 1])
def test_a_scorecard_has_a_weight_for_each_number_of_a_vector(length: int) -> None:
    with pytest.raises(CatalogueError, match=f"expected {DIMENSION} weights"):
        Scorecard("y", (0.0,) * length)


@pytest.mark.parametrize("catalogue", ["", "escapement/v1/watches", "escapement/v9/watches", "z"])
def test_a_scorecard_of_an_older_or_newer_catalogue_is_refused_as_one(catalogue: str) -> None:
    with pytest.raises(CatalogueError, match=f"another catalogue, expected {CATALOGUE}"):
        Scorecard.decode(crafted(catalogue=catalogue))


@pytest.mark.parametrize("outcome", [7, None, ["y"], True])
def test_an_outcome_is_a_text(outcome: object) -> None:
    with pytest.raises(CatalogueError, match="its outcome is no text"):
        Scorecard.decode(crafted(outcome=outcome))


@pytest.mark.parametrize("data", [b"", b"x", b"[", b"\xff", b"[" * 60_000])
def test_what_is_no_json_is_refused_as_malformed(data: bytes) -> None:
    for read in (Scorecard.decode, decode_scorecards):
        with pytest.raises(CatalogueError, match="scorecard: malformed"):
            read(data)


def test_of_what_is_too_long_nothing_is_parsed() -> None:
    """To the byte: so long may a question's scorecards be and no longer."""
    long = b" " * (MOST_BYTES - len(CARD.encode())) + CARD.encode()
    with pytest.raises(CatalogueError, match="not in canonical form"):
        Scorecard.decode(long)
    with pytest.raises(CatalogueError, match="got 65537 bytes, expected at most 65536"):
        Scorecard.decode(b" " + long)
