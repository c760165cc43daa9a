"""Who is in the simulated market: personas, and the traits that each person draws.

Behaviour depends on a person's traits, never on the persona's name, and the traits of personas
overlap widely: there are collectors who would sell at a profit, and flippers who keep what they
buy. Every number here is our own guess; nothing is fitted to anybody's data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

COUNTRIES = ("SG", "HK", "JP", "CH", "AE", "GB", "US", "FR", "DE", "AU")
FLIPS = 0.5
"""A person whose flip propensity is above this resells for profit: the truth to judge against."""


@dataclass(frozen=True, slots=True)
class Persona:
    """The law of the traits of one kind of person.

    Attributes:
        share: Of all people.
        rate: Median purchases a year from the shelf, and the sigma of its logarithm.
        wanting: Median interests a year in scarce references, and the sigma of its logarithm.
        years: Mean time for which a person is active.
        taste: Median usual price, and the sigma of its logarithm.
        loyalty: Beta law of the chance that something happens at the person's main outlet.
        flip: Beta law of the chance that a piece worth more than its price is resold soon.
        bargain: Beta law of the chance that an open piece is bought at a discount.
        festive: Mean share of purchases that wait for December.
        fussy: Mean chance that a piece is brought back.
        care: Mean service visits a year for a piece still owned.
        trade: Mean chance a year that a piece is sold on, years later, whatever it is worth.
    """

    share: float
    rate: tuple[float, float]
    wanting: tuple[float, float]
    years: float
    taste: tuple[float, float]
    loyalty: tuple[float, float]
    flip: tuple[float, float]
    bargain: tuple[float, float]
    festive: float
    fussy: float
    care: float
    trade: float


PERSONAS = {
    "collector": Persona(
        share=0.12, rate=(1.6, 0.7), wanting=(1.2, 0.7), years=4.0, taste=(8000, 0.6),
        loyalty=(4, 2), flip=(1.1, 4.5), bargain=(2, 6),
        festive=0.1, fussy=0.02, care=0.35, trade=0.05,
    ),
    "gift buyer": Persona(
        share=0.25, rate=(0.9, 0.7), wanting=(0.08, 1.0), years=3.0, taste=(3800, 0.4),
        loyalty=(5, 1.5), flip=(0.4, 8), bargain=(2, 5),
        festive=0.55, fussy=0.06, care=0.1, trade=0.02,
    ),
    "one watch": Persona(
        share=0.52, rate=(0.2, 1.0), wanting=(0.12, 1.0), years=2.0, taste=(5500, 0.5),
        loyalty=(5, 1.5), flip=(0.5, 6), bargain=(2, 6),
        festive=0.15, fussy=0.03, care=0.15, trade=0.03,
    ),
    "VIP": Persona(
        share=0.04, rate=(2.2, 0.6), wanting=(2.5, 0.6), years=4.0, taste=(18000, 0.6),
        loyalty=(5, 2), flip=(1.5, 4.5), bargain=(1, 7),
        festive=0.1, fussy=0.02, care=0.3, trade=0.06,
    ),
    "flipper": Persona(
        share=0.07, rate=(1.3, 0.7), wanting=(5.0, 0.5), years=4.0, taste=(6000, 0.6),
        loyalty=(2, 3), flip=(3.5, 1.5), bargain=(3, 4),
        festive=0.1, fussy=0.03, care=0.08, trade=0.03,
    ),
}  # fmt: skip


def drawn_people(
    random: np.random.Generator, customers: int, sizes: np.ndarray, days: int
) -> pl.DataFrame:
    """Draws people and their traits.

    Args:
        random: The only source of chance.
        customers: How many people.
        sizes: Relative size of each outlet: the chance that it is somebody's main one.
        days: Length of the market, in days.

    Returns:
        One row a person: persona, flips, main (index of the main outlet), first (day of arrival)
        and stay (days active, at least one, never beyond the market's end), and the traits of
        `Persona`.
    """
    laws = list(PERSONAS.values())
    shares = np.array([law.share for law in laws])
    which = random.choice(len(laws), customers, p=shares / shares.sum())

    def parameter(name: str, place: int | None = None) -> np.ndarray:
        values = [getattr(law, name) for law in laws]
        return np.array([v if place is None else v[place] for v in values], dtype=float)[which]

    def lognormal(name: str) -> np.ndarray:
        return random.lognormal(np.log(parameter(name, 0)), parameter(name, 1))

    def beta(name: str) -> np.ndarray:
        return random.beta(parameter(name, 0), parameter(name, 1))

    first = random.integers(0, days, customers)
    stay = np.clip(random.exponential(365 * parameter("years")), 1, days - first)
    flip = beta("flip")
    return pl.DataFrame(
        {
            "persona": np.array(list(PERSONAS))[which],
            "flips": flip > FLIPS,
            "main": random.choice(len(sizes), customers, p=sizes / sizes.sum()),
            "first": first,
            "stay": stay,
            "rate": lognormal("rate"),
            "wanting": lognormal("wanting"),
            "taste": lognormal("taste"),
            "loyalty": beta("loyalty"),
            "flip": flip,
            "bargain": beta("bargain"),
            "festive": np.minimum(random.gamma(2, parameter("festive") / 2), 0.9),
            "fussy": np.minimum(random.gamma(2, parameter("fussy") / 2), 0.5),
            "care": random.gamma(2, parameter("care") / 2),
            "trade": random.gamma(2, parameter("trade") / 2),
        }
    )
