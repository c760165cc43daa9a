"""The sentences of the nightly report, in words for a boutique manager."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.outcomes import Outcome, Thresholds
from outlet_client.report.ranking_comparison import LEAST, NoScorecard, TooFew
from privacy.purposes import Purpose

if TYPE_CHECKING:
    from outlet_client.report.ranking_comparison import Measured
    from outlet_client.report.released_sums import Sums

_BAR = Thresholds()


@dataclass(frozen=True, slots=True)
class Question:
    """What a scorecard predicts.

    Attributes:
        pair: Who of two customers should be ranked first, and who second.
        means: When the outcome counts as come true.
        counted: For how many it did: after a number.
    """

    title: str
    pair: str
    means: str
    counted: str


QUESTIONS = {
    Outcome.LOYAL.value: Question(
        "Who comes back",
        "one who came back and one who did not",
        f"“Came back” means: bought at least {_BAR.loyal_baskets} times here or for at least "
        f"{_BAR.loyal_spend:g}, and nothing they bought was ever confirmed resold.",
        "came back",
    ),
    Outcome.FLIPPED.value: Question(
        "Whose piece is resold",
        "one whose piece was resold and one where none was",
        "“Resold” means: a piece they had bought here by that day was then seen for sale, and "
        "that was confirmed.",
        "had a piece confirmed resold",
    ),
}


def question(outcome: str) -> Question:
    """What an outcome is about; of one that is given from outside, its name."""
    given = Question(
        f"Outcome {outcome}",
        "one for whom it came true and one for whom it did not",
        "This outcome was handed over in a file of its own.",
        "saw it come true",
    )
    return QUESTIONS.get(outcome, given)


def verdict(found: Measured) -> str:
    """What a comparison came to, in one sentence."""
    if isinstance(found, NoScorecard):
        return "The network's scorecard for this has not come yet, so there is nothing to compare."
    if isinstance(found, TooFew):
        return "Too few customers to say."
    if found.could_be_chance:
        return (
            "The difference could be chance: these customers do not show which of the two ranks "
            "better."
        )
    better = "The network's scorecard" if found.difference.value > 0 else "Your own model"
    return (
        f"{better} ranked these customers better, and chance alone would seldom make such a "
        "difference."
    )


def judged(found: Measured) -> str:
    """What a comparison came to, in a few words."""
    if isinstance(found, NoScorecard):
        return "no scorecard yet"
    if isinstance(found, TooFew):
        return "too few customers to say"
    if found.could_be_chance:
        return "no clear difference"
    better = "the network's scorecard" if found.difference.value > 0 else "your own model"
    return f"{better} ranks better"


def too_few(found: Measured) -> str:
    """Why there is no figure; empty where the charts show some, or there is no scorecard."""
    if not isinstance(found, TooFew):
        return ""
    return (
        f"{found.came_true:,} of {found.customers:,} {question(found.outcome).counted}, "
        f"{found.customers - found.came_true:,} did not. With fewer than {LEAST} of either, a "
        "number would be mostly chance."
    )


SENTENCES = {
    Purpose.USUAL: (
        "The usual event",
        "Sums over your home customers of what kind their events are.",
    ),
    Purpose.MOMENTS: (
        "Preparing a training",
        "Sums over your home customers of how the numbers of a customer go together.",
    ),
    Purpose.TRAINING: (
        "Training",
        "Sums over your home customers of how the scorecards should change to fit them better.",
    ),
    Purpose.EVALUATION: (
        "Testing a scorecard",
        "How many of your home customers have which score, and for how many it came true.",
    ),
    Purpose.CALIBRATION: (
        "Setting where bands begin",
        "Numbers of your home customers by score and by what came true.",
    ),
    Purpose.POINTS: (
        "Parts, of which bands are sealed",
        (
            "Small whole numbers for every place in the network's directory, zeros where you have "
            "not met its customer: the points of that customer's events here, score by score, and "
            "the number of events up to six. What all outlets' add up to is opened for nobody: HQ "
            "and the privacy office turn it into a band that neither of them can read."
        ),
    ),
}
"""Of each purpose its name, and what is in such a sum."""


def loss(one: Sums) -> str:
    """The privacy loss of a purpose's sums for one customer, in words."""
    if one.purpose is Purpose.POINTS:
        return "sealed: nothing is opened"
    return f"{float(one.rho):.2g}" if one.rho else "no noise (trial network only)"


def size(count: int) -> str:
    """Bytes for people."""
    for unit, large in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= large:
            return f"{count / large:,.1f} {unit}"
    return f"{count:,} bytes"
