"""Introducing customers to the network: tokens for new ones, registrations, withdrawals.

Invariant: how much is asked for and handed in is the same on every night, whatever happened at the
outlet: a fixed number of evaluations a day, and one submission of the relay's size a batch. Secrets
and messages are stored before they leave, so a kill anywhere loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from outlet_client.errors import QuotaSpent, ServiceRefused
from outlet_client.people.client_book import ClientBook, client_book
from outlet_client.people.people import Submitted
from outlet_client.services import OFFICE
from privacy.tokens import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.people.people import People
    from outlet_client.services import Services
    from outlet_client.settings import OutletFile
    from privacy.identity import Card

MOST_BATCHES = 3
"""A batch may close while a submission is on its way; not this often."""

__all__ = ["ClientBook", "Introduced", "client_book", "introduce"]


@dataclass(frozen=True, slots=True)
class Introduced:
    """What a night did for the people; numbers only.

    Attributes:
        evaluated: New tokens.
        registered: Registrations that the relay took.
        withdrawn: Withdrawals that it took.
        waiting: Those that wait for tomorrow, or for the next batch.
        quota: Why there were no evaluations; None where there were.
    """

    evaluated: int
    registered: int
    withdrawn: int
    waiting: int
    quota: QuotaSpent | None


def introduce(
    people: People,
    services: Services,
    identifiers: Mapping[str, str],
    settings: OutletFile,
    hq_card: Card,
    pinned_total: bytes,
) -> Introduced:
    """Asks for tokens and hands in one submission. Safe to kill anywhere and to run again.

    What does not fit waits for the next night. Withdrawals leave even where evaluations fail.

    Args:
        people: Who may be spoken of.
        services: HQ and the privacy office.
        identifiers: Of any customers, by key; only those with a consent and no token are used.
        settings: How many evaluations a day.
        hq_card: Whose key messages are sealed to.
        pinned_total: The network's token key.

    Raises:
        TokenRefused: If a holder's answer does not verify; the submission was made nevertheless.
        ServiceUnreachable: If HQ or the office is.
        ServiceRefused: If one of them says no.
    """
    refused: QuotaSpent | TokenRefused | None = None
    evaluated = 0
    try:
        evaluated = _evaluate(people, services, identifiers, settings, pinned_total)
    except (QuotaSpent, TokenRefused) as error:
        refused = error
    submitted = _hand_in(people, services, hq_card)
    if isinstance(refused, TokenRefused):
        raise refused
    return Introduced(
        evaluated, submitted.registered, submitted.withdrawn, people.waiting(), refused
    )


def _evaluate(
    people: People,
    services: Services,
    identifiers: Mapping[str, str],
    settings: OutletFile,
    pinned_total: bytes,
) -> int:
    """A day's evaluations, once a day, dummies where there are fewer people."""
    if people.asked_today():
        return 0
    number = settings.evaluations_a_night
    keys = list(islice((key for key in people.without_token() if key in identifiers), number))
    tokens = services.tokens([identifiers[key] for key in keys], pinned_total, number)
    kept = people.keep_tokens(dict(zip(keys, tokens, strict=True)))
    people.mark_asked()
    return kept


def _hand_in(people: People, services: Services, hq_card: Card) -> Submitted:
    """Hands in what waits, sealed for the batch that is open when it arrives."""
    for _ in range(MOST_BATCHES):
        batch, messages = services.open_batch()
        sealed = people.submission(batch, messages, bytes.fromhex(hq_card.sealing_key))
        if sealed is None:
            return Submitted(0, 0)
        try:
            services.submit(batch, sealed)
        except ServiceRefused:
            if services.open_batch()[0] == batch:
                raise
        else:
            return people.submitted(batch)
    raise ServiceRefused(
        OFFICE, "BatchClosed", f"{MOST_BATCHES} batches closed one after another; run it again"
    )
