"""Peers: fitted in an environment of their own, which CI does not build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.peers import (
    DP_EBM_BOUNDS,
    LINKED_COLUMNS,
    LOCK,
    HeldOutCustomers,
    Peer,
    PeersMissing,
    environment_ready,
    peer_scores,
)
from sandbox.baselines import auc

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers import Folds
    from features.events import Matrix, Vector

needs_peers = pytest.mark.skipif(
    not environment_ready(), reason="no environment of the peers; `make peers` makes it"
)
PEERS = [(Peer.DP_EBM, 8.0), (Peer.GRADIENT_BOOSTING, None)]
TELLING = min(DP_EBM_BOUNDS)


def people(count: int) -> tuple[Matrix, Vector, Folds]:
    """Customers of whom one column that every peer sees tells the outcome."""
    x = np.zeros((count, LINKED_COLUMNS))
    x[:, TELLING] = np.linspace(0, 3, count)
    return x, (x[:, TELLING] > 1.5).astype(np.float64), np.arange(count) % 3


@pytest.mark.parametrize(("model", "epsilon"), PEERS)
def test_a_missing_environment_is_said_with_the_command_that_makes_it(
    tmp_path: Path, model: Peer, epsilon: float | None
) -> None:
    x, y, fold = people(30)
    with pytest.raises(PeersMissing, match="make peers") as missing:
        peer_scores(x, y, fold, model=model, epsilon=epsilon, repeats=1, environment=tmp_path)
    assert missing.value.place == tmp_path


def test_an_environment_of_another_lock_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / LOCK.name).write_bytes(LOCK.read_bytes())
    assert environment_ready(tmp_path)
    (tmp_path / LOCK.name).write_bytes(LOCK.read_bytes() + b"#")
    assert not environment_ready(tmp_path)


@pytest.mark.parametrize(("model", "epsilon"), [(model, None if e else 1.0) for model, e in PEERS])
def test_an_epsilon_that_is_missing_or_of_no_use_is_refused(
    model: Peer, epsilon: float | None
) -> None:
    with pytest.raises(ValueError, match="epsilon"):
        peer_scores(*people(30), model=model, epsilon=epsilon, repeats=1)


@needs_peers
@pytest.mark.parametrize(("model", "epsilon"), PEERS)
def test_a_peer_ranks_whom_it_has_not_seen(model: Peer, epsilon: float | None) -> None:
    x, y, fold = people(900)
    found = peer_scores(x, y, fold, model=model, epsilon=epsilon, repeats=2)
    assert found.shape == (2, 900)
    figures = [auc(y[fold == one], row[fold == one]) for row in found for one in range(3)]
    assert all(figure is not None and figure > 0.9 for figure in figures)


@needs_peers
def test_nobody_is_scored_by_a_model_of_their_own_fold() -> None:
    x, y, fold = people(900)
    again = y.copy()
    again[fold == 0] = 1 - y[fold == 0]
    judged = HeldOutCustomers(x[::-1], fold[::-1])
    first, second = (
        peer_scores(
            x, outcomes, fold, model=Peer.GRADIENT_BOOSTING, epsilon=None, repeats=1, judged=judged
        )
        for outcomes in (y, again)
    )
    assert (first == second)[0, judged.fold == 0].all()
    assert (first != second)[0, judged.fold != 0].any()
