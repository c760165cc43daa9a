"""Registration of customers with the network: tokens, registrations, withdrawals.

Invariant: how much is asked for and handed in is the same on every night, whatever happened at the
outlet: a fixed number of evaluations a day, and one submission of the relay's size a batch. Secrets
and messages are stored before they leave, so a kill anywhere loses nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from outlet_client.errors import OutletError, QuotaSpent, ServiceRefused
from outlet_client.services import OFFICE
from privacy.errors import PrivacyError
from privacy.tokens import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.people.people_store import People
    from outlet_client.services import Services
    from outlet_client.settings import OutletFile
    from privacy.identity import Card

_LOG = logging.getLogger(__name__)

MOST_BATCHES = 3
"""A batch may close while a submission is on its way; not this often."""

MOST_AHEAD = 31
"""So many batches an open one may be ahead of the directory that was followed last: what is handed
in for a batch far away would wait for it, and nothing would be sent again meanwhile."""

COUNTS = ("asked", "evaluated", "messages", "registered", "withdrawn")
"""What adds up over a night's starts; fields of `Introduced`."""


@dataclass(frozen=True, slots=True)
class Introduced:
    """What a night did for the people; numbers only.

    Attributes:
        asked: Evaluations that were asked of each holder, dummies among them; also where one of
            them then refused or did not answer.
        evaluated: New tokens.
        messages: Sealed messages that the relay took, dummies among them.
        registered: Registrations among these.
        withdrawn: Withdrawals among these.
        waiting: Those that wait for tomorrow, or for the next batch.
        quota: Why there were no evaluations; None where there were.
        failed: What else went wrong first, fit for an operator to read; what was done until then
            is counted.
    """

    asked: int = 0
    evaluated: int = 0
    messages: int = 0
    registered: int = 0
    withdrawn: int = 0
    waiting: int = 0
    quota: QuotaSpent | None = None
    failed: OutletError | PrivacyError | None = None


def introduce(
    people: People,
    services: Services,
    identifiers: Mapping[str, str],
    settings: OutletFile,
    hq_card: Card,
    pinned_total: bytes,
) -> Introduced:
    """Asks for tokens and hands in one submission. Safe to kill anywhere and to run again.

    What does not fit waits for the next night. Withdrawals leave even where evaluations fail, and
    what was asked and handed in is counted, whatever fails.

    Returns:
        What was done. `failed` is a `TokenRefused` if a holder's answer does not verify, a
        `ServiceUnreachable` if HQ or the office is, a `ServiceRefused` if one of them says no.
    """
    done = _evaluate(people, services, identifiers, settings, pinned_total)
    try:
        done = _hand_in(done, people, services, hq_card, pinned_total)
    except (OutletError, PrivacyError) as error:
        done = replace(done, failed=done.failed or error)
    return replace(done, waiting=people.waiting())


def _evaluate(
    people: People,
    services: Services,
    identifiers: Mapping[str, str],
    settings: OutletFile,
    pinned_total: bytes,
) -> Introduced:
    """A day's evaluations, once a day, dummies where there are fewer people."""
    if people.asked_today():
        return Introduced()
    number = settings.evaluations_a_night
    keys = list(islice((key for key in people.without_token() if key in identifiers), number))
    try:
        tokens = services.tokens([identifiers[key] for key in keys], pinned_total, number)
    except QuotaSpent as error:
        return Introduced(asked=number, quota=error)
    except (OutletError, TokenRefused) as error:
        return Introduced(asked=number, failed=error)
    kept = people.keep_tokens(dict(zip(keys, tokens, strict=True)))
    people.mark_asked()
    return Introduced(asked=number, evaluated=kept)


def _hand_in(
    done: Introduced, people: People, services: Services, hq_card: Card, network: bytes
) -> Introduced:
    """Hands in what waits, sealed for the batch that is open when it arrives."""
    for _ in range(MOST_BATCHES):
        opened = services.open_batch()
        batch = opened.batch
        if not _is_useful(batch, people.followed_batch()):
            return done
        stored = people.has_submission(batch, opened.epoch)
        key = bytes.fromhex(hq_card.sealing_key)
        sealed = people.submission(batch, opened.messages, key, network, opened.epoch, opened.last)
        if sealed is None:
            return done
        try:
            services.submit(batch, sealed)
        except ServiceRefused:
            if services.open_batch()[:3] == opened[:3]:
                raise
            if not stored:  # shown once, and not taken: in no other batch but the next
                people.refused(batch)
        else:
            took = people.submitted(batch)
            return replace(
                done, messages=opened.messages, registered=took.registered, withdrawn=took.withdrawn
            )
    raise ServiceRefused(
        OFFICE, "BatchClosed", f"{MOST_BATCHES} batches closed one after another; run it again"
    )


def _is_useful(batch: int, followed: int) -> bool:
    """Whether HQ can still open what is handed in for a batch.

    Raises:
        ServiceRefused: If it is so far ahead that it would wait for ever.
    """
    if batch > followed + MOST_AHEAD:
        raise ServiceRefused(
            OFFICE,
            "BatchRefused",
            f"batch {batch} is open, the directory that was followed last holds batch "
            f"{followed}; registrations wait for tonight's directory, and if that does not "
            "help, tell the office",
        )
    if batch > followed:
        return True
    _LOG.warning(
        "batch %d is open, the directory that was followed last holds batch %d: the relay was "
        "lost; registrations wait until HQ has asked for the next",
        batch, followed,
    )  # fmt: skip
    return False
