"""A small simulated ledger, so that a night can run where there is no real one.

Customers have a taste for buying, a usual price and a main outlet; they buy as a Poisson process
that wears off, now and then elsewhere, sometimes at a discount, and bring some of it back. Nothing
here is fitted to anybody's data. All draws come from one `numpy.random.Generator`.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

FIRST_DAY = dt.date(2024, 1, 1)
DAYS = 730
RETURNED = 0.05
"""Share of purchases that are brought back, after two weeks."""


def simulated_ledger(
    random: np.random.Generator, *, outlets: int = 5, customers: int = 3000
) -> pl.DataFrame:
    """Draws two years of purchases and returns.

    Args:
        random: The only source of chance.
        outlets: How many outlets, named `O1` and so on.
        customers: How many people; a few never buy.

    Returns:
        A ledger with the columns of `features.ledger.LEDGER_COLUMNS`.
    """
    rate = random.gamma(0.9, 2.2, customers)  # purchases a year while active
    arrival = random.integers(0, DAYS, customers)
    active = random.exponential(500, customers)
    size = random.normal(5.0, 0.7, customers)  # log of the usual price
    main = random.integers(0, outlets, customers)
    loyalty = random.beta(4, 2, customers)  # chance that a purchase is at the main outlet
    bargain = random.beta(1, 4, customers)

    stay = np.minimum(active, DAYS - arrival)
    count = random.poisson(rate * stay / 365)
    who = np.repeat(np.arange(customers), count)
    day = arrival[who] + np.floor(random.random(len(who)) * stay[who]).astype(int)
    elsewhere = random.random(len(who)) > loyalty[who]
    place = np.where(elsewhere, random.integers(0, outlets, len(who)), main[who])
    listed = np.exp(size[who] + random.normal(0, 0.5, len(who)))
    discount = np.where(
        random.random(len(who)) < bargain[who], random.uniform(0.05, 0.3, len(who)), 0
    )
    bought = pl.DataFrame(
        {
            "customer_id": [f"S{index:05d}" for index in who],
            "outlet_id": [f"O{index + 1}" for index in place],
            "purchased_at": [FIRST_DAY + dt.timedelta(days=int(d)) for d in day],
            "price": np.round(listed * (1 - discount), 2),
            "list_price": np.round(listed, 2),
            "is_return": False,
            "basket_id": [f"B{index:06d}" for index in range(len(who))],
        }
    )
    back = bought.filter(pl.Series(random.random(len(who)) < RETURNED)).with_columns(
        is_return=pl.lit(value=True),
        price=-pl.col("price"),
        purchased_at=pl.col("purchased_at") + pl.duration(days=14),
    )
    return pl.concat([bought, back]).sort("purchased_at", "basket_id", "is_return")
