"""Peers of the network's scorecard, on pooled linked records, fitted in their own environment.

`make peers` makes the environment. Its packages are none of the project's, so what is fitted there
is a program of its own, `fit.py`, that gets arrays in a file and leaves scores in another.

Invariant: what `dp_ebm` knows without paying for it is the constants below, never the data.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from features.events import Matrix, Vector

Folds = npt.NDArray[np.int64]

ROOT = Path(__file__).parents[2]
LOCK = Path(__file__).with_name("requirements.lock")
ENVIRONMENT = ROOT / ".venv-peers"

LINKED_COLUMNS = 34
"""Of `sandbox.baselines.linked_features`."""

DP_EBM_BOUNDS = {
    9: (0.0, 50.0),  # baskets of 180 days
    10: (0.0, 100_000.0),  # spend of 180 days
    12: (0.0, 50.0),  # baskets
    13: (0.0, 100_000.0),  # spend
    14: (0.0, 1_000.0),  # lines
    15: (0.0, 1_095.0),  # days since the last event
    17: (0.0, 1_095.0),  # mean age of an event in days
    19: (0.0, 10_000.0),  # spend a basket
}
"""Public ranges, before log1p, of the linked features that DP-EBM sees, by column: what a retailer
would say of any customer. Few columns because each is paid for; none is about pieces or resales, so
on a market of watches this peer is held short."""


class PeerError(Exception):
    """A peer could not be fitted.

    PeerError
    ├── PeersMissing
    └── PeerFailed
    """


class PeersMissing(PeerError):
    """The peers' environment is not there, or is of another lock.

    Attributes:
        place: Where it is expected.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        super().__init__(f"{place}: the peers' environment is missing or old; run `make peers`")


class PeerFailed(PeerError):
    """The peers' program ended with an error.

    Attributes:
        said: What it wrote last.
    """

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(f"the peers' program failed: {said}")


class Peer(StrEnum):
    """What the network is held against, as `fit.py` names it."""

    DP_EBM = "dp_ebm"
    """Explainable boosting with differential privacy, on records pooled in one place."""

    GRADIENT_BOOSTING = "gradient_boosting"
    """Gradient boosting on pooled records without privacy: the ceiling."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HeldOutCustomers:
    """Customers to score who are not the rows that are trained on, as at a later cut-off.

    Attributes:
        x: float64[m, 34], from `linked_features`.
        fold: int64[m]; a customer has one fold at every cut-off.
    """

    x: Matrix
    fold: Folds


def environment_ready(environment: Path = ENVIRONMENT) -> bool:
    """Whether `make peers` has made the environment from today's lock."""
    made_from = environment / LOCK.name
    return made_from.is_file() and made_from.read_bytes() == LOCK.read_bytes()


def peer_scores(
    x: Matrix,
    y: Vector,
    fold: Folds,
    *,
    model: Peer,
    epsilon: float | None,
    repeats: int,
    delta: float = 1e-6,
    judged: HeldOutCustomers | None = None,
    environment: Path = ENVIRONMENT,
) -> Matrix:
    """Trains once per repeat and fold, and scores whoever is of that fold.

    Args:
        x: float64[n, 34], from `sandbox.baselines.linked_features`.
        y: float64[n] of 0 and 1.
        fold: int64[n].
        model: Which peer.
        epsilon: Of one training, for one customer over all outlets; None for a peer without
            privacy, and only for one.
        repeats: Trainings per fold.
        delta: The failure probability of `dp_ebm`; not used without privacy.
        judged: Whom to score; None for the rows of `x` themselves.
        environment: Where the peers' packages are.

    Returns:
        float64[repeats, m] of log odds, a row of `judged` each; comparable within a fold.

    Raises:
        PeersMissing: If `make peers` has not been run for today's lock.
        PeerFailed: If the program ended with an error.
        ValueError: If an epsilon is missing or has no use, or `x` has other columns.
    """
    if (epsilon is None) is (model is Peer.DP_EBM):
        raise ValueError(f"{model} got epsilon {epsilon}, expected one just for {Peer.DP_EBM}")
    judged = judged or HeldOutCustomers(x, fold)
    for rows in (x, judged.x):
        if rows.shape[1] != LINKED_COLUMNS:
            raise ValueError(f"got {rows.shape[1]} columns, expected {LINKED_COLUMNS}")
    if not environment_ready(environment):
        raise PeersMissing(environment)
    columns, low, high = _inputs(model)
    with tempfile.TemporaryDirectory() as folder:
        task, out = Path(folder) / "task.npz", Path(folder) / "scores.npz"
        np.savez(
            task,
            x=x[:, columns],
            y=y,
            fold=fold,
            judged_x=judged.x[:, columns],
            judged_fold=judged.fold,
            low=low,
            high=high,
            model=np.array(str(model)),
            epsilon=np.array(np.nan if epsilon is None else epsilon),
            delta=np.array(delta),
            seeds=np.arange(repeats),
        )
        _run(environment, task, out)
        with np.load(out, allow_pickle=False) as arrays:
            return np.asarray(arrays["scores"], dtype=np.float64)


def _inputs(model: Peer) -> tuple[list[int], Vector, Vector]:
    """The linked features that a peer sees, and their public bounds on the log scale."""
    if model is Peer.DP_EBM:
        low, high = np.log1p(np.array(list(DP_EBM_BOUNDS.values()))).T
        return list(DP_EBM_BOUNDS), low, high
    anything = np.full(LINKED_COLUMNS, np.inf)
    return list(range(LINKED_COLUMNS)), -anything, anything


def _run(environment: Path, task: Path, out: Path) -> None:
    program = Path(__file__).with_name("fit.py")
    # -I: neither PYTHONPATH nor the folder may bring the project in.
    words: list[str | Path] = [environment / "bin/python", "-I", program, task, out]
    # One thread: on tables as small as these, more of them wait for each other.
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=quiet)  # noqa: S603  (ourselves)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise PeerFailed(lines[-1] if lines else f"exit code {done.returncode}")
