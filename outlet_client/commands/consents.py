"""`escapement-outlet consent`: consents in from a file, out to a file, and how many there are.

Invariant: a phone or e-mail is read from a file, turned into a key and forgotten.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING

import polars as pl
import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from outlet_client.customer_access import open_people
from outlet_client.errors import ConsentRefused
from outlet_client.moments import now
from outlet_client.people.client_book import identifiers_of, refresh_clients
from outlet_client.people.consents import Consent, Recorded
from outlet_client.people.identifiers import identifiers
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.actor import system_user
from outlet_client.setup.sampling import look_at_files
from outlet_client.sources.table_reader import read_all
from privacy.keyring import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.people.people_store import People

COLUMNS = ("phone", "email", "notice", "recorded_at", "recorded_by")
"""Who, which text they agreed to, when (ISO 8601, UTC where it does not say), recorded by whom."""

_CLOCK_SKEW = dt.timedelta(minutes=5)

consent_app = typer.Typer(no_args_is_help=True, help="Who agreed to take part, and to which text.")


@consent_app.command("import")
def consent_import(file: Path, home: Home = HERE) -> None:
    """Records the consents of a CSV: phone, email, notice, recorded_at, recorded_by."""
    with failing(), open_people(home) as (people, settings):
        counts = import_consents(file, people, settings.region, at := now())
        outcome = f"{counts[Recorded.NEW]} recorded"
        record_act_in(
            home, at, LogAct.CONSENT, system_user(), about="a file of consents", outcome=outcome
        )
        say("; ".join(f"{count} {what}" for what, count in counts.items()))


@consent_app.command("export")
def consent_export(file: Path, home: Home = HERE) -> None:
    """Writes the standing consents of the client book's customers as such a CSV."""
    with failing(), open_people(home) as (people, settings):
        refresh_clients(settings, people, by_day=True)
        standing = people.consents().filter(pl.col("withdrawn_at").is_null())["key"]
        identifiers = identifiers_of(settings, people, standing.unique().to_list())
        record_act_in(
            home, now(), LogAct.EXPORT, system_user(), about="the consents", outcome="file"
        )
        written, left_out = export_consents(file, people, identifiers)
        say(f"{written} written; {left_out} of nobody in the client book")


@consent_app.command("show")
def consent_show(home: Home = HERE) -> None:
    """Says how many consents there are to each notice, standing and ended."""
    with failing(), open_people(home) as (people, _):
        counts = people.consent_counts()
        for one in counts:
            say(f"{one['notice']}: {one['standing']} standing, {one['ended']} ended")
        if not counts:
            say("No consents yet; `escapement-outlet consent import FILE` records some.")


def import_consents(
    file: Path, people: People, region: str, at: dt.datetime
) -> dict[Recorded, int]:
    """Records the consents of a file, all or none; importing it again changes nothing.

    A consent from the future is refused.

    Returns:
        How many were recorded, were there already, or are older than a withdrawal.

    Raises:
        LedgerError: If there is no such file, or it is not CSV or Parquet.
        ConsentRefused: At the first thing that is wrong, naming file, row and column.
    """
    table = read_all(look_at_files(str(file)).source, COLUMNS)
    for name in COLUMNS:
        if name not in table.columns:
            raise ConsentRefused(file.name, None, name, "missing")
    rows = table.select(pl.col(name).cast(pl.String).fill_null("") for name in COLUMNS)
    consents = []
    for number, row in enumerate(rows.iter_rows(named=True), 1):
        keys = [people.local_key(one) for one in identifiers(row["phone"], row["email"], region)]
        if not keys:
            reason = "neither it nor the e-mail is usable; expected a whole number or one address"
            raise ConsentRefused(file.name, number, "phone", reason)
        for name in ("notice", "recorded_by"):
            if not row[name].strip():
                raise ConsentRefused(file.name, number, name, "empty; expected a value")
        moment = _moment(file.name, number, row["recorded_at"], at)
        key, *also = keys
        consents.append(Consent(key, row["notice"], moment, row["recorded_by"], tuple(also)))
    counts = Counter(people.record_consents(consents))
    return {outcome: counts[outcome] for outcome in Recorded}


def export_consents(file: Path, people: People, identifiers: Mapping[str, str]) -> tuple[int, int]:
    """Writes the standing consents as a file that `import_consents` reads, for its owner only.

    Returns:
        How many were written, and how many were left out because nobody in the client book has
        their key.
    """
    standing = people.consents().filter(pl.col("withdrawn_at").is_null())
    known = standing.filter(pl.col("key").is_in(list(identifiers)))
    tagged = [identifiers[key].partition(":") for key in known["key"]]
    table = known.with_columns(
        pl.Series("phone", [one if tag == "tel" else "" for tag, _, one in tagged], pl.String),
        pl.Series("email", [one if tag == "mailto" else "" for tag, _, one in tagged], pl.String),
    )
    write_private(file, table.select(COLUMNS).write_csv().encode())
    return len(known), len(standing) - len(known)


def _moment(source: str, row: int, text: str, now: dt.datetime) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        reason = "not a moment, expected ISO 8601 such as 2026-03-01T10:30:00+08:00"
        raise ConsentRefused(source, row, "recorded_at", reason) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    if moment > now + _CLOCK_SKEW:
        raise ConsentRefused(source, row, "recorded_at", "in the future")
    return moment
