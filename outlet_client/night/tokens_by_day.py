"""Tokens by day: those who consented since the night are asked for today, as far as quotas go.

Invariant: once a day in UTC, and always the same number of evaluations, dummies among them: how
many consented is not told. That some did on that day is, as it is where a customer consents at the
counter. What is asked for in nights stays as it is, and so does what is handed in: registrations
leave with the night's submission.
"""

from __future__ import annotations

import logging
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from outlet_client.errors import OWN_ERRORS
from outlet_client.night.night_journal import error_text
from outlet_client.people.client_book import identifiers_of, refresh_clients
from outlet_client.services import services_of
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from outlet_client.people.people_store import People
    from outlet_client.services import Services
    from outlet_client.settings import OutletFile

_LOG = logging.getLogger(__name__)

REACH_SECONDS = 5.0


class AskedByDay(NamedTuple):
    """What came of asking by day.

    Attributes:
        kept: New tokens.
        waiting: People who wait for one still.
        why: Why none were asked for; "" where they were.
    """

    kept: int
    waiting: int
    why: str = ""


def ask_by_day(
    people: People,
    services: Services,
    identifiers: Mapping[str, str],
    settings: OutletFile,
    pinned_total: bytes,
) -> AskedByDay:
    """Asks both holders for tokens of people who wait, once a day.

    Args:
        people: Who waits.
        services: Of HQ and the office.
        identifiers: Of those whom the client book knows, by key.
        settings: How many evaluations are asked for by day.
        pinned_total: The network's token key.

    Raises:
        OutletError: If a holder does not answer, or gives no more today.
        TokenRefused: If an answer does not verify.
    """
    number = settings.evaluations_by_day
    waiting = [key for key in people.without_token() if key in identifiers]
    if not waiting:
        return AskedByDay(0, 0)
    if not number or people.asked_today(by_day=True):
        return AskedByDay(0, len(waiting), "today's by day were asked for already")
    keys = list(islice(waiting, number))
    people.mark_asked(by_day=True)  # first: what a kill cuts short counts against the quotas
    tokens = services.tokens([identifiers[key] for key in keys], pinned_total, number)
    kept = people.keep_tokens(dict(zip(keys, tokens, strict=True)))
    return AskedByDay(kept, len(waiting) - kept)


def tokens_after_import(home: Path, people: People, settings: OutletFile) -> list[str]:
    """Asks for tokens of those who just consented; what to say of it.

    Whatever hinders it is said, and left to the next night.
    """
    try:
        ring = Keyring(home, PartyKind.OUTLET)
        refresh_clients(settings, people, by_day=True)
        waiting = people.without_token()
        identifiers = identifiers_of(settings, people, waiting)
        if waiting and not identifiers:
            return ["No tokens were asked for now: the next night reads who they are, and asks."]
        with closing(services_of(ring, REACH_SECONDS)) as services:
            done = ask_by_day(people, services, identifiers, settings, ring.token_key())
    except (*OWN_ERRORS, OSError, SQLAlchemyError) as error:
        why = error_text(error)
        _LOG.info("no tokens by day: %s", why)
        return [f"Tokens are asked for in the next night; not now: {why}"]
    said = [f"{done.kept} tokens were asked for now"] if done.kept else []
    if done.waiting:
        why = f" ({done.why})" if done.why else ""
        said.append(f"{done.waiting} wait for the next night's tokens{why}")
    return said
