"""The ledgers that quality is measured on: real ones, stand-ins for a small network, a market.

Stand-ins are what a network at its smallest may look like, made of the real ledgers: 2,000
customers, each outlet split in thirty, and outcomes that seldom come true. A customer goes to one
of three of an outlet's thirty parts, in six of ten baskets to the first.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.outcomes import Outcome
from features.snapshot import CutOff
from sandbox.market import simulated_market
from sandbox.purchase_cases import CASE_DAY
from sandbox.world import TrainOn, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SMALL, PARTS = 2_000, 30
"""Customers of a stand-in, and into how many parts it splits an outlet."""

_SHARES = (0.6, 0.25, 0.15)
"""Of a customer's baskets at one outlet, by part."""

_WATCHES = MappingProxyType({o.value: o for o in (Outcome.LOYAL, Outcome.FLIPPED)})


@dataclass(frozen=True, slots=True)
class Case:
    """A ledger and what is predicted on it.

    Attributes:
        name: Of the ledger.
        targets: Trained together.
        world: What is trained on.
        later: The same ledger at the next cut-off, where the labels have one.
        epsilon: Of one training.
        train_on: Whose outcomes train.
        starting: The published scorecards that targets begin at.
    """

    name: str
    targets: tuple[str, ...]
    world: World
    later: World | None = None
    epsilon: float = 1.0
    train_on: TrainOn = TrainOn.GIVEN
    starting: Mapping[str, Outcome] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retail:
    """A real ledger of customers, with labels at several cut-offs.

    Attributes:
        name: Of its files.
        cut_off: That of most figures.
        before: An earlier one that labels have.
        targets: Columns of the labels.
        rare: By name, columns of the labels of whose highest values an outcome is made, and the
            share of customers it comes true for.
    """

    name: str
    cut_off: str
    before: str
    targets: tuple[str, ...]
    rare: Mapping[str, tuple[str, float]]

    def files(self, data: Path) -> tuple[Path, Path]:
        """Ledger and labels in the folder of real ledgers."""
        return data / f"{self.name}_ledger.parquet", data / f"{self.name}_labels.csv.gz"


RETAIL = (
    Retail(
        "or",
        "2011-08-31",
        "2011-06-30",
        ("y_loyal", "y_lapsed", "y_high_return"),
        {
            "y_spend_10": ("future_spend", 0.1),
            "y_spend_4": ("future_spend", 0.04),
            "y_returns_4": ("future_return_baskets", 0.04),
        },
    ),
    Retail(
        "cdnow",
        "1997-09-30",
        "1997-06-30",
        ("y_loyal", "y_lapsed"),
        {"y_spend_10": ("future_spend", 0.1), "y_spend_4": ("future_spend", 0.04)},
    ),
)


def real_cases(data: Path) -> Iterator[Case]:
    """The real ledgers, trained and judged at one cut-off."""
    for retail in RETAIL:
        for target in retail.targets:
            yield Case(retail.name, (target,), _load(retail.files(data), retail.cut_off, target))
    ledger, labels = data / "punks_ledger.parquet", data / "punks_labels.csv.gz"
    world, _ = World.load(ledger, labels, CASE_DAY, "y_flip7", per_purchase=True)
    begins = {"y_flip7": Outcome.FLIPPED}
    yield Case("punks", ("y_flip7",), world, epsilon=4.0, starting=begins)


def later_cases(data: Path) -> Iterator[Case]:
    """The real ledgers as production is: trained at one cut-off, judged at the next."""
    for retail in RETAIL:
        for target in retail.targets:
            files = retail.files(data)
            yield Case(
                f"{retail.name}, {retail.before}", (target,),
                _load(files, retail.before, target), _load(files, retail.cut_off, target),
            )  # fmt: skip


def market_case(outlets: int = 5, customers: int = 9_000, seed: int = 11) -> Case:
    """A simulated market, trained on what homes see."""
    market = simulated_market(np.random.default_rng(seed), outlets=outlets, customers=customers)
    world = World.of_market(market, np.random.default_rng(3))
    return Case(
        f"market, {outlets} outlets", tuple(_WATCHES), world, train_on=TrainOn.HOME,
        starting=_WATCHES,
    )  # fmt: skip


def small_cases(data: Path) -> Iterator[Case]:
    """The stand-ins, each with outcomes of its labels and rare ones."""
    for retail in RETAIL:
        random = np.random.default_rng(4)
        ledger, labels = (_read(file) for file in retail.files(data))
        labels = labels.filter(pl.col("cutoff").cast(pl.String) == retail.cut_off)
        known = labels["customer_id"].sort().to_numpy()
        chosen = pl.Series(random.choice(known, min(SMALL, len(known)), replace=False)).implode()
        labels = labels.filter(pl.col("customer_id").is_in(chosen)).with_columns(
            _highest(labels.filter(pl.col("customer_id").is_in(chosen))[column], share).alias(name)
            for name, (column, share) in retail.rare.items()
        )
        ledger = split(ledger.filter(pl.col("customer_id").is_in(chosen)), random)
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / "ledger.parquet", Path(folder) / "labels.csv"
            ledger.write_parquet(files[0])
            labels.write_csv(files[1])
            for target in (retail.targets[0], *retail.rare):
                world = _load(files, retail.cut_off, target)
                yield Case(f"{retail.name}, small", (target,), world)


def split(ledger: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """Splits each outlet of a ledger in PARTS; a customer goes to three of an outlet's."""
    pairs = ledger.select("customer_id", "outlet_id").unique(maintain_order=True)
    parts = random.integers(0, PARTS, (len(pairs), len(_SHARES)))
    prefers = pairs.with_columns(parts=pl.Series(parts.tolist()))
    baskets = ledger.select("basket_id").unique(maintain_order=True)
    turns = random.choice(len(_SHARES), len(baskets), p=_SHARES)
    joined = ledger.join(prefers, on=["customer_id", "outlet_id"], maintain_order="left").join(
        baskets.with_columns(turn=pl.Series(turns)), on="basket_id", maintain_order="left"
    )
    part = pl.col("parts").list.get(pl.col("turn")).cast(pl.String)
    return joined.with_columns(outlet_id=pl.col("outlet_id").cast(pl.String) + "-" + part).drop(
        "parts", "turn"
    )


def _highest(values: pl.Series, share: float) -> pl.Series:
    """1 for the highest share of values, as near as ties let it; 0 for what is 0."""
    least = values.quantile(1 - share, "higher")
    return ((values >= least) & (values > 0)).cast(pl.Int64)


def _load(files: tuple[Path, Path], cut_off: str, target: str) -> World:
    return World.load(*files, CutOff.parse(cut_off), target)[0]


def _read(file: Path) -> pl.DataFrame:
    return pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file)
