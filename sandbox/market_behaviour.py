"""What people of the simulated market do: buy, wait, answer, bring back, sell on, come for service.

Everything depends on a person's traits, on the reference and on the outlet, and on chance from one
generator. A person's persona is never looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features.ledger import Tier

Vector = npt.NDArray[Any]

WORTH = 1.1
"""A premium well above this makes a piece worth flipping."""


def _above(value: Vector, middle: Vector | float, width: float) -> Vector:
    """A soft step from 0 to 1."""
    step: Vector = 1 / (1 + np.exp((middle - value) / width))
    return step


class Behaviour:
    """One market being drawn: each method is something that people do.

    People (`who`), outlets (`place`) and references (`item`) are indices, days are integers from
    the market's first; a day of `days` (the market's length) or later never came.
    """

    def __init__(
        self,
        random: np.random.Generator,
        people: pl.DataFrame,
        outlets: pl.DataFrame,
        references: pl.DataFrame,
        days: int,
    ) -> None:
        self.random = random
        self.days = days
        self.trait = {name: people[name].to_numpy() for name in people.columns[2:]}
        self.size = outlets["size"].to_numpy() / outlets["size"].sum()
        self.supply = outlets["supply"].to_numpy()
        self.tier = references["tier"].to_numpy()
        self.price = references["list_price"].to_numpy()
        self.premium = references["premium"].to_numpy()

    def chance(self, probability: Vector | float, count: int) -> Vector:
        """One toss each."""
        return self.random.random(count) < probability

    def visits(self, rate: Vector) -> Vector:
        """Who does something, as often as the rate a year says: indices of people."""
        return np.repeat(np.arange(len(rate)), self.random.poisson(rate * self.trait["stay"] / 365))

    def where(self, who: Vector) -> Vector:
        """The main outlet, or any."""
        any_outlet = self.random.choice(len(self.size), len(who), p=self.size)
        at_main = self.chance(self.trait["loyalty"][who], len(who))
        return np.where(at_main, self.trait["main"][who], any_outlet)

    def when(self, who: Vector) -> Vector:
        """A day while the person is active; activity wears off."""
        part = self.random.random(len(who)) ** 1.3
        day: Vector = self.trait["first"][who] + part * self.trait["stay"][who]
        return day.astype(int)

    def like(self, who: Vector, width: float, extra: Vector) -> Vector:
        """A reference each, near the usual price; `extra` is what else draws, `[n, references]`."""
        off = np.log(self.price)[None, :] - np.log(self.trait["taste"][who])[:, None]
        gumbel = self.random.gumbel(size=off.shape)
        liking: Vector = extra + gumbel - off**2 / (2 * width**2)
        best: Vector = liking.argmax(axis=1)
        return best

    def from_the_shelf(self) -> pl.DataFrame:
        """Purchases of open and limited pieces: who, place, day, item, paid."""
        newcomers = np.flatnonzero(self.chance(0.85, len(self.trait["first"])))
        again = self.visits(self.trait["rate"])
        who = np.concatenate([newcomers, again])
        day = np.concatenate([self.trait["first"][newcomers], self.when(again)])
        december = day // 365.25 * 365.25 + self.random.triangular(320, 355, 359, len(who))
        waits = (december > day) & (december < self.days)
        festive = waits & self.chance(self.trait["festive"][who], len(who))
        day = np.where(festive, december, day).astype(int)
        place = self.where(who)
        scarce = np.log(0.5 * self.supply[place])[:, None] * (self.tier == Tier.LIMITED.value)
        never = np.where(self.tier == Tier.ALLOCATION.value, -np.inf, 0.0)
        item = self.like(who, 0.5, scarce + never)
        cheaper = self.chance(self.trait["bargain"][who], len(who))
        cheaper &= self.tier[item] == Tier.OPEN.value
        off = np.where(cheaper, self.random.choice([0.05, 0.1, 0.15, 0.2], len(who)), 0.0)
        paid = np.round(self.price[item] * (1 - off))
        return pl.DataFrame({"who": who, "place": place, "day": day, "item": item, "paid": paid})

    def waitlist(self, shelf: pl.DataFrame) -> pl.DataFrame:
        """Interests and up to two offers each.

        Returns:
            who, place, day, item, entry (its number), and for each offer n: offered<n> (the day),
            item<n>, accepted<n>; a day of `days` or later never came.
        """
        who = self.visits(self.trait["wanting"])
        flip = self.trait["flip"][who]
        premium_draws = (3 + 9 * flip)[:, None] * (self.premium - 1)[None, :]
        tiers = {Tier.OPEN.value: -np.inf, Tier.LIMITED.value: -1.5, Tier.ALLOCATION.value: 0.0}
        draw = np.array([tiers[tier] for tier in self.tier])
        asked = pl.DataFrame(
            {"who": who, "place": self.where(who), "day": self.when(who),
             "item": self.like(who, 1.0, premium_draws + draw)}
        ).sort("day", maintain_order=True).with_row_index("entry")  # fmt: skip
        who, place = asked["who"].to_numpy(), asked["place"].to_numpy()
        profile = shelf.sort("day", maintain_order=True).with_columns(
            bought=pl.col("paid").cum_count().over("who", "place")
        )
        known = asked.join_asof(
            profile.select("who", "place", "day", "bought"),
            on="day", by=["who", "place"], check_sortedness=False,
        )["bought"].fill_null(0).to_numpy()  # fmt: skip
        standing = np.log1p(known) + np.log(self.supply[place])
        last, open_still = asked["day"].to_numpy(), np.ones(len(who), dtype=bool)
        for number in (1, 2):
            offered = open_still & self.chance(_above(standing, 0.0, 1.0), len(who))
            wait = self.random.lognormal(np.log(80) - 0.4 * standing, 0.8)
            last = np.where(offered, last + 3 + wait.astype(int), self.days)
            item, accepted = self.answers(asked, np.isfinite(draw))
            asked = asked.with_columns(
                pl.Series(f"offered{number}", last),
                pl.Series(f"item{number}", item),
                pl.Series(f"accepted{number}", accepted),
            )
            open_still = (last < self.days) & ~accepted
        return asked

    def answers(self, asked: pl.DataFrame, scarce: Vector) -> tuple[Vector, Vector]:
        """What is offered, what was asked for or another scarce one, and whether it is taken."""
        who = asked["who"].to_numpy()
        same = self.chance(0.7, len(who))
        other = self.random.choice(np.flatnonzero(scarce), len(who))
        item = np.where(same, asked["item"].to_numpy(), other)
        flip = self.trait["flip"][who]
        for_love = np.where(same, 0.88, 0.6)
        for_profit = 0.95 * _above(self.premium[item], np.where(same, 1.2, 1.3), 0.04)
        return item, self.chance((1 - flip) * for_love + flip * for_profit, len(who))

    def pieces(self, shelf: pl.DataFrame, waitlist: pl.DataFrame) -> pl.DataFrame:
        """Every piece sold and what became of it.

        Returns:
            who, place, day, item, paid, entry (null from the shelf), serial, back (the day it was
            brought back) and resold (the day); a day of `days` or later never came.
        """
        sold = [shelf.with_columns(entry=pl.lit(None, pl.UInt32))]
        for number in (1, 2):
            taken = pl.col(f"accepted{number}") & (pl.col(f"offered{number}") < self.days)
            answered = waitlist.filter(taken).with_columns(
                item=pl.col(f"item{number}"), day=pl.col(f"offered{number}")
            )
            paid = pl.Series("paid", self.price[answered["item"].to_numpy()])
            sold.append(answered.with_columns(paid).select(sold[0].columns))
        pieces = pl.concat(sold).sort("day", maintain_order=True)
        count = len(pieces)
        who, day = pieces["who"].to_numpy(), pieces["day"].to_numpy()
        returned = self.chance(self.trait["fussy"][who], count)
        back = np.where(returned, day + self.random.integers(1, 15, count), self.days)
        numbers = self.random.choice(90_000_000, count, replace=False) + 10_000_000
        return self.sold_again(
            pieces.with_columns(
                pl.Series("serial", numbers).cast(pl.String),
                pl.Series("back", back),
                pl.Series("resold", np.where(returned, self.days, self.resold(pieces))),
            )
        )

    def resold(self, pieces: pl.DataFrame) -> Vector:
        """The day on which each piece would be resold, `days` or later for never."""
        who, item, day = (pieces[name].to_numpy() for name in ("who", "item", "day"))
        count = len(who)
        worth = _above(self.premium[item], WORTH, 0.03)
        soon = self.chance(self.trait["flip"][who] * (0.06 + 0.9 * worth), count)
        quick = 2 + self.random.lognormal(np.log(45), 1.0, count)
        late = 250 + self.random.exponential(365 / np.maximum(self.trait["trade"][who], 1e-9))
        found: Vector = day + np.minimum(np.where(soon, quick, late), 2 * self.days).astype(int)
        return np.minimum(found, self.days)

    def sold_again(self, pieces: pl.DataFrame) -> pl.DataFrame:
        """Gives some pieces brought back to who bought that reference next, at that outlet."""
        free = pl.col("back") == self.days
        back = pieces.filter(~free, pl.Series(self.chance(0.7, len(pieces)))).select(
            "place", "item", again="serial", giver="who", day=pl.col("back") + 1
        )
        later = (
            pieces.filter(free)
            .join_asof(back.sort("day"), on="day", by=["place", "item"], check_sortedness=False)
            .filter(pl.col("giver") != pl.col("who"))
            .unique("again", keep="first", maintain_order=True)
        )
        return (
            pieces.join(
                later.select("serial", "again"), on="serial", how="left", maintain_order="left"
            )
            .with_columns(serial=pl.coalesce("again", "serial"))
            .drop("again")
        )

    def services(self, pieces: pl.DataFrame) -> pl.DataFrame:
        """Service visits, at most one a piece, while it is owned: `pieces` with the visit's day."""
        who = pieces["who"].to_numpy()
        wait = 60 + self.random.exponential(365 / np.maximum(self.trait["care"][who], 1e-9))
        day = pieces["day"].to_numpy() + np.minimum(wait, self.days).astype(int)
        place = np.where(
            self.chance(0.8, len(who)), pieces["place"].to_numpy(), self.trait["main"][who]
        )
        fee = np.round(self.random.lognormal(np.log(400), 0.5, len(who)), -1)
        owned = pl.Series(day) < pl.min_horizontal("resold", "back")
        return pieces.with_columns(
            pl.Series("day", day), pl.Series("place", place), pl.Series("paid", fee)
        ).filter(owned)
