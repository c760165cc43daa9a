"""The allocation policy: from a customer's bands and a reference's tier to what staff may offer.

Invariant: every policy decides every cell of eligibility x flipper risk x tier, by the first of its
rules that covers the cell, and keeps the laws: a person decides about "review"; risk gates
eligibility, so that nobody who is "elevated" is offered a scarce piece before a person looked, in
whatever band of eligibility; "elevated" alone and "new" are never a refusal; and no sentence is
kept for a doubt alone, which would tell.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import NamedTuple

from features.bands import NEW, SCHEMES
from features.errors import CatalogueError, FeatureError
from features.ledger import Tier
from features.outcomes import Outcome

ELIGIBILITY = SCHEMES[Outcome.LOYAL].bands
FLIPPER_RISK = SCHEMES[Outcome.FLIPPED].bands
_, LOW, ELEVATED, REVIEW = FLIPPER_RISK
DOUBTS = (ELEVATED, REVIEW)
SCARCE = (Tier.LIMITED, Tier.ALLOCATION)
"""Tiers in which an offer to one customer is none to another."""


class Decision(StrEnum):
    """What staff may do; the best for the customer first."""

    OFFER = "offer"
    MANAGER = "manager decides"
    NOT_YET = "not yet"


ORDER = tuple(Decision)


class Cell(NamedTuple):
    """What a rule is about."""

    eligibility: str
    flipper_risk: str
    tier: Tier


CELLS = tuple(Cell(*one) for one in product(ELIGIBILITY, FLIPPER_RISK, Tier))

_LISTS = {"tier": tuple(Tier), "eligibility": ELIGIBILITY, "flipper_risk": FLIPPER_RISK}
_KEYS = (*_LISTS, "decision", "say")
_REST, _MOST_REST = "rest_days", 3650
REST_DAYS = 90
"""Where a policy does not say it."""
_TELLING = re.compile(
    r"\b(?:(?:flip|re-?s(?:al|ell|old)|risk|suspic|suspect|score|network|profit|black[\s-]*list)\w*"
    r"|(?:trader|dealer|band)s?|elevated|gr[ae]y[\s-]*markets?|(?:an)?other\s+(?:boutique|outlet)s?"
    r"|sell(?:s|ing)?\s+(?:pieces|(?:(?:it|them|pieces)\s+)?on))\b",
    re.IGNORECASE,
)
"""A net and no guarantee: whoever writes a sentence answers for it."""


class PolicyRefused(FeatureError):
    """A policy that cannot be read, leaves a cell open, or breaks a law.

    Attributes:
        source: The file's name.
        rule: Which rule, counted from 1; None if it is about the whole.
        reason: What was got, what was expected, and what to do.
    """

    def __init__(self, source: str, rule: int | None, reason: str) -> None:
        super().__init__(f"{source}{'' if rule is None else f', rule {rule}'}: {reason}")
        self.source = source
        self.rule = rule
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy says of one cell.

    Attributes:
        decision: What staff may do.
        say: A sentence that may be read aloud to the customer.
        rule: The number of the rule that said so, counted from 1.
    """

    decision: Decision
    say: str
    rule: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: which cells it covers, and what it decides.

    Attributes:
        tier: Tiers it is about,
        eligibility: bands of eligibility,
        flipper_risk: and bands of flipper risk; all three must fit.
        decision: What staff may do.
        say: A sentence that may be read aloud to the customer.
    """

    tier: tuple[str, ...]
    eligibility: tuple[str, ...]
    flipper_risk: tuple[str, ...]
    decision: Decision
    say: str

    def covers(self, cell: Cell) -> bool:
        """Whether the rule is about this cell."""
        return (
            cell.tier in self.tier
            and cell.eligibility in self.eligibility
            and cell.flipper_risk in self.flipper_risk
        )


@dataclass(frozen=True, slots=True)
class AllocationPolicy:
    """A list of rules, the first that covers a cell decides.

    Attributes:
        rules: In order.
        source: The file's name.
        text: What it was read from.
        rest_days: For how long whoever was given a piece is proposed no other.
    """

    rules: tuple[Rule, ...]
    source: str
    text: str = field(repr=False)
    rest_days: int = REST_DAYS

    def __post_init__(self) -> None:
        checks = (
            self._check_whole, self._check_review, self._check_new, self._check_elevated,
            self._check_sentences,
        )  # fmt: skip
        for check in checks:
            check()

    @classmethod
    def parse(cls, text: str, source: str) -> AllocationPolicy:
        """Reads a policy.

        Args:
            text: TOML: perhaps `rest_days`, and a list of `rule`, each with any of tier,
                eligibility and flipper_risk (lists; a missing one means any), and with decision
                and say.
            source: The file's name, for errors.

        Raises:
            PolicyRefused: At the first thing that is wrong, naming the rule.
        """
        try:
            found = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise PolicyRefused(source, None, f"not TOML: {error}; correct that line") from error
        _known(source, None, found, ("rule", _REST))
        rest = found.get(_REST, REST_DAYS)
        if type(rest) is not int or not 0 <= rest <= _MOST_REST:
            raise PolicyRefused(
                source, None,
                f"{_REST}: got {rest!r}, expected a whole number of days from 0 to {_MOST_REST}",
            )  # fmt: skip
        rules = found.get("rule")
        if not isinstance(rules, list) or not rules:
            raise PolicyRefused(
                source, None, "got no rules, expected a list of tables named rule; add one"
            )
        made = tuple(_rule(source, number, entry) for number, entry in enumerate(rules, 1))
        return cls(made, source, text, rest)

    def offer_sentence(self, tier: Tier) -> str:
        """What the policy says to whom it offers a piece of a tier; "" where it offers none."""
        offers = (self._ruling(one) for one in CELLS if one.tier == tier)
        return next((one.say for one in offers if one.decision is Decision.OFFER), "")

    def decide(self, eligibility: str, flipper_risk: str, tier: str) -> Ruling:
        """What the policy says of a customer with these bands and a reference of this tier.

        Raises:
            CatalogueError: If it knows no such band or tier.
        """
        asked = {"tier": tier, "eligibility": eligibility, "flipper_risk": flipper_risk}
        for name, value in asked.items():
            if value not in _LISTS[name]:
                raise CatalogueError(
                    f"allocation: got {name} '{value}', expected {_either(_LISTS[name])}; "
                    "update this outlet"
                )
        return self._ruling(Cell(eligibility, flipper_risk, Tier(tier)))

    def _ruling(self, cell: Cell) -> Ruling:
        for number, rule in enumerate(self.rules, 1):
            if rule.covers(cell):
                return Ruling(rule.decision, rule.say, number)
        raise PolicyRefused(
            self.source, None,
            f"no rule decides {_words(cell)}; add one, best a last rule without lists",
        )  # fmt: skip

    def _check_whole(self) -> None:
        """Every cell has a rule, and every rule a cell."""
        reached = {self._ruling(cell).rule for cell in CELLS}
        for number in range(1, len(self.rules) + 1):
            if number not in reached:
                raise PolicyRefused(
                    self.source, number,
                    "no customer reaches it, the rules before decide all it is about; move it up, "
                    "or remove it",
                )  # fmt: skip

    def _check_review(self) -> None:
        """A person decides about "review"."""
        for cell in CELLS:
            if cell.flipper_risk != REVIEW:
                continue
            ruling = self._ruling(cell)
            if ruling.decision is not Decision.MANAGER:
                raise PolicyRefused(
                    self.source, ruling.rule,
                    f"decides '{ruling.decision}' for {_words(cell)}, expected "
                    f"'{Decision.MANAGER}': a person decides about '{REVIEW}'; add a rule for it "
                    "before this one",
                )  # fmt: skip

    def _check_new(self) -> None:
        """Not enough history is never a refusal."""
        for cell in CELLS:
            ruling = self._ruling(cell)
            if cell.eligibility == NEW and ruling.decision is Decision.NOT_YET:
                raise PolicyRefused(
                    self.source, ruling.rule,
                    f"decides '{ruling.decision}' for {_words(cell)}, expected "
                    f"'{Decision.OFFER}' or '{Decision.MANAGER}': not enough history is never a "
                    "refusal; add a rule for it before this one",
                )  # fmt: skip
            known = self._ruling(cell._replace(flipper_risk=LOW))
            worse = ORDER.index(ruling.decision) > ORDER.index(known.decision)
            if cell.flipper_risk == NEW and worse:
                raise PolicyRefused(
                    self.source, ruling.rule,
                    f"decides '{ruling.decision}' for {_words(cell)}, expected "
                    f"'{known.decision}', as rule {known.rule} does for flipper risk {LOW}, or "
                    "better: not enough history is never a refusal; name both in one rule",
                )  # fmt: skip

    def _check_elevated(self) -> None:
        """The lesser doubt brings a person in for scarce pieces, and refuses nobody by itself."""
        for cell in CELLS:
            if cell.flipper_risk != ELEVATED:
                continue
            ruling = self._ruling(cell)
            if cell.tier in SCARCE and ruling.decision is Decision.OFFER:
                raise PolicyRefused(
                    self.source, ruling.rule,
                    f"decides '{ruling.decision}' for {_words(cell)}, expected "
                    f"'{Decision.MANAGER}': whatever the eligibility, a person looks at "
                    f"'{ELEVATED}' before a scarce piece is offered; add a rule for it before "
                    "this one",
                )  # fmt: skip
            known = self._ruling(cell._replace(flipper_risk=LOW))
            refused = ruling.decision is Decision.NOT_YET
            if refused and known.decision is not Decision.NOT_YET:
                raise PolicyRefused(
                    self.source, ruling.rule,
                    f"decides '{ruling.decision}' for {_words(cell)}, expected "
                    f"'{Decision.MANAGER}' or '{Decision.OFFER}', as rule {known.rule} does not "
                    f"refuse flipper risk {LOW}: a doubt alone refuses nobody; add a rule for it "
                    "before this one",
                )  # fmt: skip

    def _check_sentences(self) -> None:
        """What is said for a doubt is said of others in that tier too, about whom there is none."""
        for tier in Tier:
            known = {self._ruling(one).say for one in CELLS if _doubtless(one, tier)}
            for cell in CELLS:
                if cell.tier != tier or cell.flipper_risk not in DOUBTS:
                    continue
                ruling = self._ruling(cell)
                if ruling.say not in known:
                    raise PolicyRefused(
                        self.source, ruling.rule,
                        f"in tier {tier} its sentence is said for '{cell.flipper_risk}' and for "
                        "nobody without a doubt, so that who hears it is told; use the words of "
                        "another rule of that tier",
                    )  # fmt: skip


def _doubtless(cell: Cell, tier: Tier) -> bool:
    return cell.tier == tier and cell.flipper_risk not in DOUBTS


def _rule(source: str, number: int, entry: object) -> Rule:
    if not isinstance(entry, dict):
        raise PolicyRefused(source, number, "got no table; begin each rule with its own heading")
    _known(source, number, entry, _KEYS)
    lists = {name: _names(source, number, name, entry.get(name)) for name in _LISTS}
    decision, say = entry.get("decision"), entry.get("say")
    if decision not in ORDER:
        what = "none" if decision is None else f"'{decision}'"
        reason = f"decision: got {what}, expected {_either(ORDER)}; correct it"
        raise PolicyRefused(source, number, reason)
    if not isinstance(say, str) or not say.strip():
        reason = "say: got no sentence, expected one that staff may read aloud; write it"
        raise PolicyRefused(source, number, reason)
    if telling := _TELLING.search(say):
        reason = (
            f"say: got '{telling.group()}', expected a sentence that neither reveals nor accuses, "
            "as it may be read to the customer; leave that word out"
        )
        raise PolicyRefused(source, number, reason)
    return Rule(**lists, decision=Decision(decision), say=" ".join(say.split()))


def _names(source: str, number: int, name: str, found: object) -> tuple[str, ...]:
    """The names in one of a rule's lists; all there are where it is missing."""
    known = _LISTS[name]
    if found is None:
        return known
    if not isinstance(found, list) or not found:
        reason = f"{name}: got {found!r}, expected a list of {_either(known)}; leave it out for any"
        raise PolicyRefused(source, number, reason)
    for one in found:
        if one not in known:
            reason = f"{name}: got '{one}', expected {_either(known)}; correct the name"
            raise PolicyRefused(source, number, reason)
    return tuple(found)


def _known(
    source: str, number: int | None, found: dict[str, object], keys: tuple[str, ...]
) -> None:
    for key in found:
        if key not in keys:
            reason = f"got the key '{key}', expected {_either(keys)}; correct or remove it"
            raise PolicyRefused(source, number, reason)


def _words(cell: Cell) -> str:
    return f"eligibility {cell.eligibility}, flipper risk {cell.flipper_risk}, tier {cell.tier}"


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
