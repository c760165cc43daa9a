"""The dossier: everything that this outlet holds of one customer.

Invariant: a dossier is of one person, and of nobody who shares something with them; that somebody
asked for it is in the log, and so in the dossier itself. It holds no phone, e-mail or token.
"""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import polars as pl

from features.ledger import SIGHTINGS, Kind
from outlet_client.allocation.disputed_lines import without_bands
from outlet_client.allocation.proposal_store import AllocationStore
from outlet_client.allocation.wish_store import wishes_of
from outlet_client.bands.lookup import Status
from outlet_client.bands.lookup_quota import LookupQuotaReached
from outlet_client.contribution.scorecard_store import ScorecardMissing
from outlet_client.errors import BookMissing
from outlet_client.ledger.corrections import (
    CELLS,
    Correction,
    applied,
    effective,
    event_ids,
    standing,
)
from outlet_client.ledger.sighting_rows import noted_in
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.reasons import NOTE, explain_key, reason_lines
from outlet_client.records.access_log import KEEP_DAYS, LogAct, entries, record_act
from outlet_client.records.customer_requests import requests, under_review
from outlet_client.rights import rights_text
from outlet_client.rights.find_person import find_person
from outlet_client.rights.general_kinds import kinds_in_general
from outlet_client.rights.ledger_view import read_ledger_view
from outlet_client.sightings.second_person import was_alone
from outlet_client.sources.table_reader import read_all
from privacy.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.people.people_store import People
    from outlet_client.records.actor import Actor
    from outlet_client.rights.find_person import FoundPerson
    from outlet_client.settings import OutletFile


class Form(StrEnum):
    """How a dossier is handed over."""

    SCREEN = "screen"
    PAGE = "page"
    FILE = "file"


@dataclass(frozen=True, slots=True, repr=False)
class Dossier:
    """What is held of one customer; all of it as JSON has it.

    Attributes:
        outlet: Which outlet's.
        made_at: When, ISO 8601, UTC.
        asked: Who asked for it.
        standing: Where the customer stands, in words.
        customers: The outlet's own ids of the customer.
        consents: notice, recorded_at, recorded_by, withdrawn_at of each.
        band: status, as_of, why there is none or none was sealed yet, and the bands: score, band,
            allows.
        reasons: as_of, scorecard_as_of, why there are none, note, the kinds of events that count
            in general, and the scores: what of the events here gives how many points.
        events: The canonical cells of each as the ledger has them, its id, and what was corrected.
        sightings: Of the customer's pieces: date, serial, kind; and alone, whether who confirmed it
            had reported it, and nobody else confirmed it.
        corrections: The ids of corrected events that are no longer in the ledger.
        waitlist: reference and since of each entry on a list of its own.
        wishes: What the customer asked for at the desk: number, reference, since, by, and when,
            by whom and why it was closed.
        allocations: Proposals in which the customer is: number, day, reference, bands, decision.
        look_ups: And exports, of the past year: at, act, by, purpose, outcome.
        requests: number, kind, received, due, standing, about, answer.
        elsewhere: What others hold, in words.
    """

    outlet: str
    made_at: str
    asked: str
    standing: str
    customers: tuple[str, ...]
    consents: list[dict[str, Any]]
    band: dict[str, Any]
    reasons: dict[str, Any]
    events: list[dict[str, Any]]
    sightings: list[dict[str, Any]]
    corrections: tuple[str, ...]
    waitlist: list[dict[str, Any]]
    wishes: list[dict[str, Any]]
    allocations: list[dict[str, Any]]
    look_ups: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    elsewhere: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def dossier(
    access: CustomerAccess,
    phone: str | None,
    email: str | None,
    asked: Actor,
    at: dt.datetime,
    form: Form = Form.SCREEN,
    key: str = "",
) -> Dossier:
    """Puts together what is held of a customer, and logs that somebody asked for it.

    As a page or a file it is an export, and logged as one too. The e-mail is used where nobody is
    known by the phone. With the key of a request, that customer's; what was typed is not read then.

    Raises:
        NoIdentifier: If neither is usable, and there is no key.
        LedgerError: If a file cannot be read.
    """
    taken = read_ledger_view(access, at)
    who = find_person(access.people, access.settings, phone, email, key)
    band = _band(access, who, asked)  # first of all, since it logs
    person = access.people.person(who.key)
    rows = taken.rows_of(who.customers)
    with rights_of(access.home) as connection:
        if form is not Form.SCREEN:
            record_act(
                connection, at, LogAct.EXPORT, asked.by, purpose=asked.purpose, key=who.key,
                about="the customer's record", outcome=form.value,
            )  # fmt: skip
        corrections = standing(connection, who.customers)
        looked = entries(connection, who.keys, at - dt.timedelta(days=KEEP_DAYS))
        asked_for = requests(connection, who.keys)
        told = wishes_of(connection, who.keys, who.customers)
        hidden = under_review(connection, list(access.people.reached(who.key)))
    return Dossier(
        outlet=access.outlet,
        made_at=_moment(at),
        asked=asked.by,
        standing=rights_text.standing(person),
        customers=who.customers,
        consents=_consents(access.people, who),
        band=band,
        reasons=_reasons(access, who, taken.events),
        events=corrected_events(rows, corrections),
        sightings=_sightings(access.home, taken.events, who),
        corrections=applied(rows, corrections).unmatched,
        waitlist=_waitlist(access.settings, who),
        wishes=[one.as_dict() for one in told],
        allocations=_allocations(
            access.home, {*who.customers, *(one.name for one in told)}, hidden=hidden
        ),
        look_ups=[
            {
                "at": _moment(one.at),
                "act": one.act.value,
                "by": one.by,
                "purpose": one.purpose or "",
                "outcome": one.outcome,
            }
            for one in looked
        ],
        requests=[one.as_dict(at.astimezone().date()) for one in asked_for],
        elsewhere=rights_text.elsewhere(person),
    )


def _band(access: CustomerAccess, who: FoundPerson, asked: Actor) -> dict[str, Any]:
    try:
        answer = access.look_up.look_up_keys([who.key], asked)[who.key]
    except (BookMissing, LookupQuotaReached, PrivacyError) as error:
        return {"status": "no band", "as_of": "", "why": str(error), "bands": []}
    return {
        "status": answer.status.value,
        "as_of": answer.as_of,
        "why": answer.note or rights_text.WHY.get(answer.status, ""),
        "bands": [asdict(band) for band in answer.bands],
    }


def _reasons(access: CustomerAccess, who: FoundPerson, events: pl.DataFrame) -> dict[str, Any]:
    none: dict[str, Any] = {
        "as_of": "", "scorecard_as_of": "", "why": "", "note": NOTE,
        "in_general": list(kinds_in_general(access.home)),
    }  # fmt: skip
    if events.is_empty():
        return {**none, "why": rights_text.NO_EVENTS, "scores": {}}
    try:
        found = explain_key(access.home, access.settings, access.people, who.key)
    except ScorecardMissing:
        return {**none, "why": rights_text.NO_SCORECARD, "scores": {}}
    if isinstance(found, Status):
        return {**none, "why": rights_text.WHY.get(found, found.value), "scores": {}}
    scores = {
        name: [
            {"text": text, "points": points} for text, points in reason_lines(one, len(one.events))
        ]
        for name, one in found.scores.items()
    }
    told = {"as_of": found.as_of, "scorecard_as_of": found.scorecard_as_of, "scores": scores}
    return {**none, **told}


def _consents(people: People, who: FoundPerson) -> list[dict[str, Any]]:
    history = people.consents().filter(pl.col("key").is_in(who.keys)).drop("key")
    return list(history.iter_rows(named=True))


def corrected_events(rows: pl.DataFrame, corrections: Iterable[Correction]) -> list[dict[str, Any]]:
    """Each event with its id, the oldest first, and what was corrected of it."""
    ids = event_ids(rows)
    corrected = effective(corrections, ids)
    found = []
    cells = rows.select(CELLS).with_columns(pl.col("date").cast(pl.String))
    for event, row in zip(ids, cells.iter_rows(named=True), strict=True):
        one = corrected.get(event)
        told = None if one is None or not (one.struck or one.changes) else _told(one)
        found.append({"id": event, **row, "correction": told})
    return sorted(found, key=lambda event: (event["date"], event["id"]))


def _told(one: Correction) -> dict[str, Any]:
    return {
        "struck": one.struck, "changes": dict(one.changes), "at": _moment(one.at), "by": one.by
    }  # fmt: skip


def _sightings(home: Path, events: pl.DataFrame, who: FoundPerson) -> list[dict[str, Any]]:
    theirs = events.filter(
        pl.col("customer").is_in(who.customers) & pl.col("kind").is_in(list(SIGHTINGS))
    )
    columns = theirs.select(pl.col("date").cast(pl.String), "serial", "kind")
    said = noted_in(home)
    alone = {
        (one.serial, one.date.isoformat())
        for one in said
        if one.kind is Kind.CONFIRMED and was_alone(one.serial, one.seen, said)
    }
    found = columns.unique().sort("date", "serial").iter_rows(named=True)
    return [
        {
            **one,
            "alone": one["kind"] == Kind.CONFIRMED.value and (one["serial"], one["date"]) in alone,
        }
        for one in found
    ]


def _waitlist(settings: OutletFile, who: FoundPerson) -> list[dict[str, Any]]:
    """Entries on a waitlist of its own; those in the ledger are events."""
    if settings.interests is None:
        return []
    table = read_all(settings.interests, ("customer_id", "reference", "since"))
    texts = table.select(
        pl.col("customer_id", "reference", "since").cast(pl.String).str.strip_chars()
    )
    theirs = texts.filter(pl.col("customer_id").is_in(who.customers))
    return list(theirs.select("reference", "since").iter_rows(named=True))


def _allocations(home: Path, names: set[str], *, hidden: bool) -> list[dict[str, Any]]:
    found = []
    with closing(AllocationStore.open(home)) as store:
        for proposal in map(store.read, store.numbers()):
            for line in proposal.lines:
                one = without_bands(line).candidate if hidden else line.candidate
                if names.isdisjoint((one.customer, *one.also)):
                    continue
                decided = proposal.decided
                piece = "not decided" if decided is None else "no piece"
                if decided is not None and one.customer in decided.given:
                    piece = "a piece"
                found.append(
                    {
                        "number": proposal.id,
                        "day": proposal.made_at[:10],
                        "reference": proposal.terms.reference,
                        "eligibility": one.eligibility,
                        "flipper_risk": one.flipper_risk,
                        "no_band": one.no_band,
                        "proposal": line.ruling.decision.value,
                        "decision": piece,
                    }
                )
    return found


def _moment(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="seconds")
